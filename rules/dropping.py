"""What a new configuration may not drop while rows use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..config import Config
from ..db.states import LIVE_JOBS, CopyStatus, RunStatus

_MOVING_RUNS = (RunStatus.ACQUIRED, RunStatus.TRANSFERRING, RunStatus.ONDECK, RunStatus.PROCESSING)
_THERE = (CopyStatus.WRITING, CopyStatus.VERIFIED, CopyStatus.SUSPECT, CopyStatus.DELETING)


def _one_of(statuses: tuple[str, ...]) -> str:
    return f"status IN ({', '.join(repr(str(s)) for s in statuses)})"


_USES = {
    "sites": ("jobs", "site", _one_of(LIVE_JOBS), "has live jobs"),
    "storages": ("copies", "storage", _one_of(_THERE), "holds copies"),
    "sources": ("runs", "source", _one_of((RunStatus.ACQUIRED, RunStatus.TRANSFERRING)), "has runs under way"),
    "listeners": ("runs", "listener", _one_of(_MOVING_RUNS), "has runs under way"),
    "sinks": ("outbox", "sink", "status IN ('queued', 'sending')", "has messages to deliver"),
}
"""Section → (table, column that names it, condition of rows that need it, words)."""


def in_use(session: Session, old: Config, new: Config) -> str | None:
    """Why the configuration `old` can't be followed by `new`: what it drops and rows need; None when it can."""
    for section, (table, column, condition, words) in _USES.items():
        before: Mapping[str, Any] = getattr(old, section)
        for name in sorted(before.keys() - getattr(new, section).keys()):
            query = text(f"SELECT 1 FROM {table} WHERE {column} = :name AND {condition} LIMIT 1")
            if session.execute(query, {"name": name}).first() is not None:
                return f"[{section}.{name}] is gone, but it still {words}"
    return None
