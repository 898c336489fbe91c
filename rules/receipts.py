"""Receipts of removals."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.clock import database_time
from ..db.models import Receipt


def close_receipt(
    session: Session, copy_id: int, outcome: str, reason: str | None, *, free_after: int | None = None
) -> None:
    """Close the open receipt of a copy, if it has one."""
    receipt = session.scalar(select(Receipt).where(Receipt.copy_id == copy_id, Receipt.closed_at.is_(None)))
    if receipt is not None:
        receipt.closed_at, receipt.outcome, receipt.reason = database_time(session), outcome, reason
        receipt.free_after = free_after
        session.flush()
