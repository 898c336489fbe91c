"""Transfer: copies runs to where they are processed, and counts a copy only when it was read back. A lane a DAQ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..config.errors import OndeckError
from ..config.listeners import Listener
from ..db.engine import Database
from ..db.errors import LeaseLost
from ..db.insert import born
from ..db.models import Copy, Run
from ..db.states import CopyStatus, RunStatus
from ..db.steps import Claim, advance, advance_one, claim, due, hold_on, look, release
from ..rules.gates import Closed, first_closed, pause, space
from ..rules.trouble import back_off
from ..sites.errors import Machinery, Refused
from ..sites.storage import Manifest, Missing, Storage
from ..sites.work import Work, WorkCancelled
from .base import Daemon, Lane
from .blocking import block, unblock
from .copies import begin_copy, path_of, raw_copy, store_manifest, verified, want_in_archive
from .places import Places

_LOOK_AHEAD = 200
"""How many waiting runs of a listener are looked at in one step; those behind them wait their turn."""


class Differs(Machinery):
    """the copy on storage {storage} differs from the manifest: {words}."""


@dataclass
class Errand:
    """One run to be copied: from where, to where."""

    claim: Claim
    run: Run
    listener: Listener
    source: Storage
    source_path: str
    target: Storage
    path: str

    @property
    def part(self) -> str:
        """The name under which the copy is written: it bears the epoch, so that an older holder writes elsewhere."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/.{name}.{self.claim.epoch}.part"


class Transfer(Daemon):
    """Moves runs from acquired over transferring to ondeck."""

    name = "Transfer"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places: dict[str, Places] = {}

    def lanes(self) -> Sequence[str]:
        """The storages of the sources."""
        return list(dict.fromkeys(s.storage for s in self.config.sources.values() if s.storage))

    def close(self, lane: Lane) -> None:
        """Give up the lane's connections."""
        if lane.name in self._places:
            self._places.pop(lane.name).close()

    def step(self, lane: Lane) -> int:
        """Copy one run, taking up first what was broken off."""
        errand = self._begin(lane)
        if errand is None:
            return 0
        self._carry_out(lane, errand)
        return 1

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which runs would be copied, from where to where."""
        sources = self._sources(lane.name)
        with self.db.read() as session:
            runs = session.scalars(
                select(Run)
                .where(Run.status.in_([RunStatus.TRANSFERRING, RunStatus.ACQUIRED]), Run.source.in_(sources))
                .where(Run.listener.is_not(None))
                .order_by(Run.priority.desc(), Run.id)
            ).all()
            for run in runs:
                listener = self.config.listeners.get(run.listener or "")
                if listener is None or listener.storage is None:
                    continue
                closed = self._closed(session, run, listener, lane.name)
                source = (
                    f"{self.config.storages[lane.name].path}/{self._source_path(session, run, lane.name)}"
                )
                target = f"{self.config.storages[listener.storage].path}/{path_of(run)}"
                yield f"copy {run.name}: {source} -> {target}" + (
                    f" (not yet: {closed.words()})" if closed else ""
                )

    # ---- taking a run ----

    def _sources(self, storage: str) -> list[str]:
        return [s.name for s in self.config.sources.values() if s.storage == storage]

    def _begin(self, lane: Lane) -> Errand | None:
        """Claim one run and write down that its copy is begun; None when none may be begun now.

        Looks first and claims then, so that runs that are held back cause no writes.
        """
        with self.db.read() as session:
            runs = self._waiting(session, lane.name)
            answers = {run.id: self._ask_gates(session, run, lane.name) for run in runs}
            news = [r.id for r in runs if (c := answers[r.id]) and c.gate != r.blocked_by]
            ready = [r.id for r in runs if answers[r.id] is None]
        if news:
            with self.db.write() as session:
                still = Run.status.in_([RunStatus.TRANSFERRING, RunStatus.ACQUIRED])
                for run in session.scalars(select(Run).where(Run.id.in_(news), still)):
                    closed = answers[run.id]
                    if closed is not None:
                        block(session, run, closed)
        trouble: OndeckError | None = None
        for run_id in ready:
            try:
                errand = self._begin_one(lane, run_id)
            except OndeckError as error:  # of one storage; the runs for others go on
                trouble = trouble or error
                continue
            if errand is not None:
                return errand
        if trouble is not None:
            raise trouble
        return None

    def _waiting(self, session: Session, storage: str) -> Sequence[Run]:
        """Runs of this lane that nobody works on, those first whose copy was broken off.

        Some of each listener, so that the many for a full storage don't stand in the way of those for another.
        """
        names = [one.name for one in self.config.listeners.values() if one.storage]
        runs: list[Run] = []
        for status in (RunStatus.TRANSFERRING, RunStatus.ACQUIRED):
            some: list[Run] = []
            for listener in (*(Run.listener == name for name in names), Run.listener.not_in(names)):
                some += session.scalars(
                    select(Run)
                    .where(
                        text(f"status = '{status}' AND {due(self.db.dialect)}"),
                        listener,
                        Run.source.in_(self._sources(storage)),
                    )
                    .order_by(Run.priority.desc(), Run.id)
                    .limit(_LOOK_AHEAD)
                )
            runs += sorted(some, key=lambda run: (-run.priority, run.id))
        return runs

    def _ask_gates(self, session: Session, run: Run, storage: str) -> Closed | None:
        listener = self.config.listeners.get(run.listener or "")
        return self._closed(session, run, listener, storage) if listener and listener.storage else None

    def _begin_one(self, lane: Lane, run_id: int) -> Errand | None:
        places = self._places.setdefault(lane.name, Places(self.config, self.db))
        with self.db.write() as session:
            statuses = (RunStatus.TRANSFERRING, RunStatus.ACQUIRED)
            claims = [
                c
                for s in statuses
                for c in claim(session, Run, s, 1, lease=self.settings.lease, where="id = :run", run=run_id)
            ]
            if not claims:
                return None
            one, run = claims[0], session.get_one(Run, run_id)
            listener = self.config.listeners.get(run.listener or "")
            if listener is None or listener.storage is None:
                words = f"its listener {run.listener} is not in ondeck.toml, or names no storage"
                advance(session, [one], RunStatus.FAILED, words, failed_from=RunStatus.ACQUIRED)
                return None
            if self._closed(session, run, listener, lane.name) is not None:
                release(session, [one])
                return None
            unblock(session, run)
            errand = self._errand(session, places, one, run, listener, lane.name)
            if not self._in_place(errand):
                words = f"being copied to {listener.storage}"
                begun = begin_copy(session, run, listener.storage, words)
                if one.status == RunStatus.ACQUIRED and begun.status == CopyStatus.WRITING:
                    errand.claim = advance_one(session, one, RunStatus.TRANSFERRING, words, keep=True)
            return errand

    def _closed(self, session: Session, run: Run, listener: Listener, storage: str) -> Closed | None:
        """The gates of a transfer."""
        assert listener.storage is not None
        sites = dict.fromkeys(
            (self.config.storages[storage].site, self.config.storages[listener.storage].site)
        )
        if listener.storage == storage:
            return first_closed(pause(session, s) for s in sites)
        room = space(session, self.config, listener.storage, run.nbytes or 0, run_id=run.id)
        return first_closed([*(pause(session, s) for s in sites), room])

    @staticmethod
    def _source_path(session: Session, run: Run, storage: str) -> str:
        copy = raw_copy(session, run.id, storage)
        return copy.path if copy is not None else run.name

    def _errand(
        self, session: Session, places: Places, one: Claim, run: Run, listener: Listener, storage: str
    ) -> Errand:
        assert listener.storage is not None
        source_path = self._source_path(session, run, storage)
        in_place = listener.storage == storage
        return Errand(
            one,
            run,
            listener,
            places.storage(storage),
            source_path,
            places.storage(listener.storage),
            source_path if in_place else path_of(run),
        )

    @staticmethod
    def _in_place(errand: Errand) -> bool:
        return errand.source.name == errand.target.name

    # ---- copying it ----

    def _carry_out(self, lane: Lane, errand: Errand) -> None:
        name = errand.run.name
        try:
            with lane.guard([errand.claim], name) as work:
                manifest = errand.source.manifest(errand.source_path, work=work)
                if not manifest.nfiles:
                    raise Missing(
                        storage=errand.source.name, path=errand.source_path, words="it holds no files"
                    )
                self._note_source(errand, manifest)
                if not self._in_place(errand):
                    self._copy(errand, manifest, work)
                    self._check_claim(errand)
                self._finish(errand, manifest)
            lane.log.info(
                "run on deck", extra={"run": name, "storage": errand.target.name, "nbytes": manifest.nbytes}
            )
        except LeaseLost:
            lane.log.warning("overtaken", extra={"run": name})
        except WorkCancelled as error:
            # The daemon ends: that costs no try. A copy that did not get on does.
            self._give_back(errand, str(error), count=not lane.stopping.is_set())
            lane.log.info("broken off", extra={"run": name, "why": str(error)})
        except Refused as error:
            self._give_back(errand, str(error), final=True)
            lane.log.warning("transfer refused", extra={"run": name, "why": str(error)})
        except Exception as error:  # goes on the row, and never stops the loop
            self._give_back(errand, str(error))
            lane.log.warning(
                "transfer failed",
                extra={"run": name, "why": str(error)},
                exc_info=not isinstance(error, Machinery),
            )

    def _note_source(self, errand: Errand, manifest: Manifest) -> None:
        """Write down what the run consists of at its source, and how much that is."""
        with self.db.write() as session:
            hold_on(session, [errand.claim])
            digest = store_manifest(session, manifest)
            copy = raw_copy(session, errand.run.id, errand.source.name)
            if copy is None:
                copy = Copy(
                    run_id=errand.run.id,
                    storage=errand.source.name,
                    path=errand.source_path,
                    status=CopyStatus.WRITING,
                    **born("written by the DAQ"),
                )
                session.add(copy)
                session.flush()
            one = look(session, Copy, [copy.id])[0]
            if one.status == CopyStatus.VERIFIED and copy.manifest != digest:
                one = advance_one(session, one, CopyStatus.SUSPECT, "it differs from its first manifest")
                one = advance_one(session, one, CopyStatus.WRITING, "the source has written it again")
            if one.status == CopyStatus.WRITING:
                advance_one(
                    session, one, CopyStatus.VERIFIED, "read at the source", **verified(manifest, digest)
                )
            session.get_one(Run, errand.run.id).nbytes = manifest.nbytes

    def _copy(self, errand: Errand, manifest: Manifest, work: Work) -> None:
        """Bring the files over, flush them, read them back, and give them their name."""
        target = errand.target
        folder, _, name = errand.path.rpartition("/")
        target.check()
        if target.exists(errand.path):  # we were killed between the rename and its commit, or the run was reset
            try:
                self._compare(errand, errand.path, manifest, work)
            except Differs as error:
                self._suspect(errand, str(error))
                raise
        else:
            target.make(folder)
            self._write(errand, self._parts(target, folder, name), manifest, work)
        for part in self._parts(target, folder, name):
            target.remove_part(part, work=work)

    @staticmethod
    def _parts(target: Storage, folder: str, name: str) -> list[str]:
        """What broken off copies of the run have left."""
        return [f"{folder}/{n}" for n in target.listing(f".{name}.", folder) if _is_part(n, name)]

    def _write(self, errand: Errand, older: Sequence[str], manifest: Manifest, work: Work) -> None:
        target = errand.target
        older = [part for part in older if part != errand.part]
        target.pull(errand.source, errand.source_path, errand.part, older, work=work)
        target.fsync(errand.part, work=work)
        try:
            self._compare(errand, errand.part, manifest, work)
        except Differs:
            for part in [*older, errand.part]:  # what was linked from a damaged part must not come again
                target.remove_part(part, work=work)
            raise
        self._check_claim(errand)
        target.rename(errand.part, errand.path)

    def _suspect(self, errand: Errand, why: str) -> None:
        """A copy that counted as verified was read and differs."""
        with self.db.write() as session:
            copy = raw_copy(session, errand.run.id, errand.target.name)
            if copy is not None and copy.status == CopyStatus.VERIFIED:
                advance(
                    session, look(session, Copy, [copy.id]), CopyStatus.SUSPECT, why, fence=True, wanted=True
                )

    @staticmethod
    def _compare(errand: Errand, path: str, manifest: Manifest, work: Work) -> None:
        differences = errand.target.verify(path, manifest, work=work)
        if differences:
            words = "; ".join(d.words() for d in differences[:3])
            more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise Differs(storage=errand.target.name, words=words + more)

    def _check_claim(self, errand: Errand) -> None:
        """The last look before something outside gets its final name."""
        with self.db.write() as session:
            hold_on(session, [errand.claim])

    def _finish(self, errand: Errand, manifest: Manifest) -> None:
        with self.db.write() as session:
            hold_on(session, [errand.claim])
            digest = store_manifest(session, manifest)
            if not self._in_place(errand):
                copy = raw_copy(session, errand.run.id, errand.target.name)
                assert copy is not None
                one = look(session, Copy, [copy.id])[0]
                if one.status == CopyStatus.WRITING:
                    words = "flushed, read back, equal to the manifest"
                    advance_one(session, one, CopyStatus.VERIFIED, words, **verified(manifest, digest))
            if errand.listener.archive:
                want_in_archive(session, errand.run, errand.listener.archive)
            words = "its copy is verified" if not self._in_place(errand) else "its data lie there already"
            advance_one(session, errand.claim, RunStatus.ONDECK, words, tries=0, not_before=None)

    def _give_back(self, errand: Errand, why: str, *, count: bool = True, final: bool = False) -> None:
        """The try failed: the run is acquired again; failed when its tries are used up, or when this was `final`."""
        origin: dict[str, Any] = {"failed_from": RunStatus.ACQUIRED}
        with self.db.write() as session:
            if final:
                moved = advance(session, [errand.claim], RunStatus.FAILED, why, **origin)
            else:
                moved = back_off(
                    session,
                    errand.claim,
                    RunStatus.ACQUIRED,
                    why,
                    self.config.retry,
                    give_up=RunStatus.FAILED,
                    count=count,
                    given_up=origin,
                )
            copy = raw_copy(session, errand.run.id, errand.target.name)
            if (
                moved
                and not self._in_place(errand)
                and copy is not None
                and copy.status == CopyStatus.WRITING
            ):
                advance(session, look(session, Copy, [copy.id]), CopyStatus.ABSENT, why)


def _is_part(name: str, run: str) -> bool:
    """Whether `name` is a left-over part of `run` (and not of a run whose name only begins alike)."""
    return name.startswith(f".{run}.") and name.endswith(".part") and name[len(run) + 2 : -5].isdigit()
