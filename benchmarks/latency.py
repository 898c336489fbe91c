"""How long a row lies between one step and the start of the next, with all daemons running and nothing else to do.

    python benchmarks/latency.py [--dialect sqlite|postgresql] [--runs 12]

`ondeck start` starts all six daemons, with a poll interval of 60 s, so that only a wake-up makes them look sooner.
Runs come one after the other, as rows that are inserted by hand; each has one job that does nothing and a bundle of
its own, which is written at once. From the table transitions these pairs of times are taken for each run: when a
step had been made, and when the next daemon (or the next lane) had begun its own.

    taken        the run was inserted              its listener has taken it
    transfer     its listener has taken it         it is transferring
    jobs         it is on deck                     it is processing, its jobs are made
    gates        its job was made, blocked         the job is new
    submission   the job is new                    it is submitting
    conclusion   the job is done                   the run is processed
    gathering    its copy in the archive is wanted its bundle is open
    bundle       the bundle is open                the bundle is being written
    archived     processed, and its copy in the    it is archived
                 archive verified: the later one

Not counted is what takes time for itself: copying and reading back (transferring to ondeck), the batch system's and
the job's time (submitting to done, where `poll` says how often the batch system is asked), writing a tar. The result
is the median of all pairs of all runs, over 0.5 s. The first case is SQLite's, the embedded default: latency[step];
the figure for PostgreSQL stands beside it, without a goal. Ends with 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.databases import DIALECTS, postgresql, temporary_folder
from lib.verdicts import Verdicts, spread
from sqlalchemy import text

from ondeck.db.engine import Database
from ondeck.db.models import Transition

GOAL, SECONDS = 1.0, 0.5
LIMIT = 60.0

CONFIG = """name = "latency"
state_dir = "state"
[database]
url = "{url}"
[daemons]
{intervals}
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
poll = "0.2s"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[storages.tape.bundle]
count = 1
[sources.daq]
type = "directory"
storage = "daq"
begin = "all"
[listeners.all]
modules = ["nothing"]
storage = "disk"
archive = "tape"
[modules.nothing]
template = "nothing.sh"
site = "here"
"""
NAMES = ("RunsProvider", "Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger")

Pair = tuple[datetime, datetime]


def ondeck(folder: Path, *words: str) -> None:
    """Run a command of ondeck."""
    argv = [sys.executable, "-m", "ondeck", *words, "--config", str(folder / "ondeck.toml")]
    done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ondeck {words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def prepare(folder: Path, url: str) -> None:
    """Configuration, folders, database."""
    for name in ("daq", "templates"):
        (folder / name).mkdir(parents=True)
    (folder / "templates" / "nothing.sh").write_text("#!/bin/sh\n:\n")
    intervals = "\n".join(f'[daemons.{name}]\ninterval = "60s"' for name in NAMES)
    (folder / "ondeck.toml").touch(mode=0o600)
    (folder / "ondeck.toml").write_text(CONFIG.format(url=url.replace("+psycopg2", ""), intervals=intervals))
    ondeck(folder, "builddb")


def one_run(folder: Path, db: Database, name: str) -> None:
    """A run comes, and goes all its way."""
    run = folder / "daq" / name
    run.mkdir()
    (run / "data.bin").write_bytes(name.encode() * 1000)
    (run / "run.json").write_text('{"events": 100}')
    with db.write() as session:
        session.execute(
            text("INSERT INTO runs (source, name, status) VALUES ('daq', :name, 'acquired')"), {"name": name}
        )
    end = time.monotonic() + LIMIT
    status = ""
    while status != "archived":
        if time.monotonic() > end:
            raise SystemExit(f"{name} is still {status} after {LIMIT:g} s; see {folder}")
        time.sleep(0.1)
        with db.read() as session:
            status = session.execute(text("SELECT status FROM runs WHERE name = :name"), {"name": name}).scalar_one()


def pairs(db: Database) -> dict[str, list[Pair]]:
    """What the history says, by the name of the pair."""
    at: dict[tuple[str, int, str | None, str], datetime] = {}
    with db.read() as session:
        for step in session.query(Transition).order_by(Transition.id):
            at.setdefault((step.table_name, step.row_id, step.source, step.to), step.at)
        jobs = session.execute(text("SELECT run_id, id FROM jobs")).all()
        copies = session.execute(text("SELECT run_id, id, bundle_id FROM copies WHERE form = 'bundled'")).all()
    found: dict[str, list[Pair]] = {}

    def add(name: str, before: datetime, after: datetime) -> None:
        found.setdefault(name, []).append((before, after))

    for run, job in jobs:
        add("taken", at["runs", run, None, "acquired"], at["runs", run, "acquired", "acquired"])
        add("transfer", at["runs", run, "acquired", "acquired"], at["runs", run, "acquired", "transferring"])
        add("jobs", at["runs", run, "transferring", "ondeck"], at["runs", run, "ondeck", "processing"])
        add("gates", at["jobs", job, None, "blocked"], at["jobs", job, "blocked", "new"])
        add("submission", at["jobs", job, "blocked", "new"], at["jobs", job, "new", "submitting"])
        done = next(when for (table, row, _, to), when in at.items() if (table, row, to) == ("jobs", job, "done"))
        add("conclusion", done, at["runs", run, "processing", "processed"])
    for run, copy, bundle in copies:
        add("gathering", at["copies", copy, None, "absent"], at["bundles", bundle, None, "open"])
        add("bundle", at["bundles", bundle, None, "open"], at["bundles", bundle, "open", "writing"])
        ready = max(at["runs", run, "processing", "processed"], at["copies", copy, "writing", "verified"])
        add("archived", ready, at["runs", run, "processed", "archived"])
    return found


def measure(verdicts: Verdicts, folder: Path, dialect: str, url: str, runs: int) -> float:
    """The median in seconds."""
    prepare(folder, url)
    db = Database(url)
    try:
        ondeck(folder, "start")
        for number in range(runs):
            one_run(folder, db, f"run{number:03d}")
        found = pairs(db)
    finally:
        ondeck(folder, "stop")
        db.dispose()
    seconds = {name: [(b - a).total_seconds() for a, b in some] for name, some in found.items()}
    for name, values in seconds.items():
        assert len(values) == runs, f"{len(values)} pairs of {name}, and there were {runs} runs"
        verdicts.say(f"{dialect}: {name:10} {spread(values)} s")
    every = [value for values in seconds.values() for value in values]
    verdicts.say(f"{dialect}: all {len(every)} pairs of {runs} runs: {spread(every)} s")
    return statistics.median(every)


def main(argv: list[str]) -> int:
    """SQLite, then PostgreSQL."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dialect", choices=DIALECTS, action="append", help="only this database")
    parser.add_argument("--runs", type=int, default=12)
    asked: Any = parser.parse_args(argv)
    verdicts = Verdicts("latency")
    for dialect in asked.dialect or ("sqlite", "postgresql"):
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            place = folder / "experiment"
            if dialect == "postgresql":
                url = stack.enter_context(postgresql(folder / "server")).create()
            else:
                url = f"sqlite:///{place}/ondeck.db"
            seconds = measure(verdicts, place, dialect, url, asked.runs)
            if dialect == "sqlite":
                verdicts.judge("step", seconds / SECONDS, "<=", GOAL)
    return verdicts.code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
