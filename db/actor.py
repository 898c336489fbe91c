"""Who is acting: written beside every step and lease."""

from __future__ import annotations

import getpass
import os
import socket

_actor: str | None = None


def set_actor(words: str) -> None:
    """Name this process in histories and leases, such as `Transfer@host:4711` or `alice`."""
    global _actor
    _actor = words


def actor() -> str:
    """This process's name: what `set_actor` said, else `USER@HOST:PID`."""
    if _actor is not None:
        return _actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}:{os.getpid()}"
