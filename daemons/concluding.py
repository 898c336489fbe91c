"""When a run is done: what its jobs have come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.models import Attempt, Job, Run
from ..db.states import LIVE_JOBS, JobStatus, RunStatus
from ..db.steps import advance, claim, due, look, release
from ..rules.messages import post
from ..sites.attempts import publish
from ..sites.errors import Machinery
from ..sites.work import Work, WorkCancelled
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
            ids = [run.id for run, _, _ in islice(self.ready(session), _BATCH)]
        if not ids:
            return 0
        listed = ", ".join(str(i) for i in ids)
        with self.db.write() as session:
            claims = claim(session, Run, RunStatus.PROCESSING, _BATCH, lease=self.lease, where=f"id IN ({listed})")
        try:
            with lane.guard(claims, "runs") as work:
                late = self._publish_all(lane, [c.id for c in claims], places, work)
        except WorkCancelled:
            with self.db.write() as session:
                release(session, claims)
            raise
        with self.db.write() as session:
            for one in release(session, [c for c in claims if c.id in late]):
                session.get_one(Run, one.id).not_before = database_time(session) + _AGAIN
            moved = self._conclude(session, lane, [c.id for c in claims if c.id not in late])
            release(session, [c for c in claims if c.id not in late])
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
        for start in range(0, len(runs), _BATCH):
            some = runs[start : start + _BATCH]
            jobs = self._jobs(session, [run.id for run in some])
            last = self._last_attempts(session, [j.id for those in jobs.values() for j in those])
            for run in some:
                answer = self._answer(run, jobs[run.id], last)
                if answer is not None:
                    yield run, *answer

    @staticmethod
    def _answer(run: Run, jobs: Sequence[Job], last: Mapping[int, Attempt]) -> tuple[RunStatus, str] | None:
        """What the run has come to, and why; None while something may still move."""
        if any(j.status in LIVE_JOBS or (j.status == JobStatus.WAITING and _may_run(last.get(j.id))) for j in jobs):
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

    def _conclude(self, session: Session, lane: Lane, run_ids: Sequence[int]) -> int:
        """Look again, under the locks of the runs, and move those that have come to something; returns how many."""
        held = {one.id: one for one in look(session, Run, run_ids) if one.status == RunStatus.PROCESSING}
        query = select(Run).where(Run.id.in_(list(held))).order_by(Run.id)
        runs = session.scalars(query.execution_options(populate_existing=True)).all()
        jobs = self._jobs(session, list(held))
        last = self._last_attempts(session, [j.id for some in jobs.values() for j in some])
        steps: dict[RunStatus, dict[int, str]] = {}
        for run in runs:
            answer = self._answer(run, jobs[run.id], last)
            if answer is not None:
                steps.setdefault(answer[0], {})[run.id] = answer[1]
        moved = 0
        for to, words in steps.items():
            if to == RunStatus.CANCELLED:
                self._cancel_rest(session, [j for run_id in words for j in jobs[run_id]])
            origin = {"failed_from": RunStatus.ONDECK} if to in (RunStatus.FAILED, RunStatus.CANCELLED) else {}
            claims = [held[run_id] for run_id in words]
            moved += len(advance(session, claims, to, words, wanted="", **origin))
        for run in runs:
            for to, words in steps.items():
                if run.id in words:
                    self._tell(session, lane, run, to, words[run.id])
        return moved

    @staticmethod
    def _cancel_rest(session: Session, jobs: Sequence[Job]) -> None:
        """The jobs of cancelled runs that have nothing outside."""
        rest = [j.id for j in jobs if j.status in (JobStatus.NEW, JobStatus.BLOCKED, JobStatus.WAITING)]
        advance(session, look(session, Job, rest), JobStatus.CANCELLED, "its run is cancelled", fence=True)

    def _tell(self, session: Session, lane: Lane, run: Run, to: RunStatus, why: str) -> None:
        if to == RunStatus.FAILED:
            key = f"failed:{run.id}:{run.steps}"
            post(session, self.config, f"run {run.name} failed", why, stream="runs", key=key)
        lane.log.info("run concluded", extra={"run": run.name, "status": to, "why": why})

    def _publish_all(self, lane: Lane, run_ids: Sequence[int], places: Places, work: Work) -> set[int]:
        """Make the links to what stands: the database is the truth about it, also after a crash.

        Returns the ids of runs whose outputs can't be published. All of a site at once; one after the other where that
        fails, so that a run whose outputs can't be published delays no other.
        """
        with self.db.read() as session:
            runs = {run.id: run for run in session.scalars(select(Run).where(Run.id.in_(run_ids)))}
            jobs = [j for some in self._jobs(session, run_ids).values() for j in some if j.published_attempt]
        late: set[int] = set()
        for site in dict.fromkeys(j.site for j in jobs):
            here = [j for j in jobs if j.site == site]
            try:
                self._publish(here, runs, places, work)
            except WorkCancelled:
                raise
            except Machinery:
                for run_id in dict.fromkeys(j.run_id for j in here):
                    try:
                        self._publish([j for j in here if j.run_id == run_id], runs, places, work)
                    except WorkCancelled:
                        raise
                    except Machinery as error:
                        late.add(run_id)
                        extra = {"run": runs[run_id].name, "why": str(error)}
                        lane.log.warning("outputs can't be published yet", extra=extra)
        return late

    def _publish(self, jobs: Sequence[Job], runs: Mapping[int, Run], places: Places, work: Work) -> None:
        site = jobs[0].site
        links = []
        for job in jobs:
            folder = job_directory(self.config, job, runs[job.run_id])
            links.append((f"{folder}/published", f"{folder}/{job.published_attempt}"))
        publish(places.transport(site), links, place=work_place(self.config, self.db, site), work=work)

    @staticmethod
    def _jobs(session: Session, run_ids: Sequence[int]) -> dict[int, list[Job]]:
        """Run's id → its jobs."""
        query = select(Job).where(Job.run_id.in_(run_ids)).order_by(Job.id)
        found: dict[int, list[Job]] = {run_id: [] for run_id in run_ids}
        for job in session.scalars(query.execution_options(populate_existing=True)):
            found[job.run_id].append(job)
        return found

    @staticmethod
    def _last_attempts(session: Session, job_ids: Sequence[int]) -> dict[int, Attempt]:
        """Job's id → its last attempt."""
        query = select(Attempt).where(Attempt.job_id.in_(job_ids)).order_by(Attempt.number)
        attempts = session.scalars(query.execution_options(populate_existing=True))
        return {a.job_id: a for a in attempts}


def _may_run(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.ended_at is None


def _refused(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.verdict == "refused"
