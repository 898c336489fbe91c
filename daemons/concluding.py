"""When a run is done: what its jobs have come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.models import Attempt, Job, Run
from ..db.states import LIVE_JOBS, JobStatus, RunStatus
from ..db.steps import advance, advance_one, claim, due, look, release
from ..rules.messages import post
from ..sites.attempts import publish
from ..sites.errors import Machinery
from .attemptrows import job_directory, work_place
from .base import Lane
from .places import Places

_BATCH = 100
_AGAIN = timedelta(minutes=1)
"""How long a run whose outputs can't be published is left alone: others are waiting, too."""
_MOVING = (JobStatus.NEW, JobStatus.BLOCKED, *LIVE_JOBS)


class Concluder:
    """Takes runs from processing to processed, failed or cancelled."""

    def __init__(self, config: Config, db: Database, lease: timedelta) -> None:
        self.config, self.db, self.lease = config, db, lease

    def step(self, lane: Lane, places: Places) -> int:
        """Conclude the runs of which nothing moves any more; returns how many."""
        with self.db.read() as session:
            ids = [run.id for run, _, _ in self.ready(session)]
        if not ids:
            return 0
        listed = ", ".join(str(i) for i in ids[:_BATCH])
        with self.db.write() as session:
            claims = claim(
                session, Run, RunStatus.PROCESSING, _BATCH, lease=self.lease, where=f"id IN ({listed})"
            )
        moved = 0
        with lane.guard(claims, "runs") as work:
            for one in claims:
                with self.db.read() as session:
                    run, jobs = session.get_one(Run, one.id), self._jobs(session, one.id)
                try:
                    self._publish(run, jobs, places, work)
                except Machinery as error:  # of one site; the runs of others go on
                    lane.log.warning("outputs can't be published yet", extra={"run": run.name, "why": str(error)})
                    with self.db.write() as session:
                        if release(session, [one]):
                            session.get_one(Run, one.id).not_before = database_time(session) + _AGAIN
                    continue
                with self.db.write() as session:
                    moved += self._conclude(session, lane, one.id)
                    release(session, [one])
        return moved

    def ready(self, session: Session) -> Iterator[tuple[Run, RunStatus, str]]:
        """(run, what it will be, why) of processing runs of which nothing moves any more."""
        moving = ", ".join(f"'{s}'" for s in _MOVING)
        live = ", ".join(f"'{s}'" for s in LIVE_JOBS)
        runs = session.scalars(
            select(Run).where(
                text(f"runs.status = 'processing' AND {due(self.db.dialect, 'runs')}"),
                text(
                    "NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = runs.id AND"
                    f" j.status IN ({moving}) AND (runs.wanted = '' OR j.status IN ({live})))"
                ),
            )
        ).all()
        for run in runs:
            answer = self._answer(session, run)
            if answer is not None:
                yield run, *answer

    def _answer(self, session: Session, run: Run) -> tuple[RunStatus, str] | None:
        """What the run has come to, and why; None while something may still move."""
        jobs = self._jobs(session, run.id)
        last = self._last_attempts(session, jobs)
        if any(
            j.status in LIVE_JOBS or (j.status == JobStatus.WAITING and _may_run(last.get(j.id)))
            for j in jobs
        ):
            return None
        if run.wanted == "cancel":
            return RunStatus.CANCELLED, "cancel was wanted"
        if any(j.status in _MOVING for j in jobs):
            return None
        bad = [j for j in jobs if j.status == JobStatus.FAILED and not j.settings.get("optional")]
        refused = [j for j in jobs if j.status == JobStatus.WAITING and _refused(last.get(j.id))]
        if bad or refused:
            words = [f"{j.module} is {j.status}: {j.reason}" for j in (*bad, *refused)]
            return RunStatus.FAILED, "; ".join(words)
        waiting = [j.module for j in jobs if j.status == JobStatus.WAITING]
        return (
            RunStatus.PROCESSED,
            f"waiting for a person: {', '.join(waiting)}" if waiting else "every job has come to its end",
        )

    def _conclude(self, session: Session, lane: Lane, run_id: int) -> int:
        one = look(session, Run, [run_id])[0]
        run = session.get_one(Run, run_id, populate_existing=True)
        answer = self._answer(session, run) if one.status == RunStatus.PROCESSING else None
        if answer is None:
            return 0
        to, why = answer
        if to == RunStatus.CANCELLED:
            rest = [
                j.id
                for j in self._jobs(session, run_id)
                if j.status in (JobStatus.NEW, JobStatus.BLOCKED, JobStatus.WAITING)
            ]
            for job in look(session, Job, rest):
                advance(session, [job], JobStatus.CANCELLED, "its run is cancelled", fence=True)
        columns = {"failed_from": RunStatus.ONDECK} if to in (RunStatus.FAILED, RunStatus.CANCELLED) else {}
        advance_one(session, one, to, why, wanted="", **columns)
        if to == RunStatus.FAILED:
            post(
                session,
                self.config,
                f"run {run.name} failed",
                why,
                stream="runs",
                key=f"failed:{run_id}:{run.steps}",
            )
        lane.log.info("run concluded", extra={"run": run.name, "status": to, "why": why})
        return 1

    def _publish(self, run: Run, jobs: Sequence[Job], places: Places, work: object) -> None:
        """Make the links to what stands: the database is the truth about it, also after a crash."""
        for site in {j.site for j in jobs if j.published_attempt}:
            links = []
            for job in jobs:
                if job.site == site and job.published_attempt:
                    folder = job_directory(self.config, job, run)
                    links.append((f"{folder}/published", f"{folder}/{job.published_attempt}"))
            publish(places.transport(site), links, place=work_place(self.config, self.db, site), work=work)  # type: ignore[arg-type]

    @staticmethod
    def _jobs(session: Session, run_id: int) -> Sequence[Job]:
        return session.scalars(
            select(Job).where(Job.run_id == run_id).order_by(Job.id).execution_options(populate_existing=True)
        ).all()

    @staticmethod
    def _last_attempts(session: Session, jobs: Sequence[Job]) -> dict[int, Attempt]:
        attempts = session.scalars(
            select(Attempt)
            .where(Attempt.job_id.in_([j.id for j in jobs]))
            .order_by(Attempt.number)
            .execution_options(populate_existing=True)
        )
        return {a.job_id: a for a in attempts}


def _may_run(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.ended_at is None


def _refused(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.verdict == "refused"
