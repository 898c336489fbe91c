"""The proof that a removal needs: that nobody needs the copy, and that others have the data, read back for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.models import Bundle, Copy, Job, Pin, Receipt, Run
from ..db.states import LIVE_JOBS, CopyStatus, JobStatus, RunStatus
from ..db.steps import Claim, advance, look
from ..db.tables import StorageState
from ..rules.messages import post
from ..rules.receipts import close_receipt
from ..sites.errors import Refused
from ..sites.work import Work
from .copies import load_manifest
from .places import Places


class NoProof(Refused):
    """copy {copy} of run {run} on {storage} is not removed: {why}."""


class Proof:
    """What must hold before a copy may leave one storage."""

    def __init__(self, config: Config, db: Database, storage: str) -> None:
        self.config, self.db, self.storage = config, db, storage

    def needed(self, session: Session, copy: Copy, run: Run) -> str | None:
        """Why somebody needs or reads the copy; None when nobody does."""
        listener = self.config.listeners.get(run.listener or "")
        if run.status in (RunStatus.ACQUIRED, RunStatus.TRANSFERRING):
            return f"the run is {run.status}"
        if listener is None or listener.storage == copy.storage:
            if run.status == RunStatus.ONDECK:
                return "the run is on deck"
            jobs = session.scalars(
                select(Job).where(Job.run_id == run.id).execution_options(populate_existing=True)
            ).all()
            busy = [j for j in jobs if j.status in LIVE_JOBS]
            coming = (
                [j for j in jobs if j.status in (JobStatus.BLOCKED, JobStatus.NEW)]
                if run.status == RunStatus.PROCESSING
                else []
            )
            if busy or coming:
                one = (busy or coming)[0]
                return f"its job {one.module} is {one.status}"
        others = session.scalars(
            select(Copy)
            .where(
                Copy.run_id == run.id,
                Copy.id != copy.id,
                Copy.job_id.is_(None),
                Copy.status == CopyStatus.WRITING,
            )
            .execution_options(populate_existing=True)
        ).all()
        return f"its copy on {others[0].storage} is being written from it" if others else None

    def witnesses(self, session: Session, copy: Copy, run: Run) -> list[Copy]:
        """As many other copies as the rule asks for; raises NoProof when there are not enough."""
        listener = self.config.listeners.get(run.listener or "")
        minimum = listener.min_copies if listener else 1
        uuids = {name: uuid for name, uuid in session.execute(select(StorageState.name, StorageState.uuid))}  # noqa: C416
        daq = {s.storage for s in self.config.sources.values()}
        seen = {uuids.get(copy.storage)}
        found: list[Copy] = []
        others = session.scalars(
            select(Copy)
            .where(
                Copy.run_id == run.id,
                Copy.id != copy.id,
                Copy.job_id.is_(None),
                Copy.status == CopyStatus.VERIFIED,
                Copy.wanted,
                Copy.manifest == copy.manifest,
            )
            .execution_options(populate_existing=True)
        ).all()
        for other in sorted(others, key=lambda c: (c.storage in daq, c.id)):
            uuid = uuids.get(other.storage)
            if uuid is not None and uuid not in seen and other.storage in self.config.storages and len(found) < minimum:
                seen.add(uuid)
                found.append(other)
        if copy.manifest is None or len(found) < minimum or all(c.storage in daq for c in found):
            why = f"{minimum} other verified copies are needed, not the DAQ's alone; there are {len(found)}"
            raise NoProof(copy=copy.id, run=run.name, storage=self.storage, why=why)
        return found

    def read_witnesses(self, places: Places, copy: Copy, work: Work) -> list[dict[str, Any]]:
        """(2) Every witness of the open receipt is read again, unless that was done lately enough for its storage."""
        with self.db.read() as session:
            witnesses = session.scalars(
                select(Copy)
                .join(Pin, Pin.copy_id == Copy.id)
                .join(Receipt, Receipt.id == Pin.receipt_id)
                .where(Receipt.copy_id == copy.id, Receipt.closed_at.is_(None))
            ).all()
            now = database_time(session)
        checks = []
        for witness in witnesses:
            age = self.config.storages[witness.storage].verify_max_age
            young = witness.verified_at is not None and now - witness.verified_at < age
            if young:
                places.storage(witness.storage).check()
            else:
                self._read(places, witness, work)
            how = "verified lately" if young else "read again"
            checks.append(
                {
                    "copy": witness.id,
                    "storage": witness.storage,
                    "how": how,
                    "manifest": witness.manifest,
                    "at": now.isoformat(),
                }
            )
        if not checks:
            raise NoProof(
                copy=copy.id,
                run=copy.run_id,
                storage=self.storage,
                why="its receipt has no witnesses any more",
            )
        return checks

    def _read(self, places: Places, witness: Copy, work: Work) -> None:
        storage = places.storage(witness.storage)
        with self.db.read() as session:
            assert witness.manifest is not None
            if witness.form == "bundled":
                bundle = session.get_one(Bundle, witness.bundle_id)
                members = session.scalars(
                    select(Copy).where(
                        Copy.bundle_id == witness.bundle_id,
                        Copy.status.in_([CopyStatus.VERIFIED, CopyStatus.SUSPECT]),
                    )
                ).all()
                manifests = {c.path: load_manifest(session, c.manifest) for c in members if c.manifest}
            else:
                manifest = load_manifest(session, witness.manifest)
        if witness.form == "bundled":
            assert bundle.path is not None
            found = storage.verify_bundle(bundle.path, manifests, work=work)
            mine = [d for d in found if d.path == "." or d.path.startswith(witness.path + "/")]
        else:
            mine = storage.verify(witness.path, manifest, work=work)
        with self.db.write() as session:
            look(session, Run, [witness.run_id])
            now = look(session, Copy, [witness.id])
            if mine:
                words = "; ".join(d.words() for d in mine[:3])
                self._make_suspect(session, now, witness, words)
            else:
                session.get_one(Copy, witness.id, populate_existing=True).verified_at = database_time(session)
        if mine:
            why = f"its witness on {witness.storage} differs: {words}"
            raise NoProof(copy=witness.id, run=witness.run_id, storage=self.storage, why=why)

    def _make_suspect(self, session: Session, claims: Sequence[Claim], copy: Copy, words: str) -> None:
        """A verified copy was read and differs: it is suspect and wanted, and its own removal is off."""
        verified = [c for c in claims if c.status == CopyStatus.VERIFIED]
        close_receipt(session, copy.id, "aborted", words)
        advance(session, verified, CopyStatus.SUSPECT, words, fence=True, wanted=True)
        if verified:
            post(
                session,
                self.config,
                f"a copy on {copy.storage} is damaged",
                f"{copy.path}: {words}",
                stream=f"storage:{copy.storage}",
                key=f"suspect:{copy.id}:{claims[0].epoch}",
            )
