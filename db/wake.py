"""Ending the sleep of all who wait on the run database, for a change that is no step."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from .triggers import CHANNEL


def wake(session: Session) -> None:
    """Whoever sleeps on the database wakes when this transaction is committed."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, 'wake')"), {"channel": CHANNEL})
        return
    count = int(session.execute(text("PRAGMA user_version")).scalar_one())  # nobody else uses it
    session.execute(text(f"PRAGMA user_version = {(count + 1) % 2**31}"))
