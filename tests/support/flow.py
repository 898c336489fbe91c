"""Program: all daemons' lanes in one process, step by step, until nothing moves; killed at a point of its choice.

    python flow.py CONFIG SECONDS HITS [POINT ...]

The points are what the daemons do to the world: `TABLE SOURCE>TO before|after` around the commit of a step, and
`NAME before|after` around a command on a site. At the first of the given points the process appends it to the file
HITS and kills itself with SIGKILL. Without points it writes every point that it passes to HITS. It ends with 0 when
nothing has moved for a while.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from ondeck.config import load
from ondeck.daemons.base import Daemon, Lane
from ondeck.daemons.diskmonitor import DiskMonitor
from ondeck.daemons.joborganizer import JobOrganizer
from ondeck.daemons.leases import Keeper, release_dead
from ondeck.daemons.process import Process
from ondeck.daemons.runsprovider import RunsProvider
from ondeck.daemons.transfer import Transfer
from ondeck.db import steps
from ondeck.db.actor import set_actor
from ondeck.db.engine import Database
from ondeck.sites.transport.local import LocalTransport

DAEMONS: list[type[Daemon]] = [RunsProvider, Transfer, JobOrganizer, Process, DiskMonitor]


class Points:
    """Passes points on: kills at the wanted ones, or notes all."""

    def __init__(self, hits: Path, wanted: set[str]) -> None:
        self.hits, self.wanted, self.passed = hits, wanted, set[str]()

    def at(self, point: str) -> None:
        """We are at `point`."""
        if self.wanted and point in self.wanted:
            self._note(point)
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.wanted and point not in self.passed:
            self.passed.add(point)
            self._note(point)

    def _note(self, point: str) -> None:
        with self.hits.open("a") as file:
            file.write(point + "\n")
            file.flush()
            os.fsync(file.fileno())


def title(name: str) -> str:
    """A command's name without what differs from time to time."""
    name = re.sub(r"^\d+ × |:.*", "", name)
    return re.sub(r"\d+|/\S*|\b[a-z][0-9a-z]{12}\b", "…", name).strip()


def install(points: Points) -> None:
    """Put the points around commits and commands."""
    real_advance: Any = steps._advance

    def advance(session: Session, table: Any, status: str, claims: Any, to: str, *rest: Any) -> Any:
        moved = real_advance(session, table, status, claims, to, *rest)
        if moved:
            session.info.setdefault("steps", []).append(f"{table.name} {status}>{to}")
        return moved

    steps._advance = advance

    def before(session: Session) -> None:
        for step in session.info.get("steps", []):
            points.at(f"{step} before")

    def after(session: Session) -> None:
        for step in session.info.pop("steps", []):
            points.at(f"{step} after")

    event.listen(Session, "before_commit", before)
    event.listen(Session, "after_commit", after)
    real_run: Any = LocalTransport.run

    def run(self: LocalTransport, command: Any, **kwargs: Any) -> Any:
        points.at(f"{title(command.title)} before")
        result = real_run(self, command, **kwargs)
        points.at(f"{title(command.title)} after")
        return result

    LocalTransport.run = run  # type: ignore[method-assign]


def main(argv: list[str]) -> int:
    """Let it flow."""
    config, seconds = load(Path(argv[0])), float(argv[1])
    install(Points(Path(argv[2]), set(argv[3:])))
    db = Database(config.database.url.get_secret_value())
    daemons = [daemon(config, db) for daemon in DAEMONS]
    for daemon in daemons:
        set_actor(f"{daemon.name}@{os.uname().nodename}:{os.getpid()}")
        release_dead(db, daemon.name)
    keeper = Keeper(db, lambda: config.daemon("Transfer").lease, lambda: config.daemon("Transfer").stall)
    keeper.start()
    lanes = [(d, Lane(name, d.name, keeper)) for d in daemons for name in d.lanes()]
    still = time.monotonic()
    while time.monotonic() - still < seconds:
        for daemon, lane in lanes:
            set_actor(f"{daemon.name}@{os.uname().nodename}:{os.getpid()}")
            if daemon.step(lane):
                still = time.monotonic()
        time.sleep(0.02)
    db.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
