"""The two kinds of trouble that a site can give."""

from __future__ import annotations

from typing import ClassVar

from ..config.errors import OndeckError


class Machinery(OndeckError):
    """A site did not do what it was asked.

    Not the run's fault: connection, disk, mount, a full file system. Trying again later may help.
    """

    of_site: ClassVar[bool] = False
    """Whether it would meet any row at that site: then it counts for the site's circuit breaker."""


class Refused(OndeckError):
    """A site can't do what it was asked.

    Trying again changes nothing: a person must look.
    """
