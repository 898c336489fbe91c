"""Gathering runs for the archive: which wait, in which bundle they go, and when a bundle is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, false, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from ..config import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.insert import born
from ..db.models import Bundle, Copy, Run
from ..db.states import BundleStatus, CopyStatus, RunStatus
from ..sites.errors import Machinery

_BATCH = 1000
_READY = {
    "ondeck": (
        RunStatus.ONDECK,
        RunStatus.PROCESSING,
        RunStatus.PROCESSED,
        RunStatus.FAILED,
        RunStatus.ARCHIVED,
    ),
    "processed": (RunStatus.PROCESSED, RunStatus.ARCHIVED),
}


class NothingToRead(Machinery):
    """Run {run} has no verified copy on a disk from which a bundle could be written."""


_GATHER = (
    update(Copy.__table__)  # type: ignore[arg-type]
    .where(Copy.id == bindparam("copy"), Copy.bundle_id.is_(None), Copy.status == CopyStatus.ABSENT)
    .values(bundle_id=bindparam("bundle"), nbytes=bindparam("size"), path=bindparam("there"))
)


@dataclass
class _Filling:
    """An open bundle, and what is in it."""

    id: int
    count: int = 0
    nbytes: int = 0


class Gatherer:
    """Fills the open bundles of one archive storage."""

    def __init__(self, config: Config, db: Database, storage: str) -> None:
        self.config, self.db, self.storage = config, db, storage
        self.section = config.storages[storage]

    def waiting(self, session: Session) -> list[tuple[Copy, Run, Copy]]:
        """(copy wanted here, its run, the copy to read) of runs that may be archived now and are in no bundle yet."""
        source = aliased(Copy)
        disks = [s.name for s in self.config.storages.values() if s.kind == "disk"]
        rows = session.execute(
            select(Copy, Run, source)
            .join(Run, Run.id == Copy.run_id)
            .join(source, source.run_id == Copy.run_id)
            .where(
                text("copies.status = 'absent' AND copies.wanted"),
                Copy.storage == self.storage,
                Copy.form == "bundled",
                Copy.bundle_id.is_(None),
                source.status == CopyStatus.VERIFIED,
                source.wanted,
                source.form == "plain",
                source.job_id.is_(None),
                source.storage.in_(disks),
                self._ready(),
            )
            .order_by(Copy.id)
            .limit(_BATCH)
        )
        found: dict[int, tuple[Copy, Run, Copy]] = {}
        for copy, run, there in rows:
            if copy.id not in found or there.storage == self.config.listeners[run.listener or ""].storage:
                found[copy.id] = (copy, run, there)
        return list(found.values())

    def _ready(self) -> ColumnElement[bool]:
        """SQL: the run has come to where its listener has it archived. (The others must not stand in the way.)"""
        listeners = self.config.listeners.values()
        return or_(
            false(),
            *(
                Run.listener.in_([one.name for one in listeners if one.archive_when == when]) & Run.status.in_(statuses)
                for when, statuses in _READY.items()
            ),
        )

    def gather(self) -> int:
        """Put what waits into the open bundle of its source storage; returns how many copies."""
        with self.db.read() as session:
            if not self.waiting(session):
                return 0
        count = 0
        with self.db.write() as session:
            rows: list[dict[str, Any]] = []
            filling: dict[str, _Filling] = {}
            for copy, run, source in self.waiting(session):
                bundle = filling.get(source.storage)
                if bundle is None or self._full(bundle.count, bundle.nbytes):
                    if rows:
                        session.execute(_GATHER, rows)
                        rows = []
                    bundle = filling[source.storage] = self._open_bundle(session, source.storage)
                bundle.count += 1
                bundle.nbytes += run.nbytes or 0
                rows.append({"copy": copy.id, "bundle": bundle.id, "size": run.nbytes, "there": source.path})
                count += 1
            if rows:
                session.execute(_GATHER, rows)
        return count

    def _full(self, count: int, nbytes: int) -> bool:
        return count >= self.section.bundle.count or nbytes >= self.section.bundle.size

    def _open_bundle(self, session: Session, source: str) -> _Filling:
        """The open bundle that takes runs from storage `source` and isn't full; made if there is none."""
        bundles = session.scalars(
            select(Bundle.id)
            .where(
                Bundle.storage == self.storage,
                text("bundles.status <> 'verified'"),
                Bundle.status == BundleStatus.OPEN,
                Bundle.path.is_(None),
            )
            .order_by(Bundle.id.desc())
            .with_for_update()
        ).all()
        for bundle_id in bundles:
            members = self.members(session, bundle_id)
            while members and not self.readable(session, members[:1]):  # it can't say where its runs lie
                members = members[1:]
            nbytes = sum(c.nbytes or 0 for c, _ in members)
            full = self._full(len(members), nbytes)
            if not full and all(self.source_of(session, run).storage == source for _, run in members[:1]):
                return _Filling(bundle_id, len(members), nbytes)
        bundle = Bundle(storage=self.storage, status=BundleStatus.OPEN, **born(f"for runs on {source}"))
        session.add(bundle)
        session.flush()
        return _Filling(bundle.id)

    def members(self, session: Session, bundle_id: int) -> list[tuple[Copy, Run]]:
        rows = session.execute(
            select(Copy, Run)
            .join(Run, Run.id == Copy.run_id)
            .where(Copy.bundle_id == bundle_id)
            .order_by(Copy.id)
            .execution_options(populate_existing=True)
        )
        return [(copy, run) for copy, run in rows]

    def source_of(self, session: Session, run: Run) -> Copy:
        """The verified copy of `run` that a bundle is made from; raises NothingToRead."""
        found = self.sources_of(session, [run])
        if run.id not in found:
            raise NothingToRead(run=run.name)
        return found[run.id]

    def sources_of(self, session: Session, runs: Sequence[Run]) -> dict[int, Copy]:
        """Run's id → the verified copy that a bundle is made from; without the runs that have none."""
        disks = [s.name for s in self.config.storages.values() if s.kind == "disk"]
        copies = session.scalars(
            select(Copy)
            .where(
                Copy.run_id.in_([run.id for run in runs]),
                Copy.form == "plain",
                Copy.job_id.is_(None),
                Copy.storage.in_(disks),
                Copy.status == CopyStatus.VERIFIED,
                Copy.wanted,
            )
            .order_by(Copy.id.desc())
            .execution_options(populate_existing=True)
        ).all()
        listeners = {run.id: self.config.listeners.get(run.listener or "") for run in runs}
        found: dict[int, Copy] = {}
        for copy in copies:  # the oldest, and before all the one where its listener has it
            listener, known = listeners[copy.run_id], found.get(copy.run_id)
            if listener is None or known is None or known.storage != listener.storage:
                found[copy.run_id] = copy
        return found

    def readable(self, session: Session, members: list[tuple[Copy, Run]]) -> list[tuple[Copy, Run]]:
        """Those members whose data can be read; the others leave the bundle, and wait for another."""
        sources = self.sources_of(session, [run for _, run in members])
        for copy, run in members:
            if run.id not in sources:
                copy.bundle_id = None
        session.flush()
        return [(copy, run) for copy, run in members if run.id in sources]

    def due(self, session: Session) -> list[int]:
        """Open bundles that are to be written now."""
        now = database_time(session)
        rows = session.execute(
            select(Bundle, func.count(Copy.id), func.coalesce(func.sum(Copy.nbytes), 0))
            .join(Copy, Copy.bundle_id == Bundle.id)
            .where(
                Bundle.storage == self.storage,
                text("bundles.status <> 'verified'"),
                Bundle.status == BundleStatus.OPEN,
            )
            .group_by(Bundle.id)
            .order_by(Bundle.id)
        )
        rule = self.section.bundle
        return [
            bundle.id
            for bundle, count, nbytes in rows
            if (bundle.not_before is None or bundle.not_before <= now)
            and (bundle.lease_until is None or bundle.lease_until <= now)
            and (count >= rule.count or int(nbytes or 0) >= rule.size or now - bundle.created_at >= rule.age)
        ]

    def next_due(self, session: Session) -> float | None:
        """Seconds until the first open bundle with something in it is old enough; None when there is none."""
        bundles = session.scalars(
            select(Bundle).where(
                Bundle.storage == self.storage,
                text("bundles.status <> 'verified'"),
                Bundle.status == BundleStatus.OPEN,
                select(Copy.id).where(Copy.bundle_id == Bundle.id).exists(),
            )
        ).all()
        now = database_time(session)
        times = (max(one.created_at + self.section.bundle.age, one.not_before or now) for one in bundles)
        return min((max(0.0, (at - now).total_seconds()) for at in times), default=None)
