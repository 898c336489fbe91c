"""Messages to people: put in the outbox in the transaction that has the cause, delivered by Messenger."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from ..config import Config
from ..db.insert import born, insert_new
from ..db.states import OutboxStatus
from ..db.steps import clean
from ..db.tables import Outbox


def post(
    session: Session,
    config: Config,
    subject: str,
    body: str,
    *,
    stream: str,
    key: str | None = None,
    **details: Any,
) -> None:
    """Queue a message for every sink. With a `key` it is queued once, however often it is posted."""
    rows = [
        {
            "status": OutboxStatus.QUEUED,
            "stream": stream,
            "sink": sink,
            "subject": clean(f"[ondeck {config.name}] {subject}", 300).replace("\n", " "),
            "body": clean(body, 20_000),
            "details": details,
            "key": None if key is None else f"{sink}:{key}",
            **born("posted"),
        }
        for sink in config.sinks
    ]
    insert_new(session, Outbox, rows, ["key"])
