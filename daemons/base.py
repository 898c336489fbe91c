"""What a daemon is made of: a name, lanes, and one step of a lane."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from ..config.daemons import DaemonSettings
from ..config.model import Config
from ..db.engine import Database
from ..db.steps import Claim
from ..rules.dropping import in_use
from ..sites.work import Work
from .leases import Keeper
from .logs import Adapter


class Lane:
    """One of a daemon's lanes, as its `step` sees it: a thread of its own, which delays no other.

    `log` adds the lane to each record; `stopping` is set when the lane has to end. `due`: it is time to look outside
    too; False in a step that only a change in the database has caused, before the interval is over. Without a keeper
    (tests, a single look) leases are not renewed.
    """

    def __init__(self, name: str, daemon: str = "-", keeper: Keeper | None = None) -> None:
        self.name = name
        self.log = Adapter(logging.getLogger(f"ondeck.daemons.{daemon}"), {"lane": name})
        self.stopping = threading.Event()
        self.due = True
        self._keeper = keeper
        self._works: list[Work] = []
        self._lock = threading.Lock()
        self._again: float | None = None

    @contextmanager
    def guard(self, claims: Sequence[Claim], name: str = "") -> Iterator[Work]:
        """A work under the leases of `claims`, to be given to whatever takes long.

        While inside, the leases are renewed as long as the work gets on. When it doesn't for `stall`, when a lease
        is lost, or when the lane has to end, the work is cancelled: its commands are killed and raise WorkCancelled.
        The step then gives back what still is its own.
        """
        work = Work(name or ", ".join(f"{c.table} {c.id}" for c in claims[:3]) + (" …" if len(claims) > 3 else ""))
        with self._lock:
            self._works.append(work)
        try:
            if self.stopping.is_set():
                work.cancel("the daemon stops")
            if self._keeper is None:
                yield work
            else:
                with self._keeper.guard(work, claims):
                    yield work
        finally:
            with self._lock:
                self._works.remove(work)

    def keep(self, work: Work, claims: Sequence[Claim]) -> None:
        """Keep other claims for `work`: after a step that raised their epoch. (Rows that are done leave unasked.)"""
        if self._keeper is not None:
            self._keeper.keep(work, claims)

    def sleep(self, seconds: float) -> bool:
        """Sleep; True when the lane has to end instead."""
        return self.stopping.wait(seconds)

    def again(self, seconds: float) -> None:
        """Within a step: look again after so many seconds at the latest, also when the interval is longer."""
        self._again = seconds if self._again is None else min(self._again, seconds)

    def take_again(self) -> float | None:
        """For the loop: what `again` asked for in the last step, once."""
        asked, self._again = self._again, None
        return asked

    def stop(self) -> None:
        """The lane has to end: its works are cancelled, its sleeps return."""
        self.stopping.set()
        with self._lock:
            works = list(self._works)
        for work in works:
            work.cancel("the daemon stops")


class Daemon(ABC):
    """A daemon. Made anew when the configuration is read again, so `config` never changes within one.

    Its methods are called from the lanes' threads, `step`, `plan` and `close` of one lane always from the same.
    """

    name: ClassVar[str]

    def __init__(self, config: Config, db: Database) -> None:
        self.config = config
        self.db = db

    @property
    def settings(self) -> DaemonSettings:
        """Interval, heartbeat, lease and stall of this daemon."""
        return self.config.daemon(self.name)

    @abstractmethod
    def lanes(self) -> Sequence[str]:
        """The names of its lanes, from the configuration."""

    @abstractmethod
    def step(self, lane: Lane) -> int:
        """Do what is to be done in the lane now, or a part of it; returns how many rows moved.

        After more than 0 it is called again at once; after 0 when something has changed in the database or the
        interval is over. An exception makes the lane back off, and is logged and shown in the heartbeat.
        """

    @abstractmethod
    def plan(self, lane: Lane) -> Iterator[str]:
        """A line for each thing that `step` would do now; changes nothing."""

    def close(self, lane: Lane) -> None:  # noqa: B027 - few have something to close
        """The lane ends (or goes on with another configuration): give up connections."""

    def refuses(self, config: Config) -> str | None:
        """Why this daemon can't go on with another configuration (live rows use what it drops); None when it can."""
        with self.db.read() as session:
            return in_use(session, self.config, config)
