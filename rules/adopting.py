"""Attempts that a site has and a restored run database lacks: written down, so that their jobs don't run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.clock import database_time
from ..db.models import Attempt, Job, Run
from ..db.states import LIVE_JOBS, JobStatus, RunStatus
from ..db.steps import advance, look
from .verbs import RunIsCancelled, reopen


@dataclass(frozen=True)
class Ended:
    """How a payload ended, by its exit file."""

    code: int
    signal: int | None
    host: str
    started: datetime | None
    ended: datetime | None
    cpu: float | None


@dataclass(frozen=True)
class There:
    """An attempt as its directory shows it. `ended` is None where no exit file says how its payload ended."""

    number: int
    token: str
    directory: str
    batch_id: str | None = None
    ended: Ended | None = None


def adopt_attempts(session: Session, job_id: int, there: Sequence[There]) -> str:
    """Write down the attempts of a job that were found; returns what was done, in words.

    Only the newest can still have something outside: it stays open, and its job is live, so that Process follows it
    to the end as if it had submitted it just now. (It makes a new attempt only when the one before is over.) Raises
    RunIsCancelled.
    """
    run_id = session.scalar(select(Job.run_id).where(Job.id == job_id))
    assert run_id is not None
    look(session, Run, [run_id])
    one = look(session, Job, [job_id])[0]
    run, job = session.get_one(Run, run_id), session.get_one(Job, job_id)
    session.refresh(run)
    session.refresh(job)
    if run.status == RunStatus.CANCELLED or run.wanted == "cancel":
        raise RunIsCancelled(run=run.name)
    rows = {a.number: a for a in session.scalars(select(Attempt).where(Attempt.job_id == job_id))}
    new = [found for found in there if found.number not in rows]
    if not new:
        return "is known already"
    now = database_time(session)
    for found in sorted(there, key=lambda f: f.number):
        row = rows.get(found.number)
        if row is None:
            row = rows[found.number] = Attempt(
                job_id=job_id,
                number=found.number,
                token=found.token,
                site=job.site,
                directory=found.directory,
                batch_id=found.batch_id,
                submitted_at=now,
            )
            session.add(row)
        if found.number < max(rows.keys() | {f.number for f in there}) and row.ended_at is None:
            _close(row, found.ended, now)
    session.flush()
    newest = max(rows.values(), key=lambda a: a.number)
    words = f"attempt {newest.number}, token {newest.token}, was found at {job.site}: it was made after the backup"
    columns: dict[str, Any] = {"wanted": "", "not_before": None, "blocked_by": None, "blocked_since": None}
    if one.status not in LIVE_JOBS:
        if one.status != JobStatus.NEW:
            one = advance(session, [one], JobStatus.NEW, words, fence=True, result="", **columns)[0]
        reopen(session, run, f"job {job.module}: {words}")
    to = one.status if one.status in LIVE_JOBS else JobStatus.SUBMITTING
    advance(session, [one], to, words, fence=True, **columns)
    return words


def _close(row: Attempt, ended: Ended | None, now: datetime) -> None:
    row.ended_at, row.verdict = now, "superseded"
    row.words = "a newer attempt was found when the restored run database was compared"
    if ended is not None:
        row.exit_code, row.signal, row.host, row.cpu_seconds = ended.code, ended.signal, ended.host, ended.cpu
        row.started_at, row.ended_at = ended.started, ended.ended or now
        row.verdict = "signalled" if ended.signal else "exited"
