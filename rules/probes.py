"""What was last seen outside: written by the owner of a lane, read by gates, tools and forecasts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..db.clock import database_time
from ..db.tables import Probe
from ..db.triggers import CHANNEL


def record(
    session: Session,
    kind: str,
    subject: str,
    value: dict[str, Any],
    holds: timedelta,
    error: str | None = None,
) -> None:
    """Store what was seen of `subject`; it holds for `holds`. Wakes the daemons when the answer is another one."""
    now = database_time(session)
    probe = session.get(Probe, (kind, subject))
    if probe is None:
        probe = Probe(kind=kind, subject=subject, value={}, seen_at=now, valid_until=now)
        session.add(probe)
        news = True
    else:
        news = (probe.error is None) != (error is None) or probe.valid_until <= now
    probe.value, probe.seen_at, probe.valid_until, probe.error = value, now, now + holds, error
    session.flush()
    if news and session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, 'probes')"), {"channel": CHANNEL})


def last(session: Session, kind: str, subject: str) -> Probe | None:
    """What was last seen, however old."""
    return session.get(Probe, (kind, subject), populate_existing=True)
