"""Runs from acquired to archived, by all daemons, beside a shell loop that does the same to one run after the other.

    python benchmarks/flow.py [--runs 1000] [--pairs 5] [--folder DIR] [--phases]

Each pair writes its runs anew. ondeck: `ondeck start RunsProvider`, until all runs are acquired; then the clock
begins, `ondeck start` starts the other daemons, and the clock ends when the last run is archived. The loop does for
each run: cp, sync of the copy, sha256sum of source and copy, `sh -c true`, tar, sync and sha256sum of the tar. The
result is the median of the pairs' ratios, in runs per second. Afterwards each run's bytes in the tars are compared
with what was written. Ends with 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

GOAL = 0.3
DAEMONS = ("Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger")
LIMIT = 900.0  # seconds until a flow is given up

CONFIG = """name = "flow"
state_dir = "state"
[database]
url = "sqlite:///flow.db"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
poll = "0.5s"
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
count = 100
age = "5s"
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

LOOP = """
for run in "$1"/*; do
    name=${run##*/}
    cp -r "$run" "$2/$name" && sync "$2/$name"/* "$2/$name" || exit
    sha256sum "$run"/* >"$4/a" && sha256sum "$2/$name"/* >"$4/b" || exit
    sh -c true || exit
    tar -cf "$3/$name.tar" -C "$2" "$name" && sync "$3/$name.tar" && sha256sum "$3/$name.tar" >"$4/c" || exit
done
"""

Sums = dict[str, dict[str, str]]


def write_runs(folder: Path, count: int) -> Sums:
    """Write tiny runs as a DAQ does; returns {run: {file: sha256}}."""
    sums: Sums = {}
    for number in range(count):
        run = folder / f"run{number:06d}"
        run.mkdir(parents=True)
        files = {
            "data.bin": random.Random(number).randbytes(2000),
            "run.json": b'{"number": %d, "events": 100}' % number,
            "run.end": b"",
        }
        for name, content in files.items():
            (run / name).write_bytes(content)
        sums[run.name] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return sums


def archived(folder: Path) -> Sums:
    """{run: {file: sha256}} of all tars in a folder."""
    found: Sums = {}
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    run, name = member.name.split("/")[-2:]
                    if name in found.setdefault(run, {}):
                        raise SystemExit(f"{member.name} is archived twice")
                    found[run][name] = hashlib.sha256(content.read()).hexdigest()
    return found


def ondeck(folder: Path, *words: str) -> None:
    """Run a command of ondeck."""
    argv = [sys.executable, "-m", "ondeck", *words, "--config", str(folder / "ondeck.toml")]
    done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ondeck {words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def wait_for(folder: Path, status: str, count: int) -> None:
    """Until so many runs have come to `status`."""
    end = time.monotonic() + LIMIT
    with sqlite3.connect(f"file:{folder / 'flow.db'}?mode=ro", uri=True, timeout=30) as db:
        while db.execute("SELECT count(*) FROM runs WHERE status = ?", (status,)).fetchone()[0] < count:
            if time.monotonic() > end:
                raise SystemExit(f"not {status} after {LIMIT:g} s; see {folder}")
            time.sleep(0.1)
    db.close()


def flow(folder: Path, count: int) -> tuple[float, Sums, Sums]:
    """Seconds that ondeck takes; what was written, and what is in its archive."""
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "nothing.sh").write_text("#!/bin/sh\n:\n")
    (folder / "ondeck.toml").write_text(CONFIG)
    sums = write_runs(folder / "daq", count)
    ondeck(folder, "builddb")
    try:
        ondeck(folder, "start", "RunsProvider")
        wait_for(folder, "acquired", count)
        os.sync()
        begin = time.monotonic()
        ondeck(folder, "start", *DAEMONS)
        wait_for(folder, "archived", count)
        seconds = time.monotonic() - begin
    finally:
        ondeck(folder, "stop")
    return seconds, sums, archived(folder / "archive")


def loop(folder: Path, count: int) -> tuple[float, Sums, Sums]:
    """Seconds that the shell loop takes; what was written, and what is in its archive."""
    sums = write_runs(folder / "daq", count)
    places = [folder / name for name in ("daq", "raw", "archive", "sums")]
    for place in places:
        place.mkdir(exist_ok=True)
    os.sync()
    begin = time.monotonic()
    subprocess.run(["sh", "-c", LOOP, "loop", *map(str, places)], check=True)
    return time.monotonic() - begin, sums, archived(folder / "archive")


def phases(folder: Path) -> None:
    """Print when each step was made first and last, in seconds after the first of them all."""
    sql = (
        'SELECT table_name, source, "to", count(*), min(julianday(at)), max(julianday(at)) FROM transitions'
        " WHERE source IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 5"
    )
    with sqlite3.connect(folder / "flow.db") as db:
        rows = db.execute(sql).fetchall()
    db.close()
    for table, source, to, count, first, last in rows:
        begin, end = ((at - rows[0][4]) * 86400 for at in (first, last))
        print(f"    {table:8} {source:>12} -> {to:12} {count:6}  from {begin:7.2f} to {end:7.2f} s")


def main() -> int:
    """Measure, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder; kept if given)")
    parser.add_argument("--phases", action="store_true", help="say when the steps were made")
    options = parser.parse_args()
    base = options.folder or Path(tempfile.mkdtemp(prefix="ondeck-flow-"))
    ratios = []
    for pair in range(options.pairs):
        speeds = {}
        ways = [("loop", loop), ("ondeck", flow)]
        for name, way in ways if pair % 2 else reversed(ways):
            seconds, sums, found = way(base / f"{name}{pair}", options.runs)
            if found != sums:
                wrong = [run for run in sorted(sums | found) if sums.get(run) != found.get(run)]
                raise SystemExit(f"{name}: {len(wrong)} runs are not in the archive as written, such as {wrong[:3]}")
            speeds[name] = options.runs / seconds
            print(f"{name}: {options.runs} runs in {seconds:.1f} s, {speeds[name]:.1f} a second", flush=True)
            if options.phases and name == "ondeck":
                phases(base / f"{name}{pair}")
            if options.folder is None:
                shutil.rmtree(base / f"{name}{pair}")
        ratios.append(speeds["ondeck"] / speeds["loop"])
    if options.folder is None:
        shutil.rmtree(base)
    ratio = statistics.median(ratios)
    print(f"flow[{options.runs}]: ratio {ratio:.2f} (goal >= {GOAL:g})")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
