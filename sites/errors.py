"""The two kinds of trouble that a site can give."""

from __future__ import annotations

from ..config.errors import OndeckError


class Machinery(OndeckError):
    """A site did not do what it was asked.

    Not the run's fault: connection, disk, mount, a full file system. Trying again later may help.
    """


class Refused(OndeckError):
    """A site can't do what it was asked.

    Trying again changes nothing: a person must look.
    """
