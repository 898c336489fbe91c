"""The submitting half of Process: new jobs get an attempt, a directory, and are submitted, once.

Each step is written down before it is done outside: the attempt with its token first, then the directory, then the
submission, then the batch id. Whatever is cut off in between is taken up by `following`, which asks for the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..db.actor import actor
from ..db.clock import database_time
from ..db.engine import Database
from ..db.insert import insert_new
from ..db.models import Attempt, Job, Run
from ..db.states import JobStatus
from ..db.steps import Claim, advance, claim, due, release
from ..db.tables import Site
from ..rules.breaker import begin_trial, room
from ..rules.gates import free_slots, gates_of_jobs, pause
from ..sites.attempts import Place, Preparation, Prepared, make_token, prepare, revoke, token_prefix
from ..sites.batch import BatchSystem, JobSpec, Rejected, Submission, Submitted, Unknown
from ..sites.render import render_own
from ..sites.transport import Transport
from ..sites.work import Work
from .attemptrows import job_directory, set_columns, set_many
from .base import Lane

_BATCH = 100
_SECONDS = 120.0


@dataclass
class Fresh:
    """A job whose attempt has just been written."""

    claim: Claim
    job: Job
    run: Run
    attempt: Attempt


class Submitter:
    """Submits new jobs of one site."""

    def __init__(self, config: Config, db: Database, site: str, system: BatchSystem, lease: timedelta) -> None:
        self.config, self.db, self.site, self.system, self.lease = config, db, site, system, lease
        self.prefix = token_prefix(config.name, str(config.state_dir))

    def step(self, lane: Lane, transport: Transport, place: Place) -> int:
        """Submit as many new jobs as there are slots; returns how many rows moved."""
        with self.db.read() as session:
            if (
                not self.candidates(session, 1)
                or pause(session, self.site)
                or free_slots(session, self.config, self.site) == 0
            ):
                return 0
        with self.db.write() as session:
            fresh, blocked = self._write_attempts(session)
        if fresh:
            with lane.guard([f.claim for f in fresh]) as work:
                self._submit(lane, fresh, transport, place, work)
        return len(fresh) + blocked

    def candidates(self, session: Session, limit: int) -> list[tuple[int, int]]:
        """(job, run) of new jobs that are due, in the order in which they are to be submitted."""
        rows = session.execute(
            text(
                "SELECT j.id, j.run_id FROM jobs j JOIN runs r ON r.id = j.run_id"
                f" WHERE j.status = 'new' AND j.site = :site AND {due(self.db.dialect, 'j')}"
                f" AND r.status = 'processing' AND r.wanted = ''"
                " ORDER BY j.priority DESC, j.id LIMIT :limit"
            ),
            {"site": self.site, "limit": limit},
        )
        return [(r.id, r.run_id) for r in rows]

    def _write_attempts(self, session: Session) -> tuple[list[Fresh], int]:
        """Under the locks of site and runs: ask the gates again, write the attempts, jobs -> submitting."""
        insert_new(session, Site, [{"name": self.site}], ["name"])
        session.scalar(select(Site).where(Site.name == self.site).with_for_update())
        free = free_slots(session, self.config, self.site)
        limit = _BATCH if free is None else min(free, _BATCH)
        pairs = self.candidates(session, limit) if pause(session, self.site) is None else []
        pairs = pairs[: room(session, self.site)] if pairs else []
        if not pairs:
            return [], 0
        runs = {
            run.id: run
            for run in session.scalars(
                select(Run)
                .where(Run.id.in_({run for _, run in pairs}), Run.status == "processing")
                .order_by(Run.id)
                .with_for_update(skip_locked=True)
                .execution_options(populate_existing=True)
            )
        }
        listed = ", ".join(str(job) for job, run in pairs if run in runs) or "NULL"
        claims = claim(session, Job, JobStatus.NEW, limit, lease=self.lease, where=f"id IN ({listed})")
        query = select(Job).where(Job.id.in_([c.id for c in claims])).execution_options(populate_existing=True)
        jobs = {job.id: job for job in session.scalars(query)}
        answers = gates_of_jobs(session, self.config, [(job, runs[job.run_id]) for job in jobs.values()])
        held = [c for c in claims if answers[c.id] is not None]
        for one in held:
            closed = answers[one.id]
            assert closed is not None
            since = closed.since or database_time(session)
            advance(session, [one], JobStatus.BLOCKED, closed.words(), blocked_by=closed.gate, blocked_since=since)
        free_claims = [c for c in claims if answers[c.id] is None]
        if free_claims:
            begin_trial(session, self.config, self.site)
        attempts = self._attempts(session, [jobs[c.id] for c in free_claims], runs)
        words = {job: f"attempt {one.number}, token {one.token}" for job, one in attempts.items()}
        moved = {c.id: c for c in advance(session, free_claims, JobStatus.SUBMITTING, words, keep=True)}
        return [Fresh(moved[c.id], jobs[c.id], runs[jobs[c.id].run_id], attempts[c.id]) for c in free_claims], len(held)

    def _attempts(self, session: Session, jobs: Sequence[Job], runs: Mapping[int, Run]) -> dict[int, Attempt]:
        """Job's id → its next attempt, written."""
        ids = [job.id for job in jobs]
        query = select(Attempt.job_id, func.max(Attempt.number)).where(Attempt.job_id.in_(ids))
        last = {job_id: number for job_id, number in session.execute(query.group_by(Attempt.job_id))}  # noqa: C416
        attempts = {}
        for job in jobs:
            number = last.get(job.id, 0) + 1
            attempts[job.id] = Attempt(
                job_id=job.id,
                number=number,
                token=make_token(self.prefix),
                site=self.site,
                directory=f"{job_directory(self.config, job, runs[job.run_id])}/{number}",
            )
        session.add_all(attempts.values())
        session.flush()
        return attempts

    # ---- outside ----

    def _submit(self, lane: Lane, fresh: list[Fresh], transport: Transport, place: Place, work: Work) -> None:
        prepared = prepare(transport, [self.preparation(f) for f in fresh], place=place, work=work)
        ready = []
        for one, outcome in zip(fresh, prepared, strict=True):
            if outcome.outcome == "made":
                ready.append(one)
            else:
                self._not_made(lane, one, outcome, transport, place, work)
        if not ready:
            return
        commands = [self.system.submit(self.spec(f)) for f in ready]
        results = transport.run_many(commands, timeout=_SECONDS, work=work)
        answers = [Unknown("no whole answer") if r is None else self.system.parse_submit(r) for r in results]
        self._store(lane, ready, answers)

    def preparation(self, fresh: Fresh) -> Preparation:
        """What the attempt's directory will hold."""
        attempt, job = fresh.attempt, fresh.job
        env = {
            "ONDECK_RUN": fresh.run.name,
            "ONDECK_MODULE": job.module,
            "ONDECK_PASS": str(job.pass_),
            **job.settings["env"],
        }
        about = {
            "token": attempt.token,
            "directory": attempt.directory,
            "env": env,
            "identity": self.system.identity,
        }
        wrapper = render_own("wrapper.sh", about)
        files = {
            "wrapper.sh": wrapper.encode("utf-8", "surrogateescape"),
            "payload.sh": job.options.encode("utf-8", "surrogateescape"),
        }
        return Preparation(attempt.directory, attempt.token, files)

    def spec(self, fresh: Fresh) -> JobSpec:
        """What is asked of the batch system."""
        settings, job = fresh.job.settings, fresh.job
        return JobSpec(
            token=fresh.attempt.token,
            directory=fresh.attempt.directory,
            queue=job.queue or None,
            walltime=timedelta(seconds=job.walltime) if job.walltime else None,
            cores=settings["cores"],
            memory=settings["memory"] if isinstance(settings["memory"], int) else None,
        )

    def _not_made(
        self, lane: Lane, one: Fresh, outcome: Prepared, transport: Transport, place: Place, work: Work
    ) -> None:
        """The directory was there, or could not be made: nothing is submitted."""
        if outcome.outcome == "token" and outcome.token is not None:
            lane.log.warning("attempt's directory was there", extra={"run": one.run.name, "token": outcome.token})
            with self.db.write() as session:
                if release(session, [one.claim]):
                    set_columns(session, one.attempt.id, token=outcome.token)
        elif outcome.outcome == "no token":
            lane.log.warning("directory without token", extra={"run": one.run.name, "directory": outcome.directory})
            revoke(transport, [outcome.directory], actor(), place=place, work=work)
            self._give_back([one])
        else:
            lane.log.warning("directory can't be made", extra={"run": one.run.name, "why": outcome.words})
            self._give_back([one])

    def _give_back(self, fresh: Sequence[Fresh]) -> None:
        """What became of these attempts is found out by following them."""
        with self.db.write() as session:
            release(session, [f.claim for f in fresh])

    def _store(self, lane: Lane, fresh: list[Fresh], answers: Sequence[Submission]) -> None:
        with self.db.write() as session:
            now = database_time(session)
            pairs = sorted(zip(fresh, answers, strict=True), key=lambda p: p[0].claim.id)  # as verbs lock them
            taken = {f.claim.id: a.batch_id for f, a in pairs if isinstance(a, Submitted)}
            words = {job: f"submitted as {batch_id}" for job, batch_id in taken.items()}
            mine = [f.claim for f, _ in pairs if f.claim.id in taken]
            moved = {c.id for c in advance(session, mine, JobStatus.PENDING, words)}
            set_many(
                session,
                {
                    f.attempt.id: {"batch_id": taken[f.claim.id], "submitted_at": now}
                    for f, _ in pairs
                    if f.claim.id in moved
                },
            )
            for one, answer in pairs:
                extra = {"run": one.run.name, "module": one.job.module, "token": one.attempt.token}
                if isinstance(answer, Submitted):
                    lane.log.info("submitted", extra={**extra, "batch_id": answer.batch_id})
                elif isinstance(answer, Rejected):
                    if advance(session, [one.claim], JobStatus.WAITING, f"refused: {answer.words}"):
                        set_columns(session, one.attempt.id, ended_at=now, verdict="refused", words=answer.words)
                    lane.log.warning("submission refused", extra={**extra, "why": answer.words})
                else:
                    release(session, [one.claim])
                    lane.log.warning("submission unknown: it will be asked for", extra={**extra, "why": answer.words})
