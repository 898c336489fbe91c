"""One lane's thread: step after step, with waiting in between and back-off after errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from ..db.engine import Database, Waiter
from ..sites.work import WorkCancelled
from .base import Daemon, Lane
from .logs import in_lane, redact

BACK_OFF = (1.0, 60.0)
"""Seconds of the first and of the longest wait after an error; it doubles in between."""
AT_MOST = 0.1
"""Seconds from one look to the next, at least: many changes are looked at together."""
GLANCE = 1.0
"""Seconds between two looks at whether the lane has to end, while it waits for the database."""
_REMEMBERED = 100


class Troubles:
    """The errors of a lane since it last went well: each is told in full once, then counted."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.count = 0
        self.last: str | None = None
        self._seen: dict[str, int] = {}

    def add(self, error: BaseException) -> float:
        """Log the error (its traceback the first time); returns how many seconds to back off."""
        words = redact(f"{type(error).__name__}: {error}").strip()[:2000]
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        times = self._seen[words] = self._seen.get(words, 0) + 1
        self.count += 1
        self.last = words
        pause = min(BACK_OFF[1], BACK_OFF[0] * 2.0 ** min(self.count - 1, 30)) * random.uniform(0.8, 1.2)
        extra = {"error": words, "times": times, "again_in": round(pause, 1)}
        if times == 1:
            self.lane.log.error("step failed", extra=extra, exc_info=error)
        elif times & (times - 1) == 0:
            self.lane.log.warning("step fails again and again", extra=extra)
        return pause

    def clear(self) -> None:
        """It went well."""
        if self.count:
            self.lane.log.info("goes well again", extra={"errors": self.count})
        self.count, self.last = 0, None
        self._seen.clear()


class LaneLoop(threading.Thread):
    """Runs one lane until it has to end. `ready` is waited for first; nothing runs on an unknown schema."""

    def __init__(self, daemon: Daemon, lane: Lane, db: Database, ready: threading.Event) -> None:
        super().__init__(name=lane.name, daemon=True)
        self.lane, self.db, self.ready = lane, db, ready
        self.troubles = Troubles(lane)
        self._daemon_now, self._daemon_next = daemon, daemon
        self._waiter: Waiter | None = None
        self._deaf = False
        self._step_since: float | None = None
        self._last_step: float | None = None
        self._last_moved: float | None = None
        self._next_try: float | None = None
        self._moved = 0
        self._pause = 0.0
        self._began = 0.0
        self._due_at = 0.0

    def renew(self, daemon: Daemon) -> None:
        """Go on with another daemon object (another configuration) after the step that runs now."""
        self._daemon_next = daemon

    def seen(self) -> dict[str, Any]:
        """How the lane does, for the heartbeat; times in seconds since 1970."""
        return {
            "step_since": self._step_since,
            "last_step": self._last_step,
            "last_moved": self._last_moved,
            "moved": self._moved,
            "errors": self.troubles.count,
            "error": self.troubles.last,
            "next_try": self._next_try,
        }

    def run(self) -> None:
        """The loop."""
        in_lane(self.lane.name)
        try:
            while not self.ready.wait(0.2) and not self.lane.stopping.is_set():
                pass
            while not self.lane.stopping.is_set():
                self._listen()
                self._round()
        finally:
            self._close()

    def once(self, limit: int) -> bool:
        """Step until nothing moves, at most `limit` times, in the calling thread; returns whether all went well."""
        in_lane(self.lane.name)
        try:
            for _ in range(limit):
                if self.lane.stopping.is_set() or not self.step():
                    break
            return not self.troubles.count
        finally:
            self._close()

    def step(self) -> int:
        """One step, its error caught and told; returns how many rows moved."""
        began = time.monotonic()
        self.lane.take_again()
        self._step_since, self._next_try = time.time(), None
        try:
            moved = self._daemon_now.step(self.lane)
        except WorkCancelled as cancelled:  # the lane ends, or a lease was lost: no fault of the lane's
            self.lane.log.info("work broken off", extra={"why": str(cancelled)})
            moved = 0
        except (Exception, SystemExit) as error:
            self._pause = self.troubles.add(error)
            self._next_try = time.time() + self._pause
            return 0
        finally:
            self._last_step, self._step_since = time.time(), None
            self._began = began
        self.troubles.clear()
        if moved:
            self._moved += moved
            self._last_moved = self._last_step
        return moved

    def _round(self) -> None:
        if self._daemon_next is not self._daemon_now:
            self._guarded("close", lambda: self._daemon_now.close(self.lane))
            self._daemon_now, self._due_at = self._daemon_next, 0.0
        daemon = self._daemon_now
        self.lane.due = time.monotonic() >= self._due_at
        if self.step():
            return
        asked = self.lane.take_again()
        if self.troubles.count:
            self.lane.sleep(self._pause)
            return
        if self.lane.due:
            self._due_at = time.monotonic() + daemon.settings.interval.total_seconds() * random.uniform(0.9, 1.1)
        pause = self._due_at - time.monotonic()
        self._wait(pause if asked is None else min(pause, asked))

    def _wait(self, seconds: float) -> None:
        """Wait for a change in the database, at most `seconds`."""
        end = time.monotonic() + seconds
        self.lane.sleep(max(0.0, self._began + AT_MOST - time.monotonic()))
        while not self.lane.stopping.is_set() and self._daemon_next is self._daemon_now:
            left = end - time.monotonic()
            if left <= 0:
                return
            if self._waiter is None:
                self.lane.sleep(min(left, GLANCE))
                if self._listen():
                    return  # what came while nobody listened is unknown
                continue
            try:
                if self._waiter.wait(min(left, GLANCE)):
                    return
            except Exception:
                self._not_heard()

    def _listen(self) -> bool:
        """See to it that there is a waiter; True when it is a new one."""
        if self._waiter is not None:
            return False
        try:
            self._waiter = self.db.waiter()
        except Exception:
            self._not_heard()
            return False
        self._deaf = False
        return True

    def _not_heard(self) -> None:
        """Changes can't be heard of just now: the interval is the safety net."""
        if not self._deaf:
            self.lane.log.warning("can't wait on the database, looks at intervals", exc_info=True)
        self._deaf = True
        self._guarded("close waiter", self._waiter.close if self._waiter else lambda: None)
        self._waiter = None

    def _close(self) -> None:
        self._guarded("close", lambda: self._daemon_now.close(self.lane))
        self._guarded("close waiter", self._waiter.close if self._waiter else lambda: None)
        self._waiter = None

    def _guarded(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self.lane.log.warning("could not " + what, exc_info=True)
