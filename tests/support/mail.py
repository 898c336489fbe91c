"""A real SMTP server for the tests."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Mails:
    """What the server has taken."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Called by the server for each mail."""
        self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"

    def subjects(self) -> list[str]:
        """The subjects, in the order in which they came."""
        return [str(message["Subject"]) for message in self.messages]


@contextmanager
def mail_server() -> Iterator[Mails]:
    """Runs while inside, on a free port of 127.0.0.1."""
    mails = Mails()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        mails.port = probe.getsockname()[1]
    controller = Controller(mails, hostname="127.0.0.1", port=mails.port)
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()


def mail_sink(mails: Mails) -> str:
    """The table of ondeck.toml that sends mail there."""
    return (
        f'[sinks.mail]\ntype = "mail"\nhost = "127.0.0.1"\nport = {mails.port}\n'
        'sender = "ondeck@example.org"\nrecipients = ["shift@example.org"]\n'
    )
