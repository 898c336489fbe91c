"""A piece of work that can be broken off from another thread, and that shows whether it gets on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import Machinery

log = logging.getLogger(__name__)


class WorkCancelled(Machinery):
    """{name} was broken off: {reason}."""


class Work:
    """One row's work: its running commands are killed by `cancel()`, its `progress()` is watched for stalls.

    Safe to use from several threads: one works, another renews the lease and cancels.
    """

    def __init__(self, name: str = "work") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._count = 0
        self._running: dict[int, tuple[Callable[[], None], Callable[[], int]]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        """Whether `cancel()` was called."""
        return self._reason is not None

    def cancel(self, reason: str = "cancelled") -> None:
        """Kill all running commands of this work at once; later ones are not started. May be repeated."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
            kills = [kill for kill, _ in self._running.values()]
        for kill in kills:
            kill()

    def check(self) -> None:
        """Raise WorkCancelled if the work was cancelled."""
        if self._reason is not None:
            raise WorkCancelled(name=self.name, reason=self._reason)

    def touch(self, count: int = 1) -> None:
        """Say that the work got on by `count` (steps, bytes: anything that only grows)."""
        if count < 0:
            raise ValueError("progress only grows")
        with self._lock:
            self._count += count

    def progress(self) -> int:
        """A number that grows while the work gets on: touches, bytes and cpu ticks of its commands."""
        with self._lock:
            return self._count + sum(count() for _, count in self._running.values())

    @contextmanager
    def running(self, kill: Callable[[], None], count: Callable[[], int]) -> Iterator[None]:
        """For transports: while inside, `cancel()` calls `kill` and `progress()` adds `count()`.

        `count` must never fall; its last value is kept when the command has ended. If the work is cancelled
        already, `kill` is called before anything else.
        """
        with self._lock:
            key, self._next = self._next, self._next + 1
            self._running[key] = (kill, count)
            late = self._reason is not None
        try:
            if late:
                kill()
            yield
        finally:
            with self._lock:
                del self._running[key]
                self._count += count()
