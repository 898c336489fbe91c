"""What a person may ask for. Tools and the page change statuses only through these.

Each works in the caller's transaction, locks the run rows first, and raises the epoch of what it moves, so that a
daemon that works on a row at this moment is shut out. A live job is never moved here: the wish is written down
(`wanted`), and Process cancels, sees the end, and then moves it. Each verb returns what it did, row by row; the
caller shows it, and takes the transaction back for a preview.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..config.errors import OndeckError
from ..db.actor import actor
from ..db.clock import database_time
from ..db.insert import insert_new
from ..db.models import Attempt, Copy, Job, Run
from ..db.states import ENDED_JOBS, LIVE_JOBS, CopyStatus, JobStatus, OutboxStatus, RunStatus
from ..db.steps import advance, clean, look
from ..db.tables import Outbox, Site
from ..db.wake import wake
from .choose import JobRow


class RunIsCancelled(OndeckError):
    """Run {run} is cancelled: its jobs stay as they are. Reset the run first: ondeck run reset {run}"""


class NotThere(OndeckError):
    """{what} is {status}: {why}."""


@dataclass(frozen=True)
class Done:
    """What a verb did to one row: `what` names it, `source` and `to` are its statuses, `words` say more."""

    what: str
    source: str
    to: str
    words: str = ""


_UNBLOCKED: dict[str, Any] = {"blocked_by": None, "blocked_since": None}

# ---- jobs ----


def reset_jobs(
    session: Session,
    config: Config,
    jobs: Sequence[JobRow],
    why: str,
    *,
    only: bool = False,
    ended: bool = False,
) -> list[Done]:
    """Have jobs done again: a new attempt in its own directory, whose outputs stand when it has succeeded.

    Dependants that are done or live are reset too, unless `only`. `ended`: the person vouches that nothing runs any
    more of jobs that wait because they "may still run".
    """
    del config
    chosen = list(jobs)
    if not only:
        there = {row.job.id for row in chosen}
        chosen += [d for d in dependants(session, chosen) if d.job.id not in there]
    first = {row.job.id for row in jobs}

    def move(row: JobRow) -> Done | None:
        if row.job.status == JobStatus.WAITING and _may_run(session, row.job):
            if not ended:
                return _want(session, row, "reset", why)
            _vouch(session, row.job)
        words = why if row.job.id in first else f"{why} (it needs a job that was reset)"
        again: dict[str, Any] = {"result": "", "failures": 0}
        to = JobStatus.WAITING if row.job.validation == "WAITING" else JobStatus.BLOCKED
        return _move(session, row, to, words, **again)

    return _each(session, chosen, "reset", why, move)


def hold_jobs(session: Session, config: Config, jobs: Sequence[JobRow], why: str) -> list[Done]:
    """Keep jobs from running until a person says go with StartJob; live ones are cancelled first."""
    del config

    def move(row: JobRow) -> Done | None:
        if row.job.status == JobStatus.WAITING and _may_run(session, row.job):
            return _want(session, row, "hold", why)
        if row.job.status == JobStatus.WAITING and row.job.validation == "WAITING":
            return None
        return _move(session, row, JobStatus.WAITING, why, validation="WAITING")

    return _each(session, jobs, "hold", why, move)


def start_jobs(session: Session, config: Config, jobs: Sequence[JobRow], why: str) -> list[Done]:
    """Say go: validation is YES, and a waiting job may run when its gates are open."""
    del config

    def move(row: JobRow) -> Done | None:
        if row.job.status == JobStatus.WAITING and _may_run(session, row.job):
            raise NotThere(
                what=f"{row.run.name} {row.job.module}",
                status="waiting",
                why="it may still run; look, and then type ResetJob --ended",
            )
        to = JobStatus.BLOCKED if row.job.status == JobStatus.WAITING else JobStatus(row.job.status)
        return _move(session, row, to, why, validation="YES")

    return _each(session, jobs, None, why, move)


def cancel_jobs(session: Session, config: Config, jobs: Sequence[JobRow], why: str) -> list[Done]:
    """End jobs for good; live ones are cancelled at the batch system first."""
    del config

    def move(row: JobRow) -> Done | None:
        if row.job.status in (JobStatus.DONE, JobStatus.CANCELLED):
            return None
        if row.job.status == JobStatus.WAITING and _may_run(session, row.job):
            return _want(session, row, "cancel", why)
        return _move(session, row, JobStatus.CANCELLED, why)

    return _each(session, jobs, "cancel", why, move)


def dependants(session: Session, jobs: Sequence[JobRow]) -> list[JobRow]:
    """Jobs that are done or live and have used, directly or not, the output of one of `jobs`."""
    found: dict[int, JobRow] = {}
    level = {row.job.id for row in jobs}
    seen = set(level)
    while level:
        rows = (
            session.execute(
                select(Job, Run).join(Run, Run.id == Job.run_id).where(Job.prerequisite_id.in_(level))
            )
            .all()
        )
        level = {job.id for job, _ in rows} - seen
        seen |= level
        for job, run in rows:
            if job.status == JobStatus.DONE or job.status in LIVE_JOBS:
                found[job.id] = JobRow(job, run)
    return list(found.values())


def _each(
    session: Session,
    jobs: Sequence[JobRow],
    wanted: str | None,
    why: str,
    move: Callable[[JobRow], Done | None],
) -> list[Done]:
    """Lock the runs and jobs, then do to each job what the verb does: write the wish on live ones, move the others."""
    look(session, Run, {row.run.id for row in jobs})
    look(session, Job, {row.job.id for row in jobs})
    done = []
    for row in sorted(jobs, key=lambda r: r.job.id):
        session.refresh(row.run)
        session.refresh(row.job)
        if row.run.status == RunStatus.CANCELLED or row.run.wanted == "cancel":
            raise RunIsCancelled(run=row.run.name)
        live = row.job.status in LIVE_JOBS
        one = _want(session, row, wanted, why) if live and wanted else move(row)
        if one is not None:
            done.append(one)
    return done


def _want(session: Session, row: JobRow, wanted: str, why: str) -> Done:
    """A live job is not moved: Process does it when its end was seen."""
    status = row.job.status
    advance(
        session,
        look(session, Job, [row.job.id]),
        status,
        f"{wanted} is wanted: {why}",
        fence=True,
        wanted=wanted,
    )
    return Done(
        f"{row.run.name} {row.job.module}", status, status, f"{wanted} is wanted; Process ends it first"
    )


def _move(session: Session, row: JobRow, to: JobStatus, why: str, **columns: Any) -> Done | None:
    status = JobStatus(row.job.status)
    if status == to and not columns:
        return None
    fresh: dict[str, Any] = {
        "wanted": "",
        "tries": 0,
        "not_before": None,
        **_UNBLOCKED,
    }
    if (
        status == to
        and "validation" in columns
        and status not in (JobStatus.WAITING, JobStatus.BLOCKED, JobStatus.NEW)
    ):
        fresh = {}
    advance(session, look(session, Job, [row.job.id]), to, why, fence=True, **{**fresh, **columns})
    undone = status == JobStatus.FAILED != to and row.run.status == RunStatus.FAILED
    if to in (JobStatus.BLOCKED, JobStatus.NEW) or undone:
        reopen(session, row.run, f"job {row.job.module}: {why}")
    return Done(f"{row.run.name} {row.job.module}", status, to)


def reopen(session: Session, run: Run, why: str) -> None:
    """A run at rest whose job may move again is processing again."""
    if run.status in (RunStatus.PROCESSED, RunStatus.ARCHIVED, RunStatus.FAILED):
        advance(session, look(session, Run, [run.id]), RunStatus.PROCESSING, why, fence=True, failed_from=None)
        session.refresh(run)
        _want_data(session, run)


def _want_data(session: Session, run: Run) -> None:
    """A run that is processed again wants its plain copies again; a removal that is not decided yet is given up."""
    copies = session.scalars(
        select(Copy).where(
            Copy.run_id == run.id,
            Copy.job_id.is_(None),
            Copy.form == "plain",
            Copy.wanted.is_(False),
            Copy.status.in_([CopyStatus.VERIFIED]),
        )
    ).all()
    for one in look(session, Copy, [c.id for c in copies]):
        advance(
            session, [one], one.status, "wanted again: its run is processed again", fence=True, wanted=True
        )


def _locked_jobs(session: Session, run: Run) -> Sequence[Job]:
    """The jobs of a locked run, as they are now and stay until the transaction ends."""
    mine = select(Job).where(Job.run_id == run.id).order_by(Job.id)
    look(session, Job, session.scalars(mine.with_only_columns(Job.id)))
    return session.scalars(mine.execution_options(populate_existing=True)).all()


def _last_attempt(session: Session, job: Job) -> Attempt | None:
    return session.scalar(
        select(Attempt).where(Attempt.job_id == job.id).order_by(Attempt.number.desc()).limit(1)
    )


def _may_run(session: Session, job: Job) -> bool:
    attempt = _last_attempt(session, job)
    return attempt is not None and attempt.ended_at is None


def _vouch(session: Session, job: Job) -> None:
    """A person says that nothing of the job's open attempt runs any more."""
    attempt = _last_attempt(session, job)
    if attempt is not None:
        attempt.ended_at, attempt.verdict = database_time(session), "vouched"
        attempt.words = f"{actor()} vouches that nothing runs"
        session.flush()


# ---- runs ----


def reset_runs(session: Session, config: Config, runs: Sequence[Run], why: str) -> list[Done]:
    """Take failed or cancelled runs back to where they were at rest before, with their failed and cancelled jobs."""
    done = []
    for run in _locked(session, runs):
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            raise NotThere(
                what=f"run {run.name}",
                status=run.status,
                why="only a failed or cancelled run can be reset (for its jobs there is ResetJob)",
            )
        jobs = _locked_jobs(session, run)
        to = RunStatus.PROCESSING if jobs else RunStatus(run.failed_from or RunStatus.ACQUIRED)
        source = run.status
        fresh: dict[str, Any] = {
            "tries": 0,
            "failures": 0,
            "not_before": None,
            "failed_from": None,
            "wanted": "",
            **_UNBLOCKED,
        }
        advance(session, look(session, Run, [run.id]), to, why, fence=True, **fresh)
        session.refresh(run)
        done.append(Done(f"run {run.name}", source, to))
        refused = [
            j
            for j in jobs
            if j.status == JobStatus.WAITING and (a := _last_attempt(session, j)) and a.verdict == "refused"
        ]
        again = [
            JobRow(j, run)
            for j in jobs
            if j.status in (JobStatus.FAILED, JobStatus.CANCELLED) or j in refused
        ]
        if again:
            _want_data(session, run)
            done += reset_jobs(session, config, again, why)
    return done


def cancel_runs(session: Session, config: Config, runs: Sequence[Run], why: str) -> list[Done]:
    """End runs for good. Where a job is live the wish is written down, and Process concludes when its end was seen."""
    del config
    done = []
    for run in _locked(session, runs):
        if run.status == RunStatus.CANCELLED:
            continue
        if run.status == RunStatus.ARCHIVED:
            raise NotThere(
                what=f"run {run.name}", status=run.status, why="an archived run can't be cancelled"
            )
        source, live = run.status, False
        for job in _locked_jobs(session, run):
            if job.status in LIVE_JOBS or (job.status == JobStatus.WAITING and _may_run(session, job)):
                live = True
                done.append(_want(session, JobRow(job, run), "cancel", why))
            elif job.status not in ENDED_JOBS:
                moved = _move(session, JobRow(job, run), JobStatus.CANCELLED, why)
                done += [moved] if moved else []
        one = look(session, Run, [run.id])
        if live:
            advance(session, one, run.status, f"cancel is wanted: {why}", fence=True, wanted="cancel")
            done.append(
                Done(f"run {run.name}", source, source, "cancel is wanted; its live jobs are ended first")
            )
        else:
            back = _resting(run)
            advance(session, one, RunStatus.CANCELLED, why, fence=True, wanted="", failed_from=back, **_UNBLOCKED)
            _end_copy(session, run, why)
            done.append(Done(f"run {run.name}", source, RunStatus.CANCELLED))
    return done


def _resting(run: Run) -> str:
    """The status to which a reset of a cancelled run leads."""
    if run.status in (RunStatus.ACQUIRED, RunStatus.TRANSFERRING):
        return RunStatus.ACQUIRED
    return run.failed_from or RunStatus.ONDECK if run.status == RunStatus.FAILED else RunStatus.ONDECK


def _end_copy(session: Session, run: Run, why: str) -> None:
    """A copy that was just being written for a cancelled run is absent: its writer is shut out by the run's epoch."""
    if run.status in (RunStatus.TRANSFERRING, RunStatus.ACQUIRED):
        sources = select(Copy.id).where(
            Copy.run_id == run.id,
            Copy.status == CopyStatus.WRITING,
            Copy.form == "plain",
            Copy.reason != "written by the DAQ",
        )
        advance(session, look(session, Copy, session.scalars(sources)), CopyStatus.ABSENT, why, fence=True)


def comment(session: Session, runs: Sequence[Run], words: str) -> list[Done]:
    """Add a line to the comments of runs."""
    done = []
    for run in _locked(session, runs):
        line = clean(words).replace("\n", " ")
        text = f"{run.comments}\n{line}" if run.comments else line
        advance(
            session, look(session, Run, [run.id]), run.status, f"comment: {line}", keep=True, comments=text
        )
        done.append(Done(f"run {run.name}", run.status, run.status, f"comment: {line}"))
    return done


def tag(
    session: Session, runs: Sequence[Run], add: Iterable[str] = (), remove: Iterable[str] = ()
) -> list[Done]:
    """Add tags to runs and take tags away."""
    plus, minus = [clean(t, 100) for t in add], {clean(t, 100) for t in remove}
    done = []
    for run in _locked(session, runs):
        tags = [t for t in dict.fromkeys([*run.tags, *plus]) if t not in minus]
        words = f"tags: {', '.join(tags) or 'none'}"
        advance(session, look(session, Run, [run.id]), run.status, words, keep=True, tags=tags)
        done.append(Done(f"run {run.name}", run.status, run.status, words))
    return done


def _locked(session: Session, runs: Sequence[Run]) -> list[Run]:
    look(session, Run, [run.id for run in runs])
    for run in runs:
        session.refresh(run)
    return sorted(runs, key=lambda run: run.id)


# ---- sites and messages ----


def pause_site(
    session: Session, site: str, reason: str, until: datetime | None = None, *, drain: bool = False
) -> Done:
    """Let nothing new begin at a site. With `drain` its running jobs are followed to their end (as they are anyway)."""
    insert_new(session, Site, [{"name": site}], ["name"])
    state = session.get_one(Site, site, populate_existing=True)
    before = "paused" if state.paused_at else "open"
    state.paused_at, state.paused_until, state.paused_by = database_time(session), until, actor()
    state.pause_reason, state.drain = clean(reason), drain
    session.flush()
    return Done(f"site {site}", before, "paused", reason)


def resume_site(session: Session, site: str) -> Done:
    """Open a site that a person has paused, or whose breaker is open."""
    state = session.get(Site, site, populate_existing=True)
    if state is None or (state.paused_at is None and state.breaker_opened_at is None):
        raise NotThere(what=f"site {site}", status="open", why="it was not paused")
    state.paused_at = state.paused_until = state.paused_by = state.pause_reason = None
    state.breaker_opened_at = state.breaker_reason = state.breaker_trial_at = None
    state.drain, state.breaker_rows = False, []
    session.flush()
    wake(session)
    return Done(f"site {site}", "paused", "open")


def resend(session: Session, ids: Sequence[int]) -> list[Done]:
    """Queue failed messages again."""
    failed = [c for c in look(session, Outbox, ids) if c.status == OutboxStatus.FAILED]
    moved = advance(session, failed, OutboxStatus.QUEUED, "a person sends it again", fence=True, tries=0)
    return [Done(f"message {c.id}", OutboxStatus.FAILED, c.status) for c in moved]
