"""Threads beside a lane's own, for what takes so long that the lane should do other things meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .logs import in_lane


class Crew:
    """Does tasks beside each other, at most `limit` at once. Used by one lane's thread.

    A task ends early when the lane has to end: it works under `Lane.guard`. What it raises is raised by `ended`.
    """

    def __init__(self, lane: str, limit: int) -> None:
        self.lane, self.limit = lane, limit
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._ended = 0
        self._news = threading.Condition()

    @property
    def free(self) -> int:
        """How many more tasks may be begun."""
        with self._news:
            return self.limit - len(self._threads)

    @property
    def busy(self) -> bool:
        """Whether a task is being done."""
        with self._news:
            return bool(self._threads)

    def begin(self, task: Callable[[], None]) -> None:
        """Do `task` in a thread of its own."""
        thread = threading.Thread(target=self._run, args=(task,), name=f"{self.lane}+", daemon=True)
        with self._news:
            assert len(self._threads) < self.limit
            self._threads.append(thread)
        thread.start()

    def _run(self, task: Callable[[], None]) -> None:
        in_lane(self.lane)
        error: BaseException | None = None
        try:
            task()
        except BaseException as e:
            error = e
        with self._news:
            self._threads.remove(threading.current_thread())
            if error is None:
                self._ended += 1
            else:
                self._errors.append(error)
            self._news.notify_all()

    def ended(self) -> int:
        """How many tasks have ended since it was asked last; raises what one of them has raised."""
        with self._news:
            if self._errors:
                raise self._errors.pop(0)
            count, self._ended = self._ended, 0
            return count

    def wait(self, seconds: float) -> None:
        """Until a task has ended, at most so long."""
        with self._news:
            if self._threads and not self._ended and not self._errors:
                self._news.wait(seconds)

    def close(self, patience: float | None = None) -> None:
        """Until all tasks have ended, at most so long."""
        end = None if patience is None else time.monotonic() + patience
        with self._news:
            while self._threads and (end is None or time.monotonic() < end):
                self._news.wait(None if end is None else max(0.0, end - time.monotonic()))
