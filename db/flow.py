"""What moves now: counts by status, what is held back and by what, the newest steps, the daemons' beats.

Each query costs what is live, not what is archived, but for `all_runs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from .clock import database_time
from .models import Copy, Job, Run, Transition
from .states import RunStatus
from .tables import DaemonBeat

_LIVE_RUNS = (RunStatus.ACQUIRED, RunStatus.TRANSFERRING, RunStatus.ONDECK, RunStatus.PROCESSING, RunStatus.FAILED)
_LIVE_JOBS = ("waiting", "blocked", "new", "submitting", "pending", "running")
_RECENT = 5000


class Step(NamedTuple):
    """A transition, with the name of its row."""

    id: int
    at: datetime
    what: str
    source: str | None
    to: str
    actor: str
    reason: str | None


class Beat(NamedTuple):
    """A daemon instance. `age` since its last beat."""

    name: str
    host: str
    pid: int
    age: timedelta
    stopped: bool
    error: str | None


def all_runs(session: Session) -> dict[str, int]:
    """How many runs are in each status. Reads them all: not to be asked every second."""
    rows = session.execute(select(Run.status, func.count()).group_by(Run.status))
    return dict(rows.all())


def live_runs(session: Session) -> dict[str, int]:
    """How many runs are in each status that has an index of its own."""
    return _counts(session, "runs", _LIVE_RUNS)


def live_jobs(session: Session) -> dict[str, int]:
    """How many jobs wait or run, by status."""
    return _counts(session, "jobs", _LIVE_JOBS)


def _counts(session: Session, table: str, statuses: Iterable[str]) -> dict[str, int]:
    return {
        status: int(session.execute(text(f"SELECT count(*) FROM {table} WHERE status = '{status}'")).scalar_one())
        for status in statuses
    }


def held_back(session: Session) -> list[tuple[str, str, int, datetime | None, str | None]]:
    """(runs or jobs, gate, how many, the oldest since, an example of the reason), the most first."""
    found = []
    for model, statuses in ((Run, _LIVE_RUNS[:-1]), (Job, _LIVE_JOBS[1:3])):
        table = model.__tablename__
        for status in statuses:
            rows = session.execute(
                select(model.blocked_by, func.count(), func.min(model.blocked_since), func.min(model.reason))
                .where(text(f"{table}.status = '{status}'"), model.blocked_by.is_not(None))
                .group_by(model.blocked_by)
            )
            found += [(table, row[0] or "", row[1], row[2], row[3]) for row in rows]
    return sorted(found, key=lambda one: -one[2])


def waiting_for_people(session: Session) -> list[tuple[str, str, str | None]]:
    """(run, module, why) of the newest jobs that wait for a person."""
    rows = session.execute(
        select(Run.name, Job.module, Job.reason).join(Run, Run.id == Job.run_id)
        .where(text("jobs.status = 'waiting'")).order_by(Job.id.desc()).limit(10)
    )  # fmt: skip
    return list(rows)


def newest_id(session: Session) -> int:
    """The id of the newest transition; 0 when there is none."""
    return session.scalar(select(func.max(Transition.id))) or 0


def recent_steps(session: Session, limit: int, after: int = 0) -> list[Step]:
    """The newest `limit` transitions whose id is above `after`, the oldest first, with the names of their rows."""
    query = select(Transition).where(Transition.id > after).order_by(Transition.id.desc()).limit(limit)
    steps = list(reversed(session.scalars(query).all()))
    names = _names(session, steps)
    return [
        Step(
            s.id,
            s.at,
            names.get((s.table_name, s.row_id), f"{s.table_name} {s.row_id}"),
            s.source,
            s.to,
            s.actor,
            s.reason,
        )
        for s in steps
    ]


def _names(session: Session, steps: Iterable[Transition]) -> dict[tuple[str, int], str]:
    ids: dict[str, set[int]] = {}
    for step in steps:
        ids.setdefault(step.table_name, set()).add(step.row_id)
    found: dict[tuple[str, int], str] = {}
    for run_id, run in session.execute(select(Run.id, Run.name).where(Run.id.in_(ids.get("runs", ())))):
        found["runs", run_id] = f"run {run}"
    jobs = select(Job.id, Run.name, Job.module).join(Run, Run.id == Job.run_id).where(Job.id.in_(ids.get("jobs", ())))
    for job_id, run, module in session.execute(jobs):
        found["jobs", job_id] = f"job {run} {module}"
    copies = (
        select(Copy.id, Run.name, Copy.storage)
        .join(Run, Run.id == Copy.run_id)
        .where(Copy.id.in_(ids.get("copies", ())))
    )
    for copy_id, run, storage in session.execute(copies):
        found["copies", copy_id] = f"copy {run} on {storage}"
    return found


def rates(session: Session, within: timedelta) -> dict[str, int]:
    """How many runs came to each status within that time before now, among the newest steps."""
    since = database_time(session) - within
    recent = select(Transition).order_by(Transition.id.desc()).limit(_RECENT).subquery()
    rows = session.execute(
        select(recent.c.to, func.count())
        .where(recent.c.table_name == "runs", recent.c.at >= since)
        .where(recent.c.source.is_(None) | (recent.c.source != recent.c.to))
        .group_by(recent.c.to)
    )
    return dict(rows.all())


def beats(session: Session) -> list[Beat]:
    """All daemon instances that beat within the last day."""
    now = database_time(session)
    rows = session.scalars(
        select(DaemonBeat).where(DaemonBeat.beat_at > now - timedelta(days=1)).order_by(DaemonBeat.id)
    )
    return [Beat(r.name, r.host, r.pid, now - r.beat_at, r.stopped_at is not None, r.last_error) for r in rows]
