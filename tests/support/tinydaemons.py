"""Tiny daemons on the real base, for tests of the base. Run as a file: `NAME VERB …`, as the real commands are.

The lanes are the configured sites, and each does as its name says:
    good    moves nothing and goes well
    bad     raises
    hang    never comes back from its step, not even when it has to end (the process gives it $TINY_PATIENCE seconds)
    child   claims a run, runs `sleep 1000` under its lease, gives the run back when it is broken off
Each step adds a line to the file `steps/LANE` in the state directory.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

from ondeck.config.model import Config
from ondeck.daemons import child, fork, registry, runner
from ondeck.daemons.base import Daemon, Lane
from ondeck.db.models import Run
from ondeck.db.states import RunStatus
from ondeck.db.steps import advance, claim
from ondeck.sites.command import Command
from ondeck.sites.transport import LocalTransport
from ondeck.sites.work import WorkCancelled


class Transfer(Daemon):
    """See the module."""

    name = "Transfer"

    def lanes(self) -> Sequence[str]:
        return sorted(self.config.sites)

    def step(self, lane: Lane) -> int:
        steps = self.config.state_dir / "steps"
        steps.mkdir(exist_ok=True)
        with (steps / lane.name).open("a") as file:
            file.write(f"{time.time()} {self.settings.interval.total_seconds():g}\n")
        if lane.name == "bad":
            raise RuntimeError("no luck with postgresql://me:hunter2@db/x\nnot at all")
        if lane.name == "hang":
            time.sleep(3600)
        return self._run_child(lane) if lane.name == "child" else 0

    def _run_child(self, lane: Lane) -> int:
        with self.db.write() as session:
            claims = claim(session, Run, RunStatus.ACQUIRED, 1, lease=self.settings.lease)
            claims = advance(session, claims, RunStatus.TRANSFERRING, "a child runs", keep=True)
        if not claims:
            return 0
        try:
            with lane.guard(claims) as work:
                LocalTransport("here").run(Command(("sleep", "1000")), timeout=2000, work=work)
        except WorkCancelled as why:
            with self.db.write() as session:
                back = advance(session, claims, RunStatus.ACQUIRED, str(why))
            lane.log.info("child broken off", extra={"given_back": len(back), "why": str(why)})
        return 1

    def plan(self, lane: Lane) -> Iterator[str]:
        if lane.name == "bad":
            raise RuntimeError("can't say")
        yield f"would do what {lane.name} does"

    def refuses(self, config: Config) -> str | None:
        return "the lane child is in use" if "child" in self.config.sites and "child" not in config.sites else None


class Messenger(Transfer):
    """Another one."""

    name = "Messenger"


class Process(Transfer):
    """One that can't be made."""

    name = "Process"

    def __init__(self, *_: object) -> None:
        raise RuntimeError("broken from birth")


registry.DAEMONS.clear()
registry.DAEMONS.update({name: f"__main__:{name}" for name in ("Transfer", "Messenger", "Process")})
runner.PATIENCE = float(os.environ.get("TINY_PATIENCE", runner.PATIENCE))
fork.ENTRY[:] = [sys.executable, "-P", str(Path(__file__).resolve()), "--child"]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child.main(sys.argv[2:]))
    from ondeck.tools import daemon as commands

    if sys.argv[1:2] == ["all"]:
        {"start": commands.start_all, "stop": commands.stop_all, "status": commands.status_all}[sys.argv[2]](
            sys.argv[3:]
        )
    commands.daemon(sys.argv[1:])
