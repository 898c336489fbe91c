"""Rows for tests of the run database: quickly made, in any status, and their histories read back."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ondeck.db.base import Worked
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Bundle, Copy, Job, Run, Transition
from ondeck.db.states import LEGAL_STEPS
from ondeck.db.steps import Claim, claim, look
from ondeck.db.tables import Inbox, Outbox

MODELS: dict[str, type[Worked]] = {
    "runs": Run,
    "jobs": Job,
    "copies": Copy,
    "bundles": Bundle,
    "inbox": Inbox,
    "outbox": Outbox,
}
"""Table name → model, of all tables whose rows have a status."""

LEASE = timedelta(seconds=60)
_numbers = itertools.count(1)


class Entry(NamedTuple):
    """One transition, as it reads in a row's history."""

    source: str | None
    to: str
    actor: str
    reason: str | None


def new(session: Session, table: str, status: str, **columns: Any) -> int:
    """A new row of `table` in `status`, with what its table needs besides; returns its id."""
    number = next(_numbers)
    given: dict[str, Any] = {}
    match table:
        case "runs":
            given = {"name": f"run{number}"}
        case "jobs":
            given = {"module": f"module{number}"}
        case "copies":
            given = {"storage": f"storage{number}", "path": f"path{number}"}
        case "bundles":
            given = {"storage": "tape"}
        case "inbox":
            given = {"topic": "t", "sha256": f"{number:064x}", "body": b"x"}
        case "outbox":
            given = {"stream": "s", "sink": "mail", "subject": "words", "body": "more words"}
    if table in ("jobs", "copies") and "run_id" not in columns:
        columns["run_id"] = new(session, "runs", "processing")
    row = MODELS[table](status=status, **{**given, **columns})
    session.add(row)
    session.flush()
    return row.id


def make(database: Database, table: str, status: str, count: int = 1, **columns: Any) -> list[int]:
    """`count` new rows, committed; returns their ids."""
    with database.write() as session:
        return [new(session, table, status, **columns) for _ in range(count)]


def make_one(database: Database, table: str, status: str, **columns: Any) -> int:
    """One new row, committed; returns its id."""
    return make(database, table, status, **columns)[0]


def attempt(session: Session, job_id: int, number: int = 1, **columns: Any) -> int:
    """A new attempt of a job; returns its id."""
    site = session.get_one(Job, job_id).site or "here"
    given = {"token": f"t{next(_numbers):012d}", "site": site, "directory": f"/work/{job_id}/{number}"}
    row = Attempt(job_id=job_id, number=number, **{**given, **columns})
    session.add(row)
    session.flush()
    return row.id


def take(database: Database, table: str, status: str, limit: int = 1, **kwargs: Any) -> list[Claim]:
    """Claim in a transaction of its own."""
    with database.write() as session:
        return claim(session, MODELS[table], status, limit, **{"lease": LEASE, **kwargs})


def seen(database: Database, table: str, ids: list[int]) -> list[Claim]:
    """The rows as they stand, as claims."""
    with database.read() as session:
        return look(session, MODELS[table], ids, lock=False)


def row(database: Database, table: str, row_id: int) -> Any:
    """The row as it stands, detached."""
    with database.read() as session:
        found = session.get_one(MODELS[table], row_id, populate_existing=True)
        session.expunge_all()
        return found


def status(database: Database, table: str, row_id: int) -> str:
    """The row's status."""
    return str(row(database, table, row_id).status)


def history(database: Database, table: str, row_id: int) -> list[Entry]:
    """The row's transitions, oldest first."""
    with database.read() as session:
        found = session.scalars(
            select(Transition)
            .where(Transition.table_name == table, Transition.row_id == row_id)
            .order_by(Transition.id)
        )
        return [Entry(t.source, t.to, t.actor, t.reason) for t in found]


def check_history(database: Database, table: str, row_id: int) -> None:
    """The row's history is whole: it begins with a birth, each step follows from the one before and is legal, the
    last one led to the status that the row has, and there are as many as its `steps` say."""
    entries = history(database, table, row_id)
    legal = {(s.source, s.to) for s in LEGAL_STEPS[table]}
    assert entries, f"{table} {row_id} has no history"
    assert entries[0].source is None
    for before, entry in itertools.pairwise(entries):
        assert entry.source == before.to
        assert entry.source == entry.to or (entry.source, entry.to) in legal, entry
    there = row(database, table, row_id)
    assert entries[-1].to == there.status
    by_hand = sum(e.actor == "by hand" for e in entries[1:])
    assert len(entries) - 1 - by_hand == there.steps


def execute(database: Database, sql: str, **values: Any) -> None:
    """One statement, committed."""
    with database.write() as session:
        session.execute(text(sql), values)
