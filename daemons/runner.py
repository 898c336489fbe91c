"""A daemon at work in this process: its lanes, its keeper of leases, its heart, and the signals that end it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ..config.errors import OndeckError
from ..config.load import load
from ..config.model import Config
from ..db.engine import Database
from . import leases
from .base import Daemon, Lane
from .beat import Heart
from .folders import places
from .identity import Identity
from .loop import LaneLoop
from .pidfile import PidFile

log = logging.getLogger(__name__)

PATIENCE = 25.0
"""Seconds that lanes have to end after SIGTERM; then the process ends without them."""
ONCE_LIMIT = 1000
"""Steps of one lane under --once."""
FIRST_BEAT = 10.0
"""Seconds that a daemon waits for the database before it says that it has started without."""


class Fixed(OndeckError):
    """{key} can't change while the daemon runs: restart it."""


class Signals:
    """SIGTERM, SIGINT and SIGHUP, kept until the main thread looks. Works in the main thread only.

    Handlers only note the signal: an Event could deadlock with itself in a handler. `wait` is woken through a pipe by
    the interpreter itself, since the kernel may give a signal to another thread, which leaves the main one asleep.
    """

    CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self._came: list[int] = []
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    @contextlib.contextmanager
    def caught(self) -> Iterator[Signals]:
        """While inside, the signals come here."""
        before = {number: signal.signal(number, self._note) for number in self.CAUGHT}
        woken = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> list[int]:
        """The signals that came, at once if there are some, else after at most `seconds`."""
        if not self._came:
            select.select([self._read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        came, self._came = self._came, []
        return came

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)


class Runner:
    """Runs one daemon until it is told to end. `pid_file` is held already."""

    def __init__(self, made: type[Daemon], config: Config, db: Database, identity: Identity, pid_file: PidFile) -> None:
        self.made, self.config, self.db = made, config, db
        self.daemon = made(config, db)
        self.name = made.name
        self.pid_file = pid_file
        self.signals = Signals()
        self.ended: str | None = None
        self.code = 0
        self._loops: dict[str, LaneLoop] = {}
        self._leaving: list[LaneLoop] = []
        self._lock = threading.Lock()
        self.keeper = leases.Keeper(db, lambda: self.daemon.settings.lease, lambda: self.daemon.settings.stall)
        where = places(config, self.name)
        self.heart = Heart(
            db,
            identity,
            self.name,
            where.key,
            where.beat,
            heartbeat=self._heartbeat,
            lanes=self._seen,
            fatal=self._fatal,
            keep=pid_file.keep,
        )

    def run(self, started: Callable[[str | None], None] = lambda _: None) -> int:
        """Run until a signal or another schema ends it; returns the exit code.

        `started` is called after the first beat, with what is wrong with the database or None. When lanes do not
        end in time the process is ended from here.
        """
        with self.signals.caught():
            if self._begin():
                for name in self.daemon.lanes():
                    self._add(name)
                self.keeper.start()
                log.info("started", extra={"pid": os.getpid(), "lanes": ", ".join(self._loops) or "none"})
                self.heart.write_file()  # with its lanes: who looks at once sees them
                started(self.heart.db_error)
                while self.ended is None:
                    self._heed(self.signals.wait(60.0))
            return self._end()

    def once(self) -> int:
        """One pass: each lane after the other, until nothing moves; returns 1 if one had an error."""
        with self.signals.caught():
            if self._begin() and not self.heart.ready.is_set():
                self._fatal(f"the database does not answer: {self.heart.db_error}")
            if self._going():
                self.keeper.start()
                watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
                watcher.start()
                loops = {name: self._loop(name) for name in self.daemon.lanes()}
                with self._lock:
                    self._loops = loops
                for loop in loops.values():
                    if self._going() and not loop.once(ONCE_LIMIT):
                        self.code = 1
            self.ended = self.ended or "one pass is done"
            return self._end()

    def reload(self) -> bool:
        """Read the configuration again and go on with it, or say in the log why not; returns whether it did."""
        try:
            config = load(self.config.path)
            for key in ("name", "state_dir", "umask", "group", "database"):
                if getattr(config, key) != getattr(self.config, key):
                    raise Fixed(key=key)
            refused = self.daemon.refuses(config)
            if refused is None:
                fresh = self.made(config, self.db)
                wanted = list(fresh.lanes())
        except Exception as error:
            log.error(
                "the configuration stays as it was",
                extra={"why": str(error)},
                exc_info=not isinstance(error, OndeckError),
            )
            return False
        if refused is not None:
            log.error("the configuration stays as it was", extra={"why": refused})
            return False
        self.config, self.daemon = config, fresh
        self.heart.renew(config)
        for name in [name for name in self._loops if name not in wanted]:
            with self._lock:
                loop = self._loops.pop(name)
            self._leaving.append(loop)
            loop.lane.stop()
        for name in wanted:
            if name in self._loops:
                self._loops[name].renew(fresh)
            else:
                self._add(name)
        log.info("configuration read again", extra={"lanes": ", ".join(wanted) or "none"})
        return True

    def _begin(self) -> bool:
        """The first beats; False when the daemon must not go on."""
        self.heart.start(self.config)
        self.heart.asked.wait(FIRST_BEAT)
        if self.heart.ready.is_set():
            try:
                leases.release_dead(self.db, self.name)
            except SQLAlchemyError:  # they run out by themselves, only later
                log.warning("leases of dead processes stay for now", exc_info=True)
        elif self.heart.db_error is None:
            self.heart.db_error = f"no answer within {FIRST_BEAT:g} s"
        return self._going()

    def _going(self) -> bool:
        return self.ended is None

    def _loop(self, name: str) -> LaneLoop:
        return LaneLoop(self.daemon, Lane(name, self.name, self.keeper), self.db, self.heart.ready)

    def _add(self, name: str) -> None:
        loop = self._loop(name)
        with self._lock:
            self._loops[name] = loop
        loop.start()

    def _heartbeat(self) -> float:
        return self.daemon.settings.heartbeat.total_seconds()

    def _seen(self) -> dict[str, Any]:
        with self._lock:
            return {name: loop.seen() for name, loop in self._loops.items()}

    def _fatal(self, words: str) -> None:
        """End the daemon, from any thread."""
        log.critical(words)
        self.code = 1
        self.ended = words
        for loop in list(self._loops.values()):
            loop.lane.stop()
        self.signals.wake()

    def _heed(self, came: list[int]) -> None:
        for number in came:
            if number == signal.SIGHUP:
                self.reload()
            else:
                self.ended = signal.Signals(number).name

    def _watch(self) -> None:
        """For one pass, which itself takes the main thread: end the lanes when a signal has come."""
        while self.ended is None:
            for number in self.signals.wait(0.5):
                if number != signal.SIGHUP:
                    self.ended = signal.Signals(number).name
                    self.code = 128 + number
                    for loop in list(self._loops.values()):
                        loop.lane.stop()

    def _end(self) -> int:
        """Stop everything, within PATIENCE seconds and a few; returns the exit code."""
        log.info("ends", extra={"why": self.ended})
        deadline = time.monotonic() + PATIENCE
        loops = [*self._loops.values(), *self._leaving]
        for loop in loops:
            loop.lane.stop()
        for loop in loops:
            if loop.ident is not None and loop is not threading.current_thread():
                loop.join(max(0.0, deadline - time.monotonic()))
        hanging = [loop.lane.name for loop in loops if loop.is_alive()]
        self.keeper.stop()
        self.heart.stop()
        self.pid_file.leave()
        if hanging:
            log.error("lanes did not end in time, the process ends without them", extra={"lanes": ", ".join(hanging)})
            logging.shutdown()
            os._exit(1)
        log.info("ended")
        return self.code
