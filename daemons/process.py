"""Process: submits jobs, follows them, and says when a run is done. A lane a site, and one for the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select, text

from ..config import Config
from ..config.plugins import kept
from ..db.engine import Database
from ..db.models import Attempt, Job, Run
from ..sites.batch import BatchSystem
from .attemptrows import batch_of, job_directory, work_place
from .base import Daemon, Lane
from .concluding import Concluder
from .following import Follower
from .glance import anything
from .places import Places
from .submission import Submitter

RUNS = "(runs)"
"""The lane that concludes runs; a site can't have this name."""


class Process(Daemon):
    """Drives the batch systems."""

    name = "Process"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places: dict[str, Places] = {}
        self._concluder = Concluder(config, db, self.settings.lease)

    def lanes(self) -> Sequence[str]:
        """The sites that have a batch system, and one for the runs."""
        return [*(s.name for s in self.config.sites.values() if s.batch is not None), RUNS]

    def close(self, lane: Lane) -> None:
        """Give up the lane's connections."""
        if lane.name in self._places:
            self._places.pop(lane.name).close()

    def step(self, lane: Lane) -> int:
        """Follow what is out, then submit what is new; or conclude runs."""
        if not self._anything(lane.name):
            if lane.due and lane.name != RUNS:
                work_place(self.config, self.db, lane.name)  # a site that was not initialised says so at once
            return 0
        places = self._places.setdefault(lane.name, Places(self.config, self.db))
        if lane.name == RUNS:
            return self._concluder.step(lane, places)
        system = self._system(lane.name)
        transport, place = places.transport(lane.name), work_place(self.config, self.db, lane.name)
        moved = Follower(self.config, self.db, lane.name, system, self.settings.lease).step(lane, transport, place)
        return moved + Submitter(self.config, self.db, lane.name, system, self.settings.lease).step(
            lane, transport, place
        )

    def _anything(self, lane: str) -> bool:
        """Whether anything is out, or might be submitted or concluded."""
        if lane == RUNS:
            return anything(self.db, "runs WHERE status = 'processing'")
        return anything(
            self.db,
            "attempts WHERE ended_at IS NULL AND site = :site",
            "jobs WHERE status = 'new' AND site = :site",
            site=lane,
        )

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which jobs would be submitted, with their scripts."""
        if lane.name == RUNS:
            with self.db.read() as session:
                for run, to, why in self._concluder.ready(session):
                    yield f"{run.name}: {to} ({why})"
            return
        submitter = Submitter(self.config, self.db, lane.name, self._system(lane.name), self.settings.lease)
        with self.db.read() as session:
            for job_id, run_id in submitter.candidates(session, 1_000_000):
                job, run = session.get_one(Job, job_id), session.get_one(Run, run_id)
                last = session.scalar(
                    select(Attempt.number).where(Attempt.job_id == job_id).order_by(text("number DESC")).limit(1)
                )
                folder = f"{job_directory(self.config, job, run)}/{(last or 0) + 1}"
                yield f"submit {run.name} {job.module} in {folder}\n{job.options}"

    def _system(self, site: str) -> BatchSystem:
        batch = batch_of(self.config, site)
        kind = kept("ondeck.batch", batch.system)
        assert issubclass(kind, BatchSystem)
        return kind(batch.options)
