"""Writing on a row which gate holds it back."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..db.clock import database_time
from ..db.models import Job, Run
from ..rules.gates import Closed


def block(session: Session, row: Run | Job, closed: Closed) -> None:
    """`row` is held back by `closed`; nothing is written when the row says so already."""
    if row.blocked_by == closed.gate:
        return
    row.blocked_by, row.blocked_since = closed.gate, closed.since or database_time(session)
    session.flush()


def unblock(session: Session, row: Run | Job) -> None:
    """No gate holds `row` back any more."""
    if row.blocked_by is not None:
        row.blocked_by = row.blocked_since = None
        session.flush()
