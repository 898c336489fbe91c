"""The message that a daemon had died."""

from __future__ import annotations

from sqlalchemy import insert, select

from ..config.model import Config
from ..db.engine import Database
from ..db.insert import born
from ..db.states import OutboxStatus
from ..db.tables import Outbox
from .identity import Identity, this_host

STREAM = "daemons"


def tell_of_death(db: Database, config: Config, name: str, who: Identity | None, why: str, *, started: bool) -> int:
    """Put a message into the outbox for each mail sink, once for each process that died; returns how many."""
    after = "was started again" if started else "could NOT be started again"
    subject = f"[{config.name}] {name} on {this_host()} had died and {after}"
    body = f"{name} on {this_host()} {why}. It {after}.\nIts log: {config.state_dir / 'logs'}/{name}.log\n"
    identity = "-".join(str(part) for part in who) if who else "unknown"
    count = 0
    with db.write() as session:
        for sink in sorted(key for key, value in config.sinks.items() if value.type == "mail"):
            key = f"died:{name}:{identity}:{sink}"
            if session.scalar(select(Outbox.id).where(Outbox.key == key)) is None:
                row = {"stream": STREAM, "sink": sink, "subject": subject, "body": body, "key": key}
                row |= born("a daemon had died")
                session.execute(insert(Outbox).values(status=OutboxStatus.QUEUED.value, **row))
                count += 1
    return count
