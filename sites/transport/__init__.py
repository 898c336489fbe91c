"""How commands are run on a site, and small files written and read there."""

from __future__ import annotations

from ...config.errors import OndeckError
from ..command import Command, Result
from .base import (
    NoSuchFile,
    OutputTooLong,
    Transport,
    TransportFailed,
    TransportTimeout,
)
from .local import LocalTransport

__all__ = [
    "Command",
    "LocalTransport",
    "NoSuchFile",
    "OutputTooLong",
    "Result",
    "Transport",
    "TransportFailed",
    "TransportTimeout",
    "UnknownTransport",
    "make_transport",
]

TRANSPORTS: dict[str, type[Transport]] = {"local": LocalTransport}


class UnknownTransport(OndeckError):
    """site {site}: there is no transport {transport!r}. Known are: {known}."""


def make_transport(site: str, transport: str = "local") -> Transport:
    """A new transport of the kind `transport` to the site named `site`; raises UnknownTransport."""
    try:
        made = TRANSPORTS[transport]
    except KeyError:
        raise UnknownTransport(site=site, transport=transport, known=", ".join(sorted(TRANSPORTS))) from None
    return made(site)
