"""history, states, watch, listeners, cron: the commands that only show."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.rows import attempt, execute, make_one

from ondeck.db.clock import database_time
from ondeck.db.models import Receipt
from ondeck.db.states import LEGAL_STEPS, STATUSES
from ondeck.db.tables import DaemonBeat
from ondeck.tools.cli import ondeck
from ondeck.tools.cron import REFRESH
from ondeck.tools.watch import lines

from .conftest import HOSTILE, Lab


def a_life(lab: Lab) -> int:
    """A run with a job, an attempt, two copies, a bundle and a receipt."""
    run = make_one(lab.db, "runs", "processing", name="r1", number=5, comments="a\nb")
    job = make_one(lab.db, "jobs", "running", run_id=run, module="sums")
    bundle = make_one(lab.db, "bundles", "open", storage="tape")
    copy = make_one(lab.db, "copies", "verified", run_id=run, storage="disk")
    make_one(lab.db, "copies", "absent", run_id=run, storage="tape", form="bundled", bundle_id=bundle)
    execute(lab.db, "UPDATE jobs SET status = 'done', steps = steps + 1, actor = 'Process@h:1', reason = 'it ended'")
    execute(lab.db, "UPDATE runs SET status = 'processed'")
    with lab.db.write() as session:
        attempt(session, job, batch_id="b1", exit_code=0, verdict="exited", host="node7", started_at=datetime.now(UTC))
        session.add(
            Receipt(
                copy_id=copy,
                opened_at=database_time(session),
                rule="high water",
                actor="DiskMonitor@h:2",
                checks=[{"storage": "tape"}],
                free_before=10**9,
            )
        )
    other = make_one(lab.db, "runs", "acquired", name="other")
    make_one(lab.db, "jobs", "new", run_id=other)
    return run


def test_history_tells_all_of_a_run_and_nothing_else(lab: Lab) -> None:
    a_life(lab)
    said = lab.good("history", "5")
    for words in (
        "run r1 (source daq, number 5) is processed",
        "comment: b",
        "made: processing",
        "running -> done",
        "Process@h:1",
        "it ended",
        "by hand",
        "job sums",
        "copy on disk",
        "copy on tape (bundled)",
        "bundle 1",
        "b1",
        "exited",
        "node7",
        "high water",
        "DiskMonitor@h:2",
        "1 GB",
    ):
        assert words in said
    assert "other" not in said
    (told,) = json.loads(lab.good("history", "r1", "--json"))
    assert [(s["what"], s["from"], s["to"]) for s in told["steps"] if s["table"] == "runs"] == [
        ("run", None, "processing"),
        ("run", "processing", "processed"),
    ]
    assert [s["at"] for s in told["steps"]] == sorted(s["at"] for s in told["steps"])
    assert told["attempts"][0]["exit_code"] == 0
    assert told["receipts"][0]["checks"] == [{"storage": "tape"}]
    assert len(json.loads(lab.good("history", "*", "--json"))) == 2
    assert "There is no run 'nope'" in lab.bad("history", "nope")


def test_history_of_hostile_rows(lab: Lab) -> None:
    run = make_one(
        lab.db, "runs", "failed", name=HOSTILE, reason=HOSTILE, actor=HOSTILE, comments=HOSTILE, source=HOSTILE
    )
    make_one(lab.db, "jobs", "failed", run_id=run, module=HOSTILE, reason=HOSTILE)
    said = lab.good("history", "*")
    assert all(line.isprintable() and len(line) < 600 for line in said.splitlines())
    assert json.loads(lab.good("history", "*", "--json"))[0]["run"] == HOSTILE


def states(*words: str) -> str:
    said = CliRunner(env={"COLUMNS": "200"}).invoke(ondeck, ["states", *words])
    assert said.exit_code == 0, said.output
    return said.stdout


@pytest.mark.parametrize("table", list(LEGAL_STEPS))
def test_states_shows_every_legal_step(table: str) -> None:
    shown = states(table)
    blocks: dict[str, list[str]] = {}
    for line in shown.splitlines()[1:]:
        if line.startswith("    "):
            blocks[next(reversed(blocks))].append(line)
        elif line.strip():
            blocks[line.strip()] = []
    assert list(blocks) == list(STATUSES[table])
    for status, steps in blocks.items():
        wanted = [step for step in LEGAL_STEPS[table] if step.source == status]
        assert len(steps) == max(1, len(wanted))
        for line, step in zip(steps, wanted, strict=False):
            assert line.split()[:2] == ["→", step.to]
            assert line.endswith(step.when)
            assert all(one in line for one in step.who)


def test_states_for_graphviz() -> None:
    shown = states("--dot")
    for table, steps in LEGAL_STEPS.items():
        assert f"subgraph cluster_{table}" in shown
        for step in steps:
            assert f"{table}_{step.source} -> {table}_{step.to} [" in shown
    assert shown.count(" -> ") == sum(map(len, LEGAL_STEPS.values()))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_states_as_a_picture(tmp_path: Path) -> None:
    states("runs", "jobs", "--svg", str(tmp_path / "s.svg"))
    picture = (tmp_path / "s.svg").read_text()
    assert "<svg" in picture
    assert ">archived<" in picture


def test_states_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(ondeck, ["states", "scans"]).exit_code == 2
    assert CliRunner().invoke(ondeck, ["states", "--dot", "--svg", "x"]).exit_code == 2
    if shutil.which("dot"):
        said = CliRunner().invoke(ondeck, ["states", "runs", "--svg", str(tmp_path / "none" / "s.svg")])
        assert said.exit_code == 1
        assert "No such file" in said.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    said = CliRunner().invoke(ondeck, ["states", "runs", "--svg", str(tmp_path / "s.svg")])
    assert (said.exit_code, said.stderr.count("\n")) == (1, 1)
    assert "Graphviz" in said.stderr


def test_watch_once(lab: Lab) -> None:
    a_life(lab)
    make_one(
        lab.db, "jobs", "blocked", module="m", blocked_by="data", blocked_since=datetime.now(UTC), reason="no copy"
    )
    make_one(lab.db, "jobs", "waiting", module="asked", reason="say go")
    with lab.db.write() as session:
        now = database_time(session)
        more = {
            "state_dir": "/s",
            "boot_id": "b",
            "start_ticks": 1,
            "version": "1",
            "config_hash": "x",
            "started_at": now,
        }
        session.add(DaemonBeat(name="Transfer", host="h1", pid=7, beat_at=now, **more))
        session.add(
            DaemonBeat(name="Process", host="h2", pid=8, beat_at=now - timedelta(minutes=9), last_error="sad", **more)
        )
        session.add(DaemonBeat(name="Messenger", host="h3", pid=9, beat_at=now, stopped_at=now, **more))
    said = lab.good("watch", "--once")
    for words in (
        "lab  20",
        "1 job held back by data",
        "no copy",
        "asked waits for a person: say go",
        "Transfer on h1 (pid 7)",
        "Process on h2 (pid 8), beat 9m",
        "sad",
        "not running: RunsProvider, JobOrganizer, DiskMonitor, Messenger",
        "running -> done  Process@h:1  it ended",
    ):
        assert words in said, said


def test_watch_of_hostile_rows(lab: Lab) -> None:
    run = make_one(
        lab.db, "runs", "processing", name="[bold red]" + HOSTILE, reason=HOSTILE, blocked_by=HOSTILE, actor=HOSTILE
    )
    make_one(lab.db, "jobs", "waiting", run_id=run, module=HOSTILE, reason="[/]" + HOSTILE)
    said = lab.good("watch", "--once")
    assert all(line.isprintable() for line in said.splitlines())
    assert "[bold red]evil" in said


def test_watch_without_a_terminal_prints_each_step(lab: Lab) -> None:
    run = make_one(lab.db, "runs", "acquired", name="r1")
    told = lines(lab.db, 0.05, False)
    assert next(told).endswith("runs: 1 acquired")
    execute(
        lab.db,
        "UPDATE runs SET status = 'transferring', steps = steps + 1, actor = 'T', reason = 'why' WHERE id = :i",
        i=run,
    )
    assert next(told).endswith("run r1  acquired -> transferring  T  why")
    make_one(lab.db, "jobs", "new", run_id=run, module="m")
    assert next(told).split("  ")[1:4] == ["job r1 m", "new", "by hand"]


def test_listeners(lab: Lab) -> None:
    said = lab.good("listeners")
    assert said.splitlines() == [
        "physics",
        '  takes     run_type is "physics"; energy is at least 5',
        "  modules   checksums",
        "  copies to disk",
        "  archives  in tape",
    ]
    lab.write(lab.config.read_text().split("[listeners")[0])
    said2 = lab.run("listeners")
    assert said2.exit_code == 0
    assert "there is no listener, so no run is taken" in said2.stderr


def test_listeners_explained_on_a_run(lab: Lab) -> None:
    make_one(lab.db, "runs", "acquired", name="a", run_type="physics", params={"energy": 6.5})
    make_one(lab.db, "runs", "acquired", name="b", run_type=HOSTILE, listener="gone")
    assert lab.good("listeners", "test", "a").splitlines() == [
        "run a of source daq",
        "  physics: takes it",
        "    yes run_type is \"physics\": run_type is 'physics'",
        "    yes energy is at least 5: energy is 6.5",
        "  so physics takes it",
    ]
    said = lab.good("listeners", "test", "b")
    assert "no  energy is at least 5: energy is not given" in said
    assert "so none takes it" in said
    assert "(it was taken by gone, and stays there)" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "There is no run" in lab.bad("listeners", "test", "c")


def test_listeners_that_overlap(lab: Lab) -> None:
    lab.write(
        lab.config.read_text()
        + '[listeners.p2]\npriority = 3\nstorage = "disk"\n'
        + '[listeners.p3]\npriority = 2\nstorage = "disk"\nmatch = { run_type = "x" }\n'
    )
    make_one(lab.db, "runs", "acquired", name="a", run_type="physics", params={"energy": 6})
    said = lab.good("listeners", "test", "a")
    assert said.index("  p2: takes it") < said.index("  p3: does not take it") < said.index("  physics: takes it")
    assert "so p2 takes it" in said


def cron(folder: Path, *words: str) -> list[str]:
    said = CliRunner().invoke(ondeck, ["--config", str(folder / "ondeck.toml"), "cron", *words])
    assert said.exit_code == 0, said.output
    return said.stdout.splitlines()


@pytest.mark.parametrize("name", ["plain", "with space", "o'clock", "100%", "a;b$(c)"])
def test_cron_lines_survive_cron_and_the_shell(tmp_path: Path, name: str) -> None:
    """cron turns % into a line break unless it is escaped; then sh splits the words."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "ondeck.toml").write_text('name = "x"\n')
    for words, before in (((), 5), (("--acron", "lx1.cern.ch"), 6)):
        lines = [line for line in cron(folder, *words) if not line.startswith("#")]
        assert len(lines) == 2
        for line, more in zip(lines, ([], ["--if-dead"]), strict=True):
            fields = line.split(" ", before)
            assert (fields[5] == "lx1.cern.ch") == bool(words)
            command = fields[-1]
            assert "%" not in command.replace("\\%", "")
            shell = subprocess.run(
                ["/bin/sh", "-c", f"printf '%s\\0' {command.replace(chr(92) + '%', '%')}"],
                capture_output=True,
                check=True,
            )
            node = ["--node", "lx1.cern.ch"] if words else []
            given = shell.stdout.decode().split("\0")[:-1]
            assert given == ["/bin/sh", str(REFRESH), *more, *node, "--config", str(folder / "ondeck.toml")]


def test_cron_has_no_empty_line_and_says_where_refresh_is(tmp_path: Path) -> None:
    (tmp_path / "ondeck.toml").write_text('name = "x"\n')
    assert all(line.strip() for line in cron(tmp_path) + cron(tmp_path, "--acron", "lx1"))
    assert cron(tmp_path, "--refresh") == [str(REFRESH)]
    assert REFRESH.is_file()
    said = CliRunner().invoke(ondeck, ["--config", str(tmp_path / "ondeck.toml"), "cron", "--acron", "x; rm"])
    assert (said.exit_code, said.stderr.count("\n")) == (1, 1)
    assert shlex.quote("x; rm") in said.stderr
