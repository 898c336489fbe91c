"""Which daemons there are, and where their classes stand. Imported only when one is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..config.errors import OndeckError

if TYPE_CHECKING:
    from .base import Daemon

DAEMONS: dict[str, str] = {
    "RunsProvider": "ondeck.daemons.runsprovider:RunsProvider",
    "Transfer": "ondeck.daemons.transfer:Transfer",
    "JobOrganizer": "ondeck.daemons.joborganizer:JobOrganizer",
    "Process": "ondeck.daemons.process:Process",
    "DiskMonitor": "ondeck.daemons.diskmonitor:DiskMonitor",
    "Messenger": "ondeck.daemons.messenger:Messenger",
}
"""Name → `module:class`, in the order in which a run meets them."""


class NoSuchDaemon(OndeckError):
    """There is no daemon {name!r}; there are {known}."""


def known(name: str) -> str:
    """`name`, when there is such a daemon; else raises NoSuchDaemon."""
    if name not in DAEMONS:
        raise NoSuchDaemon(name=name, known=", ".join(DAEMONS))
    return name


def daemon_class(name: str) -> type[Daemon]:
    """The class of the daemon `name`; raises NoSuchDaemon."""
    module, _, attribute = DAEMONS[known(name)].partition(":")
    made: type[Daemon] = getattr(import_module(module), attribute)
    return made
