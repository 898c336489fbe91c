"""The daemons' steps in the test's own process, so that a test can stand beside what they do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ondeck.config import load
from ondeck.daemons.base import Daemon, Lane
from ondeck.daemons.diskmonitor import DiskMonitor
from ondeck.daemons.joborganizer import JobOrganizer
from ondeck.daemons.leases import Keeper
from ondeck.daemons.process import Process
from ondeck.daemons.runsprovider import RunsProvider
from ondeck.daemons.transfer import Transfer
from ondeck.db.actor import actor, set_actor
from ondeck.db.engine import Database

DAEMONS: list[type[Daemon]] = [RunsProvider, Transfer, JobOrganizer, Process, DiskMonitor]


class Stepping:
    """All lanes of the five daemons, one after the other."""

    def __init__(self, db: Database, lanes: list[tuple[Daemon, Lane]]) -> None:
        self.db, self.lanes = db, lanes

    def step(self, *names: str) -> int:
        """One step of each lane of these daemons (none named: of all); returns how many rows moved."""
        moved = 0
        for daemon, lane in self.lanes:
            if names and daemon.name not in names:
                continue
            set_actor(f"{daemon.name}@{os.uname().nodename}:{os.getpid()}")
            moved += daemon.step(lane)
        return moved

    def flow(self, still: float = 1.0, limit: float = 60.0) -> None:
        """Step until nothing has moved for `still` seconds."""
        begin = last = time.monotonic()
        while time.monotonic() - last < still:
            assert time.monotonic() - begin < limit, "it does not come to rest"
            if self.step():
                last = time.monotonic()
            else:
                time.sleep(0.02)


@contextmanager
def stepping(config: Path) -> Iterator[Stepping]:
    """The daemons of one configuration."""
    before, loaded = actor(), load(config)
    db = Database(loaded.database.url.get_secret_value())
    daemons = [daemon(loaded, db) for daemon in DAEMONS]
    keeper = Keeper(db, lambda: loaded.daemon("Transfer").lease, lambda: loaded.daemon("Transfer").stall)
    lanes = [(daemon, Lane(name, daemon.name, keeper)) for daemon in daemons for name in daemon.lanes()]
    keeper.start()
    try:
        yield Stepping(db, lanes)
    finally:
        keeper.stop()
        for daemon, lane in lanes:
            daemon.close(lane)
        db.dispose()
        set_actor(before)
