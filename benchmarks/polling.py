"""What it costs to look, where nothing is to be done: one step of each daemon beside a million archived runs.

    python benchmarks/polling.py [--dialect postgresql|sqlite] [--runs 1000000] [--few 10000] [--keep DIR]

Two run databases, with many and with few archived runs, and with all that these have left: jobs, attempts, copies on
three storages, bundles, receipts, messages, transitions. Nothing waits in either. A step is what a daemon does when
it is woken by a change in the database, in a lane of its own, by the daemon's own code and connections; each lane
takes many, and the median counts. polling[...] is the slowest lane of all six daemons, over 2 ms. growth[...] is the
slowest lane's cost beside many runs over its cost beside few; lanes take turns, so that what slows the machine down
slows both.

Once an interval a lane also looks outside: RunsProvider lists the DAQ's directory, DiskMonitor asks for the free
space. That is a command at a site, has nothing to do with the database, and is shown for itself ("with a look
outside").

The databases are kept in DIR (/var/tmp/ondeck-polling) for the next time, as long as they would be made alike. Ends
with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lib.archive import filled
from lib.databases import DIALECTS, postgresql
from lib.verdicts import Verdicts

from ondeck.config import Config
from ondeck.daemons.base import Daemon, Lane
from ondeck.daemons.diskmonitor import DiskMonitor
from ondeck.daemons.joborganizer import JobOrganizer
from ondeck.daemons.messenger import Messenger
from ondeck.daemons.process import Process
from ondeck.daemons.runsprovider import RunsProvider
from ondeck.daemons.transfer import Transfer
from ondeck.db.engine import Database

DAEMONS: list[type[Daemon]] = [RunsProvider, Transfer, JobOrganizer, Process, DiskMonitor, Messenger]
SECONDS, GROWTH = 0.002, 1.5
ROUNDS, STEPS, OUTSIDE = 10, 20, 5


class Place:
    """A daemon's lane, with the costs of its steps in seconds."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.name = f"{daemon.name} {name}"
        self.daemon, self.lane = daemon, Lane(name, daemon.name)
        self.costs: list[float] = []
        self.outside: list[float] = []

    def step(self, costs: list[float], *, due: bool) -> None:
        """One step with nothing to do."""
        self.lane.due = due
        begin = time.perf_counter()
        moved = self.daemon.step(self.lane)
        costs.append(time.perf_counter() - begin)
        assert moved == 0, f"{self.name} has found something to do"

    def warm_up(self) -> None:
        """The first steps are those with a look outside."""
        for _ in range(OUTSIDE):
            self.step(self.outside, due=True)
        for _ in range(STEPS):
            self.step([], due=False)


@contextmanager
def places(config: Config, db: Database) -> Iterator[list[Place]]:
    """All lanes of all daemons."""
    found = [Place(daemon, name) for daemon in (kind(config, db) for kind in DAEMONS) for name in daemon.lanes()]
    try:
        yield found
    finally:
        for place in found:
            place.daemon.close(place.lane)
        db.dispose()


def measure(verdicts: Verdicts, dialect: str, many: list[Place], few: list[Place], runs: tuple[int, int]) -> None:
    """One database's cases."""
    for place in (*many, *few):
        place.warm_up()
    gc.collect()
    gc.freeze()  # what a daemon that runs for long has behind it
    for _ in range(ROUNDS):
        for pair in zip(many, few, strict=True):
            for place in pair:
                for _ in range(STEPS):
                    place.step(place.costs, due=False)
    costs = {}
    for one, other in zip(many, few, strict=True):
        here, there = statistics.median(one.costs), statistics.median(other.costs)
        costs[one.name] = (here, there)
        verdicts.say(
            f"{dialect}: {one.name:20} {1000 * here:6.3f} ms beside {runs[0]} runs, {1000 * there:6.3f} beside"
            f" {runs[1]}; {1000 * min(one.outside):5.1f} with a look outside"
        )
    slowest = max(costs, key=lambda name: costs[name][0])
    here, there = costs[slowest]
    verdicts.say(f"{dialect}: the slowest is {slowest}")
    verdicts.judge(dialect, here / SECONDS, "<=", 1.0)
    verdicts.judge(dialect, here / there, "<=", GROWTH, "growth")
    worst = max(costs, key=lambda name: costs[name][0] / costs[name][1])
    verdicts.say(f"{dialect}: the most grows {worst}, to {costs[worst][0] / costs[worst][1]:.2f} times")


def main(argv: list[str]) -> int:
    """Both databases, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dialect", choices=DIALECTS, action="append", help="only this database")
    parser.add_argument("--runs", type=int, default=1_000_000, help="archived runs")
    parser.add_argument("--few", type=int, default=10_000, help="archived runs of the other database")
    parser.add_argument("--keep", type=Path, default=Path("/var/tmp/ondeck-polling"), help="where the databases stay")
    asked: Any = parser.parse_args(argv)
    asked.keep.mkdir(mode=0o755, exist_ok=True)
    verdicts = Verdicts("polling")
    for dialect in asked.dialect or DIALECTS:
        with ExitStack() as stack:
            server = stack.enter_context(postgresql(asked.keep / "server")) if dialect == "postgresql" else None
            both = [
                stack.enter_context(places(*filled(asked.keep, dialect, runs, server)))
                for runs in (asked.runs, asked.few)
            ]
            measure(verdicts, dialect, both[0], both[1], (asked.runs, asked.few))
    return verdicts.code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
