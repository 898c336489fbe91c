"""An older backup of the run database is put back: no job runs again, no copy goes, until `ondeck fsck` was run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backup import back_up
from support.daemonlab import until
from support.lab import DAEMONS, Lab

LATER = {"ONDECK_TEST_CLOCK_OFFSET": "700"}
"""A removal that was put off comes ten minutes later."""


@pytest.fixture
def lab(tmp_path: Path, db_url: str) -> Iterator[Lab]:
    """An experiment; the DAQ's copies go when a run is on deck."""
    made = Lab(tmp_path / "lab", db_url, remove="ondeck", lease="10s")
    made.build()
    yield made
    made.clean_up()


def attempts(lab: Lab) -> list[str]:
    return sorted(str(path.relative_to(lab.folder / "work")) for path in lab.folder.glob("work/*/*/*/[0-9]*"))


def at_daq(lab: Lab) -> set[str]:
    return {path.name for path in (lab.folder / "daq").iterdir() if path.is_dir()}


@pytest.mark.timeout(400)
def test_an_hour_is_lost(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> None:
    """The backup has runs in each status; in the lost time their jobs run, they are archived, the DAQ's copies go."""
    for number in (1, 2, 3):
        lab.write_run(f"run{number}", number)
    lab.start()
    lab.until_status(["run1", "run2", "run3"], "archived")
    lab.run("ondeck", "stop")
    ways = [
        ("run4", ["RunsProvider", "Transfer", "JobOrganizer", "Process"]),  # its job was submitted
        ("run5", ["RunsProvider", "Transfer", "JobOrganizer"]),
        ("run6", ["RunsProvider", "Transfer"]),
        ("run7", ["RunsProvider"]),
        ("run8", []),  # found in the lost time
    ]
    for name, daemons in ways:
        lab.write_run(name, int(name[3:]))
        lab.once(*daemons)
        if name == "run7":
            restore = back_up(lab.url, tmp_path, lambda: request.getfixturevalue("postgresql_server"))
    kept = lab.statuses()
    assert (kept["run4"], kept["run5"], kept["run6"], kept["run7"]) == ("processing",) * 2 + ("ondeck", "acquired")
    assert "run8" not in kept
    names = list(lab.sums)
    lab.start()
    lab.until_status(names, "archived")
    lab.run("ondeck", "stop")
    lab.once("DiskMonitor", **LATER)
    assert at_daq(lab) == set()
    ran = attempts(lab)
    assert len(ran) == 8

    restore()
    assert lab.statuses() == kept
    lab.write_run("run9", 9)
    lab.start()
    lab.until_status(["run9"], "processing")  # what has come since is copied, and no more
    until(lambda: lab.query("SELECT 1 FROM jobs WHERE blocked_by = 'restored'"), 30)
    assert len([name for name in DAEMONS if "the run database was restored" in lab.log(name)]) == 1
    time.sleep(2)
    lab.run("ondeck", "stop")
    lab.once("Process", "DiskMonitor", **LATER)
    assert attempts(lab) == ran
    assert all(lab.starts(name) == 1 for name in names)
    assert at_daq(lab) == {"run9"}
    assert len(lab.query("SELECT 1 FROM transitions WHERE table_name = 'database'")) == 1, "noticed once"

    seen = lab.run("ondeck", "fsck", "--dry-run", code=None)
    assert attempts(lab) == ran
    assert lab.query("SELECT count(*) FROM transitions WHERE table_name = 'database'") == [(1,)], seen.stdout
    done = lab.run("ondeck", "fsck", code=1)
    assert "daq/run8 on disk: a run that neither the run database nor its source knows" in done.stdout
    assert done.stdout.count("FAIL") == 1, done.stdout
    assert "submission and removal go on" in done.stdout

    lab.start()
    known = [name for name in (*names, "run9") if name != "run8"]
    lab.until_status(known, "archived")
    lab.run("ondeck", "stop")
    lab.once("DiskMonitor", **LATER)
    assert at_daq(lab) == set()
    sums = dict(lab.sums)
    assert lab.archived_sums() == sums, "run8 is in the archive, though nobody knows it"
    del lab.sums["run8"]
    assert lab.statuses() == dict.fromkeys(known, "archived")
    assert all(lab.starts(name) == 1 for name in sums)
    assert [path for path in attempts(lab) if "run9" not in path] == ran
    lab.check_history()
    assert lab.leftovers() == []
    assert lab.sums_below(lab.folder / "raw" / "daq" / "run8") == sums["run8"]
