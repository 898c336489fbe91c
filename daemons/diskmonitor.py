"""DiskMonitor: makes true what is wanted of copies. A lane a storage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..config.errors import OndeckError
from ..config.units import format_size
from ..db.clock import NOW, database_time
from ..db.engine import Database
from ..db.models import Bundle, Copy, Run
from ..db.states import CopyStatus, RunStatus
from ..db.steps import Claim, advance, claim, due
from ..rules.gates import pause, restored
from ..rules.messages import post
from ..rules.probes import record
from ..sites.storage import Space
from ..sites.work import Work
from .archiving import Archiver
from .base import Daemon, Lane
from .copies import load_manifest
from .glance import anything
from .places import Places
from .removal import Remover

_MEASURE_SECONDS = 10.0
_CANDIDATES = 20
_RAW = "copies.status = 'verified' AND copies.wanted AND copies.form = 'plain' AND copies.job_id IS NULL"
"""SQL: raw data that may have to go; as their index has it."""
_AFTER = {
    "ondeck": (RunStatus.ONDECK, RunStatus.PROCESSING, RunStatus.PROCESSED, RunStatus.ARCHIVED),
    "archived": (RunStatus.ARCHIVED,),
}


class DiskMonitor(Daemon):
    """Measures space, writes bundles, and removes what may go."""

    name = "DiskMonitor"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places: dict[str, Places] = {}
        self._measured: dict[str, tuple[float, Space]] = {}
        self._making_room: set[str] = set()

    def lanes(self) -> Sequence[str]:
        """The storages."""
        return list(self.config.storages)

    def close(self, lane: Lane) -> None:
        """Give up the lane's connections."""
        if lane.name in self._places:
            self._places.pop(lane.name).close()

    def step(self, lane: Lane) -> int:
        """Measure; take up what was left half done; archive; look at suspects; remove."""
        places = self._places.setdefault(lane.name, Places(self.config, self.db))
        space = self._measure(lane, places)
        if not self._anything(lane.name, space):
            return 0
        with self.db.read() as session:
            if restored(session) is not None:  # the proof of a removal is only as good as the database
                return self._look_at_suspects(lane, places)
        remover = self._remover(lane.name)
        moved = remover.take_up(lane, places)
        if self.config.storages[lane.name].kind == "archive":
            archiver = Archiver(self.config, self.db, lane.name, self.settings.lease)
            moved += archiver.step(lane, places)
            with self.db.read() as session:
                due = archiver.gatherer.next_due(session)
            if due is not None:
                lane.again(max(due, 0.5))
        moved += self._look_at_suspects(lane, places)
        return moved + self._make_room(lane, places, remover, space)

    def _anything(self, storage: str, space: Space) -> bool:
        """Whether anything is half done here, or waits, or may have to go."""
        rows = [
            "copies WHERE status IN ('writing', 'suspect', 'deleting') AND storage = :storage",
            "receipts WHERE closed_at IS NULL",
        ]
        if self.config.storages[storage].kind == "archive":
            rows += [
                "copies WHERE status = 'absent' AND wanted AND storage = :storage",
                "bundles WHERE status <> 'verified' AND storage = :storage",
                "runs WHERE status = 'processed' AND to_archive IS TRUE",
            ]
        if any(s.storage == storage and s.remove != "never" for s in self.config.sources.values()):
            rows.append(f"copies WHERE storage = :storage AND {_RAW}")
        if anything(self.db, *rows, storage=storage):
            return True
        with self.db.read() as session:
            return self._too_full(session, storage, space)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which bundles would be written, and which copies removed."""
        with self.db.read() as session:
            if self.config.storages[lane.name].kind == "archive":
                archiver = Archiver(self.config, self.db, lane.name, self.settings.lease)
                for copy, run, source in archiver.gatherer.waiting(session):
                    yield f"gather {run.name} from {source.storage} for the archive {copy.storage}"
                for bundle_id in archiver.gatherer.due(session):
                    yield f"write bundle {session.get_one(Bundle, bundle_id).id} to {lane.name}"
            places = Places(self.config, self.db)
            space = places.storage(lane.name).space()
            for copy, run, rule in self._candidates(session, lane.name, self._too_full(session, lane.name, space)):
                yield f"remove {copy.path} of run {run.name} from {lane.name}, if the proof stands ({rule})"

    def _remover(self, storage: str) -> Remover:
        return Remover(self.config, self.db, storage, self.settings.lease)

    # ---- measuring ----

    def _measure(self, lane: Lane, places: Places) -> Space:
        """The storage's space; measured anew, and stored for the gates, when the last look is old."""
        lane.again(_MEASURE_SECONDS)
        last = self._measured.get(lane.name)
        if last is not None and time.monotonic() - last[0] < _MEASURE_SECONDS and lane.name not in self._making_room:
            return last[1]
        holds = 3 * max(self.settings.interval, timedelta(seconds=_MEASURE_SECONDS))
        try:
            storage = places.storage(lane.name)
            storage.check()
            space = storage.space()
        except OndeckError as error:
            with self.db.write() as session:
                record(session, "space", lane.name, {}, holds, error=str(error))
            raise
        self._measured[lane.name] = (time.monotonic(), space)
        with self.db.write() as session:
            value = {"total": space.total, "used": space.used, "free": self._free(session, lane.name, space)}
            record(session, "space", lane.name, value, holds)
        return space

    def _free(self, session: Session, storage: str, space: Space) -> int:
        capacity = self.config.storages[storage].capacity
        if capacity is None:
            return space.free
        return max(0, min(space.free, capacity - self._taken(session, storage)))

    @staticmethod
    def _taken(session: Session, storage: str) -> int:
        """Bytes of all copies that lie on a storage."""
        total = select(func.coalesce(func.sum(Copy.nbytes), 0)).where(Copy.storage == storage)
        whole = text("status = 'verified'")  # both as the indexes have it
        moving = text("status IN ('writing', 'suspect', 'deleting')")
        return int(session.scalar(total.where(whole)) or 0) + int(
            session.scalar(total.where(moving, Copy.status != CopyStatus.WRITING)) or 0
        )

    # ---- making room ----

    def _percent(self, session: Session, storage: str, space: Space) -> float:
        capacity = self.config.storages[storage].capacity
        return space.percent if capacity is None else 100.0 * self._taken(session, storage) / capacity

    def _too_full(self, session: Session, storage: str, space: Space) -> bool:
        """Whether room is to be made: begun above the high water mark, ended at the low one."""
        section = self.config.storages[storage]
        if section.high is None or section.low is None:
            return False
        percent = self._percent(session, storage, space)
        if percent > section.high:
            self._making_room.add(storage)
        elif percent <= section.low:
            self._making_room.discard(storage)
        return storage in self._making_room

    def _candidates(self, session: Session, storage: str, full: bool) -> list[tuple[Copy, Run, str]]:
        """Copies which may go by rule, the oldest first: those that the source's policy gives away, then, when the
        storage is too full, those of runs at rest."""
        found: list[tuple[Copy, Run, str]] = []
        fed = [s for s in self.config.sources.values() if s.storage == storage]
        for source in fed:
            if source.remove != "never":
                runs = (Run.source == source.name, Run.status.in_(_AFTER[source.remove]))
                found += [
                    (c, r, f'remove = "{source.remove}" of source {source.name}')
                    for c, r in self._verified(session, storage, *runs)
                ]
        if full and not fed:
            at_rest = Run.status.in_([RunStatus.PROCESSED, RunStatus.ARCHIVED])
            rule = f"storage {storage} is above its high water mark"
            found += [(c, r, rule) for c, r in self._verified(session, storage, at_rest)]
        return found

    def _verified(self, session: Session, storage: str, *conditions: object) -> list[tuple[Copy, Run]]:
        rows = session.execute(
            select(Copy, Run)
            .join(Run, Run.id == Copy.run_id)
            .where(
                text(f"copies.storage = :storage AND {_RAW}"),
                text(due(self.db.dialect, "copies")),
                *conditions,  # type: ignore[arg-type]
            )
            .order_by(Copy.run_id)
            .limit(_CANDIDATES),
            {"storage": storage},
        )
        return [(copy, run) for copy, run in rows]

    def _make_room(self, lane: Lane, places: Places, remover: Remover, space: Space) -> int:
        with self.db.read() as session:
            if pause(session, self.config.storages[lane.name].site) is not None:
                return 0
            full = self._too_full(session, lane.name, space)
            candidates = [(copy.id, rule) for copy, _, rule in self._candidates(session, lane.name, full)]
            percent = self._percent(session, lane.name, space) if full else 0.0
        for copy_id, rule in candidates:
            if lane.stopping.is_set():
                return 0
            if remover.remove(lane, places, copy_id, rule):
                self._measured.pop(lane.name, None)
                return 1
        if full:
            self._say_full(lane, percent, space)
        return 0

    def _say_full(self, lane: Lane, percent: float, space: Space) -> None:
        """Space is short and nothing may go: say so once a day."""
        with self.db.write() as session:
            day = database_time(session).date()
            words = (
                f"Storage {lane.name} is {percent:.0f} % full ({format_size(space.free)} free), above its high water"
                f" mark of {self.config.storages[lane.name].high:g} %, and no copy there may be removed."
            )
            post(
                session,
                self.config,
                f"storage {lane.name} is full",
                words,
                stream=f"storage:{lane.name}",
                key=f"full:{lane.name}:{day}",
            )

    # ---- suspects ----

    def _look_at_suspects(self, lane: Lane, places: Places) -> int:
        """A suspect copy is read again: it may be whole after all (a disk was away); else a person is told."""
        with self.db.read() as session:
            ids = session.scalars(
                select(Copy.id)
                .where(
                    text(f"status IN ('writing', 'suspect', 'deleting') AND {due(self.db.dialect)}"),
                    Copy.storage == lane.name,
                    Copy.status == CopyStatus.SUSPECT,
                    Copy.form == "plain",
                    Copy.manifest.is_not(None),
                )
                .limit(1)
            ).all()
        for copy_id in ids:
            with self.db.write() as session:
                claims = claim(
                    session,
                    Copy,
                    CopyStatus.SUSPECT,
                    1,
                    lease=self.settings.lease,
                    where="id = :copy",
                    copy=copy_id,
                )
            if claims:
                with lane.guard(claims, f"suspect copy {copy_id}") as work:
                    self._read_suspect(lane, places, claims[0], work)
                return 1
        return 0

    def _read_suspect(self, lane: Lane, places: Places, one: Claim, work: Work) -> None:
        with self.db.read() as session:
            copy = session.get_one(Copy, one.id)
            assert copy.manifest is not None
            manifest = load_manifest(session, copy.manifest)
        differences = places.storage(lane.name).verify(copy.path, manifest, work=work)
        with self.db.write() as session:
            if not differences:
                advance(session, [one], CopyStatus.VERIFIED, "read back, equal after all", verified_at=NOW)
                return
            words = "; ".join(d.words() for d in differences[:3])
            advance(session, [one], CopyStatus.SUSPECT, words, delay=timedelta(days=1))
            post(
                session,
                self.config,
                f"a copy on {lane.name} is damaged",
                f"{copy.path}: {words}",
                stream=f"storage:{lane.name}",
                key=f"damaged:{copy.id}:{copy.manifest}",
            )
