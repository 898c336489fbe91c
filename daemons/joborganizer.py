"""JobOrganizer: decides what has to be done with a run, and opens what a gate held back. One lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config.errors import OndeckError
from ..db.insert import insert_new
from ..db.models import Job, Run
from ..db.states import JobStatus, RunStatus
from ..db.steps import Claim, advance, claim, due, look, release
from ..rules.gates import gates_of_jobs
from .base import Daemon, Lane
from .blocking import block, unblock
from .glance import anything
from .jobrows import JobRows

_BATCH = 200
_LOOK_AHEAD = 1000


class JobOrganizer(Daemon):
    """Makes the jobs of runs on deck, with their job options, and moves blocked jobs to new."""

    name = "JobOrganizer"

    def lanes(self) -> Sequence[str]:
        """One: it only works on the database."""
        return ["runs"]

    def step(self, lane: Lane) -> int:
        """Organise runs on deck, then open blocked jobs."""
        if not anything(self.db, "runs WHERE status = 'ondeck'", "jobs WHERE status = 'blocked'"):
            return 0
        return self._organise(lane) + self._open_blocked(lane)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which jobs would be made, with their job options."""
        del lane
        with self.db.read() as session:
            runs = session.scalars(
                select(Run).where(text("status = 'ondeck'"), Run.listener.is_not(None)).order_by(Run.id)
            ).all()
            making = JobRows(self.config, session, runs)
            for run in runs:
                try:
                    rows = making.of(run)
                except OndeckError as error:
                    yield f"fail {run.name}: {error}"
                    continue
                if not rows:
                    yield f"{run.name}: no module wants it"
                for row in rows:
                    yield f"make job {run.name} {row['module']} ({row['status']})\n{row['options']}"

    # ---- runs on deck ----

    def _organise(self, lane: Lane) -> int:
        with self.db.read() as session:
            if not self._waiting(session):
                return 0
        with self.db.write() as session:
            where = "listener IS NOT NULL"
            claims = claim(session, Run, RunStatus.ONDECK, _BATCH, lease=self.settings.lease, where=where)
        ready: list[tuple[Claim, Run, list[dict[str, Any]]]] = []
        refused: list[tuple[Claim, Run, OndeckError]] = []
        with self.db.read() as session:
            runs = {run.id: run for run in session.scalars(select(Run).where(Run.id.in_([c.id for c in claims])))}
            making = JobRows(self.config, session, list(runs.values()))
            for one in claims:
                try:
                    ready.append((one, runs[one.id], making.of(runs[one.id])))
                except OndeckError as error:  # a template or the configuration: a person must look
                    refused.append((one, runs[one.id], error))
        with self.db.write() as session:
            self._write(session, lane, ready)
            for one, run, error in refused:
                advance(session, [one], RunStatus.FAILED, str(error), failed_from=RunStatus.ONDECK)
                lane.log.warning("run can't be organised", extra={"run": run.name, "why": str(error)})
        return len(claims)

    def _write(self, session: Session, lane: Lane, ready: Sequence[tuple[Claim, Run, list[dict[str, Any]]]]) -> None:
        """Make the jobs of runs that still are ours, and move the runs."""
        now = {(c.id, c.epoch) for c in look(session, Run, [one.id for one, _, _ in ready])}
        ours = [(one, run, rows) for one, run, rows in ready if (one.id, one.epoch) in now]
        for one, run, _ in ready:
            if (one.id, one.epoch) not in now:
                lane.log.warning("overtaken", extra={"run": run.name})
        insert_new(session, Job, [row for _, _, rows in ours for row in rows], ["run_id", "module", "pass", "part"])
        words = {one.id: f"jobs: {', '.join(dict.fromkeys(row['module'] for row in rows))}" for one, _, rows in ours}
        advance(session, [one for one, _, rows in ours if rows], RunStatus.PROCESSING, words, tries=0)
        none = [one for one, _, rows in ours if not rows]
        advance(session, none, RunStatus.PROCESSED, "no module wants it", tries=0)
        for _, run, rows in ours:
            lane.log.info("run organised", extra={"run": run.name, "jobs": len(rows)})

    def _waiting(self, session: Session) -> bool:
        query = (
            f"SELECT 1 FROM runs WHERE status = 'ondeck' AND listener IS NOT NULL AND {due(self.db.dialect)} LIMIT 1"
        )
        return session.execute(text(query)).first() is not None

    # ---- blocked jobs ----

    def _open_blocked(self, lane: Lane) -> int:
        """Ask the gates of blocked jobs again, and move those whose gates are open to new."""
        with self.db.read() as session:
            pairs = self._blocked(session)
            answers = gates_of_jobs(session, self.config, pairs)
            news = [job.id for job, _ in pairs if (c := answers[job.id]) and c.gate != job.blocked_by]
            ready = [job.id for job, _ in pairs if answers[job.id] is None]
        if news:
            with self.db.write() as session:
                for job in session.scalars(select(Job).where(Job.id.in_(news), Job.status == JobStatus.BLOCKED)):
                    closed = answers[job.id]
                    if closed is not None:
                        block(session, job, closed)
        moved = 0
        for start in range(0, len(ready), _BATCH):
            moved += self._open(ready[start : start + _BATCH])
        if moved:
            lane.log.info("gates are open", extra={"jobs": moved})
        return moved

    def _blocked(self, session: Session) -> list[tuple[Job, Run]]:
        """Blocked jobs, some of each site, so that those of a paused one don't stand in the way of others."""
        found: list[tuple[Job, Run]] = []
        for site in (*(Job.site == name for name in self.config.sites), Job.site.not_in(list(self.config.sites))):
            query = (
                select(Job, Run)
                .join(Run, Run.id == Job.run_id)
                .where(text("jobs.status = 'blocked'"), site, Run.status == RunStatus.PROCESSING)
                .order_by(Job.priority.desc(), Job.id)
                .limit(_LOOK_AHEAD)
            )
            found += [(job, run) for job, run in session.execute(query)]
        return sorted(found, key=lambda pair: (-pair[0].priority, pair[0].id))

    def _open(self, ids: list[int]) -> int:
        listed = ", ".join(str(i) for i in ids)
        with self.db.write() as session:
            claims = claim(
                session,
                Job,
                JobStatus.BLOCKED,
                len(ids),
                lease=self.settings.lease,
                where=f"id IN ({listed})",
            )
            held = [one.id for one in claims]
            query = select(Job, Run).join(Run, Run.id == Job.run_id).where(Job.id.in_(held))
            rows = session.execute(query.execution_options(populate_existing=True))
            pairs = [(job, run) for job, run in rows]
            answers = gates_of_jobs(session, self.config, pairs)
            for job, _ in pairs:
                if answers[job.id] is None:
                    unblock(session, job)
            release(session, [one for one in claims if answers[one.id] is not None])
            moved = [one for one in claims if answers[one.id] is None]
            return len(advance(session, moved, JobStatus.NEW, "its gates are open"))
