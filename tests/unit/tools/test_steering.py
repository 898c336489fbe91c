"""adopt, site, simulate: the commands that say where to begin and when to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from support.rows import make_one

from ondeck.db.tables import Site, Source
from ondeck.rules.gates import pause
from ondeck.sources.parameters import parse

from .conftest import Lab


def at_daq(lab: Lab, *names: str) -> None:
    for name in names:
        folder = lab.folder / "daq" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        (folder / "run.end").touch()


def source(lab: Lab) -> Source | None:
    with lab.db.read() as session:
        return session.scalar(select(Source).where(Source.name == "daq"))


def test_adopt_after_a_run(lab: Lab) -> None:
    lab.good("builddb")
    at_daq(lab, "8", "9", "10", "11")
    make_one(lab.db, "runs", "archived", name="10")
    said = lab.good("adopt", "daq", "--after", "9")
    assert said == "source daq begins at after:9: of 4 runs there 1 will be taken, 2 left out, 1 run taken already\n"
    state = source(lab)
    assert state is not None
    assert (state.adopted, state.left_out, state.error) == ("after:9", ["8", "9"], None)
    assert state.adopted_at is not None
    assert "begins at 'after:9' already" in lab.bad("adopt", "daq", "--all")
    assert lab.good("adopt", "daq", "--from-now", "--again").startswith("source daq begins at now: of 4 runs there 0 ")
    assert lab.good("adopt", "daq", "--all", "--again").startswith("source daq begins at all: of 4 runs there 3 ")
    after = source(lab)
    assert after is not None
    assert (after.adopted, after.left_out) == ("all", [])


def test_adopt_refuses(lab: Lab) -> None:
    assert "never initialised" in lab.bad("adopt", "daq", "--all")
    lab.good("builddb")
    at_daq(lab, "8")
    assert "There is no run 7 at the source; the last one there is 8" in lab.bad("adopt", "daq", "--after", "7")
    assert source(lab) is None
    assert 'did you mean "daq"?' in lab.bad("adopt", "dqa", "--all")
    for words in ([], ["--all", "--from-now"], ["--after", "8", "--all"]):
        assert lab.run("adopt", "daq", *words).exit_code == 2


def test_pause_and_resume_a_site(lab: Lab) -> None:
    assert "`ondeck site resume here` opens it" in lab.good(
        "site", "pause", "here", "--reason", "new\ndisks", "--drain"
    )
    with lab.db.read() as session:
        closed = pause(session, "here")
        state = session.get_one(Site, "here")
        assert closed is not None
        assert "new" in closed.reason
        assert state.drain
        assert state.paused_until is None
    assert "pause: site here is paused by" in lab.good("site", "list")
    assert lab.good("site", "resume", "here") == "site here is open\n"
    assert "it was not paused" in lab.bad("site", "resume", "here")
    assert "open" in lab.good("site", "list")


def test_pause_until(lab: Lab) -> None:
    lab.good("site", "pause", "here", "--until", "2h")
    with lab.db.read() as session:
        until = session.get_one(Site, "here").paused_until
    assert until is not None
    assert abs(until - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)
    assert lab.run("site", "pause", "here", "--until", "soon").exit_code == 2
    assert 'did you mean "here"?' in lab.bad("site", "pause", "heer")


def simulated(lab: Lab) -> list[Path]:
    return sorted(path for path in (lab.folder / "daq").iterdir() if path.is_dir())


def test_simulate_writes_whole_runs(lab: Lab) -> None:
    lab.good("builddb")
    said = lab.good("simulate", "--runs", "3", "--rate", "100/s", "--size", "3500001", "--files", "2", "--types", "a,b")
    assert [path.name for path in simulated(lab)] == ["000001", "000002", "000003"]
    for folder, line in zip(simulated(lab), said.splitlines(), strict=False):
        params = parse("run.json", (folder / "run.json").read_bytes())
        assert (params["name"], params["number"]) == (folder.name, int(folder.name))
        assert params["run_type"] in ("a", "b")
        assert (folder / "run.end").is_file()
        data = list(folder.glob("*.dat"))
        assert len(data) == 2
        assert sum(path.stat().st_size for path in data) == 3_500_001
        times = [path.stat().st_mtime_ns for path in (*data, folder / "run.json", folder / "run.end")]
        assert max(times[:-2]) <= times[-2] <= times[-1]
        assert folder.name in line
    assert said.splitlines()[-1] == f"3 runs written to {lab.folder}/daq"


def test_simulate_goes_on_from_what_is_there_or_was(lab: Lab) -> None:
    lab.good("builddb")
    at_daq(lab, "152254", "test7")
    lab.good("simulate", "--runs", "1", "--size", "10")
    assert [path.name for path in simulated(lab)] == ["152254", "152255", "test7"]
    make_one(lab.db, "runs", "archived", name="200000", number=200000, source="daq")
    make_one(lab.db, "runs", "archived", name="x", number=300000, source="other")
    lab.good("simulate", "--runs", "1", "--size", "0")
    assert (lab.folder / "daq" / "200001" / "run.end").is_file()


def test_the_same_seed_writes_the_same_data(lab: Lab) -> None:
    lab.good("builddb")
    for _ in range(2):
        lab.good("simulate", "--runs", "1", "--size", "1000", "--files", "1", "--seed", "5")
    one, two = (next(path.glob("*.dat")).read_bytes() for path in simulated(lab))
    assert one == two
    assert len(set(one)) > 100


def test_simulate_writes_the_source_s_own_end_marker_and_toml(lab: Lab) -> None:
    lab.write(
        lab.config.read_text().replace(
            'storage = "daq"\n[l', 'storage = "daq"\nend_marker = "done"\nparameters = ["p.toml"]\n[l'
        )
    )
    lab.good("builddb")
    lab.good("simulate", "--runs", "1", "--size", "1k")
    (folder,) = simulated(lab)
    assert (folder / "done").is_file()
    assert tomllib.loads((folder / "p.toml").read_text())["number"] == 1


def test_simulate_refuses(lab: Lab) -> None:
    assert "`builddb` makes it" in lab.bad("simulate", "--runs", "1")
    assert 'did you mean "daq"?' in lab.bad("simulate", "--source", "dqa")
    for words in (["--rate", "0/s"], ["--rate", "6/fortnight"], ["--size", "big"], ["--types", ","], ["--files", "0"]):
        assert lab.run("simulate", *words).exit_code == 2
    lab.good("builddb")
    (lab.folder / "daq" / "000001").mkdir()
    (lab.folder / "daq" / ".ondeck-storage").rename(lab.folder / "mark")
    lab.good("simulate", "--runs", "1", "--size", "1")  # a directory without end marker counts as there
    assert [path.name for path in simulated(lab)] == ["000001", "000002"]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_half_run(tmp_path: Path, which: signal.Signals, sqlite_url: str) -> None:
    lab = Lab(tmp_path, sqlite_url)
    lab.good("--config", str(lab.config), "builddb")
    words = ["simulate", "--config", str(lab.config), "--rate", "1000/s", "--size", "300M", "--files", "3"]
    process = subprocess.Popen([sys.executable, "-m", "ondeck", *words], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "daq").glob("*/*.dat")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(which)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    whole = [path for path in simulated(lab) if (path / "run.end").exists()]
    assert simulated(lab) == whole
    for path in whole:
        assert sum(one.stat().st_size for one in path.glob("*.dat")) == 300_000_000
        assert json.loads((path / "run.json").read_text())["simulated"]
    assert said.splitlines()[-1].endswith(f"written to {tmp_path}/daq")
    lab.db.dispose()


def test_the_question_of_a_source_and_a_paused_site_are_shown_where_people_look(lab: Lab) -> None:
    lab.good("builddb")
    assert "!" not in lab.run("status").stdout
    with lab.db.write() as session:
        session.add(Source(name="daq", error="source daq has 70 runs already: type ondeck adopt daq --all"))
        session.add(Source(name="gone", error="not in the configuration any more"))
    lab.good("site", "pause", "here", "--reason", "power cut")
    for command in (("status",), ("watch", "--once")):
        said = " ".join(lab.run(*command).stdout.split())
        assert "source daq has 70 runs already: type ondeck adopt daq --all" in said
        assert "power cut" in said
        assert "not in the configuration" not in said
