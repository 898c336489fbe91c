"""Messages by mail, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..config.sinks import WithPassword
from . import Message, Sink, SinkAway, SinkRefused

_SECONDS = 30


def _address(value: str) -> str:
    if (
        "@" not in value.strip("@")
        or any(c.isspace() or not c.isprintable() for c in value)
        or len(value) > 254
    ):
        raise ValueError("give a mail address, such as shift@example.org")
    return value


Address = Annotated[str, AfterValidator(_address)]


class MailSink(Sink):
    """Mail to a list of people, at least once: after a broken connection again, under the same Message-ID."""

    class Options(WithPassword):
        """Keys of [sinks.NAME] with type = "mail"."""

        host: str = Field("localhost", description="mail server", examples=["mail.example.org"])
        port: int = Field(25, ge=1, le=65535, description="its port")
        security: Literal["none", "starttls", "tls"] = Field(
            "none", description="how the connection is made safe"
        )
        user: str = Field("", description="user at the mail server; empty: no login")
        sender: Address = Field(
            description="address that the mails come from", examples=["ondeck@example.org"]
        )
        recipients: tuple[Address, ...] = Field(
            min_length=1, description="addresses that get them", examples=[["shift@example.org"]]
        )

    def send(self, message: Message) -> None:
        """Hand the message to the mail server."""
        options = self.options
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = options.sender
        mail["To"] = ", ".join(options.recipients)
        mail["Date"] = formatdate(localtime=False)
        mail["Message-ID"] = f"<{message.id}@{options.sender.rpartition('@')[2]}>"
        mail.set_content(message.body + "\n")
        try:
            with self._connect() as server:
                if options.user and options.password is not None:
                    server.login(options.user, options.password.get_secret_value())
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise SinkRefused(sink=self.name, words=str(error)) from error
        except smtplib.SMTPResponseException as error:
            kind = SinkRefused if error.smtp_code >= 500 else SinkAway
            raise kind(sink=self.name, words=str(error)) from error
        except (OSError, smtplib.SMTPException) as error:
            raise SinkAway(sink=self.name, words=str(error) or type(error).__name__) from error

    def _connect(self) -> smtplib.SMTP:
        options = self.options
        if options.security == "tls":
            return smtplib.SMTP_SSL(
                options.host, options.port, timeout=_SECONDS, context=ssl.create_default_context()
            )
        server = smtplib.SMTP(options.host, options.port, timeout=_SECONDS)
        if options.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        return server
