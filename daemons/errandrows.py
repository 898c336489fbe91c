"""What Transfer writes on rows while it copies: one transaction a phase, for all runs that are copied together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from ..config import Config
from ..db.engine import Database
from ..db.insert import born
from ..db.models import Copy, Run
from ..db.states import CopyStatus, RunStatus
from ..db.steps import advance, look
from ..rules.breaker import trouble, worked
from ..rules.trouble import back_off
from .copies import raw_copies, store_manifests, verify_rows, want_in_archive
from .errands import Errand


class ErrandRows:
    """The rows of errands. What was overtaken is left alone, and is not among what the methods return."""

    def __init__(self, config: Config, db: Database) -> None:
        self.config, self.db = config, db

    def ours(self, errands: Sequence[Errand]) -> list[Errand]:
        """Those that still are ours: the last look before something outside gets its final name."""
        with self.db.write() as session:
            return self._ours(session, errands)

    @staticmethod
    def _ours(session: Session, errands: Sequence[Errand]) -> list[Errand]:
        """Those that still are ours, their runs locked."""
        now = {(c.id, c.epoch) for c in look(session, Run, [e.run.id for e in errands])}
        return [e for e in errands if (e.run.id, e.claim.epoch) in now]

    def note_sources(self, errands: Sequence[Errand]) -> list[Errand]:
        """Write down what the runs consist of at their source, and how much that is; returns those still ours."""
        with self.db.write() as session:
            ours = self._ours(session, errands)
            if not ours:
                return ours
            store_manifests(session, [e.content for e in ours])
            copies = raw_copies(session, [e.run.id for e in ours], ours[0].source.name)
            for errand in ours:
                if errand.run.id not in copies:
                    copies[errand.run.id] = self._source_copy(errand)
                    session.add(copies[errand.run.id])
            session.flush()
            held = {one.id: one for one in look(session, Copy, [c.id for c in copies.values()])}
            writing = {e.run.id: held[copies[e.run.id].id] for e in ours}
            changed = {
                e.run.id: writing[e.run.id]
                for e in ours
                if writing[e.run.id].status == CopyStatus.VERIFIED and copies[e.run.id].manifest != e.content.digest
            }
            again = self._written_again(session, changed)
            claims = {run: again.get(run, one) for run, one in writing.items()}
            claims = {run: one for run, one in claims.items() if one.status == CopyStatus.WRITING}
            verify_rows(session, claims, {e.run.id: e.content for e in ours}, "read at the source")
            sizes = [{"id": e.run.id, "nbytes": e.content.nbytes} for e in ours if e.run.nbytes != e.content.nbytes]
            if sizes:
                session.execute(update(Run), sizes)
            return ours

    @staticmethod
    def _source_copy(errand: Errand) -> Copy:
        return Copy(
            run_id=errand.run.id,
            storage=errand.source.name,
            path=errand.source_path,
            status=CopyStatus.WRITING,
            **born("written by the DAQ"),
        )

    @staticmethod
    def _written_again(session: Session, changed: dict[int, Any]) -> dict[int, Any]:
        """Source copies (run's id → claim) that differ from what they were: verified anew as something else."""
        run_of = {one.id: run for run, one in changed.items()}
        moved = advance(session, list(changed.values()), CopyStatus.SUSPECT, "it differs from its first manifest")
        moved = advance(session, moved, CopyStatus.WRITING, "the source has written it again")
        return {run_of[one.id]: one for one in moved}

    def finish(self, errands: Sequence[Errand]) -> list[Errand]:
        """The copies are verified, the runs on deck; returns those that are."""
        with self.db.write() as session:
            ours = self._ours(session, errands)
            if not ours:
                return ours
            in_place = ours[0].in_place
            if not in_place:
                copies = raw_copies(session, [e.run.id for e in ours], ours[0].target.name)
                held = {one.id: one for one in look(session, Copy, [c.id for c in copies.values()])}
                claims = {run: held[copy.id] for run, copy in copies.items()}
                claims = {run: one for run, one in claims.items() if one.status == CopyStatus.WRITING}
                words = "flushed, read back, equal to the manifest"
                verify_rows(session, claims, {e.run.id: e.content for e in ours}, words)
            for archive in {e.listener.archive for e in ours if e.listener.archive}:
                runs = [session.get_one(Run, e.run.id) for e in ours if e.listener.archive == archive]
                want_in_archive(session, runs, archive)
            words = "its data lie there already" if in_place else "its copy is verified"
            moved = advance(session, [e.claim for e in ours], RunStatus.ONDECK, words, tries=0, not_before=None)
            there = {one.id for one in moved}
            for site in {end.transport.name for end in (ours[0].source, ours[0].target)} if moved else ():
                worked(session, site)
            return [e for e in ours if e.run.id in there]

    def suspect(self, errand: Errand, why: str) -> None:
        """A copy that counted as verified was read and differs."""
        with self.db.write() as session:
            copy = raw_copies(session, [errand.run.id], errand.target.name).get(errand.run.id)
            if copy is not None and copy.status == CopyStatus.VERIFIED:
                held = look(session, Copy, [copy.id])
                advance(session, held, CopyStatus.SUSPECT, why, fence=True, wanted=True)

    def give_back(
        self,
        errands: Sequence[Errand],
        why: str,
        *,
        count: bool = True,
        final: bool = False,
        site: str | None = None,
    ) -> None:
        """Tries failed: the runs are acquired again; failed when their tries are used up, or when this was `final`.

        `count` False: the try was broken off by us and costs nothing. `site`: whose trouble it was.
        """
        origin: dict[str, Any] = {"failed_from": RunStatus.ACQUIRED}
        with self.db.write() as session:
            moved = set()
            for errand in sorted(errands, key=lambda e: e.run.id):  # as verbs lock them
                if final:
                    stepped = advance(session, [errand.claim], RunStatus.FAILED, why, **origin)
                else:
                    trial = trouble(session, self.config, site, f"runs {errand.run.id}", why)
                    stepped = back_off(
                        session,
                        errand.claim,
                        RunStatus.ACQUIRED,
                        why,
                        self.config.retry,
                        give_up=RunStatus.FAILED,
                        count=count,
                        free=trial,
                        given_up=origin,
                    )
                moved.update(one.id for one in stepped)
            back = [e for e in errands if e.run.id in moved and not e.in_place]
            if back:
                copies = raw_copies(session, [e.run.id for e in back], back[0].target.name)
                held = look(session, Copy, [c.id for c in copies.values()])
                advance(session, [c for c in held if c.status == CopyStatus.WRITING], CopyStatus.ABSENT, why)
