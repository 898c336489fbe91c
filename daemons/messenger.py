"""Messenger: delivers the outbox, in order within each stream. A lane a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select, text

from ..config.plugins import find
from ..db.clock import NOW
from ..db.states import OutboxStatus
from ..db.steps import Claim, advance, claim, due
from ..db.tables import Outbox
from ..rules.trouble import back_off
from ..sinks import Message, Sink, SinkAway, SinkRefused
from .base import Daemon, Lane

_OLDEST = (
    "sink = :sink AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.sink = outbox.sink AND o.stream = outbox.stream"
    " AND o.id < outbox.id AND o.status IN ('queued', 'sending'))"
)


class Messenger(Daemon):
    """Hands messages to their sinks. Only a stream's oldest undelivered one may be sent."""

    name = "Messenger"

    def lanes(self) -> Sequence[str]:
        """The sinks."""
        return list(self.config.sinks)

    def step(self, lane: Lane) -> int:
        """Send the oldest message of one stream, taking up first what was broken off."""
        with self.db.read() as session:
            if not self._due(session, lane.name):
                return 0
        with self.db.write() as session:
            claims: list[Claim] = []
            for status in (OutboxStatus.SENDING, OutboxStatus.QUEUED):
                claims = claims or claim(
                    session, Outbox, status, 1, lease=self.settings.lease, where=_OLDEST, sink=lane.name
                )
            claims = [
                c
                if c.status == OutboxStatus.SENDING
                else advance(session, [c], OutboxStatus.SENDING, "", keep=True)[0]
                for c in claims
            ]
        for one in claims:
            with lane.guard([one], f"message {one.id}"):
                self._send(lane, one)
        return len(claims)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which messages would be sent."""
        with self.db.read() as session:
            waiting = (
                select(Outbox)
                .where(Outbox.sink == lane.name, text("status IN ('queued', 'sending')"))
                .order_by(Outbox.id)
            )
            for message in session.scalars(waiting):
                yield f"send to {lane.name}: {message.subject}"

    def _due(self, session: object, sink: str) -> bool:
        query = (
            f"SELECT 1 FROM outbox WHERE status IN ('queued', 'sending') AND {_OLDEST}"
            f" AND {due(self.db.dialect)} LIMIT 1"
        )
        return session.execute(text(query), {"sink": sink}).first() is not None  # type: ignore[attr-defined]

    def _send(self, lane: Lane, one: Claim) -> None:
        with self.db.read() as session:
            row = session.get_one(Outbox, one.id)
        section = self.config.sinks[lane.name]
        kind = find("ondeck.sinks", section.type)
        assert issubclass(kind, Sink)
        try:
            kind(lane.name, section.options).send(
                Message(f"ondeck.{self.config.name}.{row.id}", row.subject, row.body)
            )
        except SinkAway as error:
            with self.db.write() as session:
                back_off(session, one, OutboxStatus.QUEUED, str(error), self.config.retry, give_up=None)
            lane.log.warning("sink away", extra={"sink": lane.name, "why": str(error)})
        except (SinkRefused, ValueError) as error:
            with self.db.write() as session:
                advance(session, [one], OutboxStatus.FAILED, str(error))
            lane.log.warning("message refused", extra={"message": row.id, "why": str(error)})
        else:
            with self.db.write() as session:
                advance(session, [one], OutboxStatus.SENT, "the sink has taken it", sent_at=NOW)
            lane.log.info("message sent", extra={"message": row.id, "subject": row.subject})
