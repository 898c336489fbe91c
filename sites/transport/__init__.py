"""How commands are run on a site, and small files written and read there."""

from __future__ import annotations

from collections.abc import Callable

from ...config.sites import Site
from ..command import Command, Result
from .base import (
    NoSuchFile,
    OutputTooLong,
    RemoteShell,
    Transport,
    TransportFailed,
    TransportTimeout,
)
from .local import LocalTransport
from .openssh import OpensshTransport

__all__ = [
    "Command",
    "LocalTransport",
    "NoSuchFile",
    "OpensshTransport",
    "OutputTooLong",
    "RemoteShell",
    "Result",
    "Transport",
    "TransportFailed",
    "TransportTimeout",
    "make_transport",
]

TRANSPORTS: dict[str, Callable[[Site], Transport]] = {
    "local": lambda site: LocalTransport(site.name),
    "openssh": OpensshTransport,
}


def make_transport(site: Site) -> Transport:
    """A new transport to the site, of the kind that its section names."""
    return TRANSPORTS[site.transport](site)
