"""What a user does on the first days, with the real commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import commands
from support.commands import finish
from support.daemonlab import until
from support.lab import DAEMONS, Lab
from support.mail import mail_server, mail_sink
from support.stepping import stepping

sqlite_only = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)


@pytest.fixture
def lab(tmp_path: Path, db_url: str) -> Iterator[Lab]:
    """An experiment with its storages; tests change its configuration before they use it."""
    made = Lab(tmp_path / "lab", db_url, remove="never")
    made.build()
    yield made
    made.clean_up()


def pass_of(lab: Lab, *daemons: str) -> None:
    """Steps of these daemons, in this process, until nothing moves."""
    with stepping(lab.config) as inside:
        while inside.step(*daemons):
            pass


@pytest.mark.timeout(300)
def test_two_experiments_on_one_machine_from_ondeck_init_to_the_archive(tmp_path: Path) -> None:
    """`ondeck init` in an empty folder, builddb, ondeck start, ondeck simulate: listdb shows the runs archived."""
    folders = [tmp_path / "alpha", tmp_path / "beta"]
    try:
        for folder in folders:
            folder.mkdir()
            said = commands.run("ondeck", "init", cwd=folder).stdout
            assert said.startswith(f"Written: {folder / 'ondeck.toml'}")
            config = folder / "ondeck.toml"
            config.write_text(config.read_text().replace('age = "1m"', 'age = "1s"'))
            commands.run("builddb", cwd=folder)
        finish([commands.begin("ondeck", "start", "--wait", "120", cwd=folder) for folder in folders])
        for count, folder in enumerate(folders, start=2):
            words = ("simulate", "--runs", str(count), "--rate", "10/s", "--size", "50k", "--seed", "1")
            assert f"{count} runs written" in commands.run("ondeck", *words, cwd=folder).stdout
        for count, folder in enumerate(folders, start=2):
            names = [f"{number:06d}" for number in range(1, count + 1)]

            def rows(folder: Path = folder) -> list[dict[str, Any]]:
                shown = commands.run("listdb", "--json", "--columns", "name,status,data", cwd=folder).stdout
                found: list[dict[str, Any]] = json.loads(shown)
                return found

            def archived(names: list[str] = names) -> bool:
                return rows() == [{"name": name, "status": "archived", "data": "disk+tape"} for name in names]

            until(archived, 60, "not archived")
            assert "archived" in commands.run("listdb", cwd=folder).stdout
            (output,) = folder.glob("work/daq/000001/checksums.0/1/output/checksums.txt")
            data = folder / "daq/000001/000001_001.dat"
            assert hashlib.sha256(data.read_bytes()).hexdigest() in output.read_text()
            told = commands.run("ondeck", "history", "1", cwd=folder).stdout
            for step in ("made: acquired", "acquired -> transferring", "-> ondeck", "processed -> archived"):
                assert step in told
        commands.run("ondeck", "stop", cwd=folders[0])
        assert commands.run("ondeck", "status", cwd=folders[0], code=3).stdout.count("stopped") == len(DAEMONS)
        assert commands.run("ondeck", "status", cwd=folders[1]).stdout.count("running") == len(DAEMONS)
        commands.run("ondeck", "stop", cwd=folders[1])
        assert [commands.processes_of(folder) for folder in folders] == [{}, {}]
    finally:
        for folder in folders:
            commands.end_all(folder)


@pytest.mark.timeout(300)
def test_a_module_that_waits_for_a_go_StartJob_HoldJob_ResetJob(lab: Lab) -> None:
    lab.change("max_failures = 1", "max_failures = 1\nvalidate = true")
    lab.change("seconds = 0.3", "seconds = 4")
    lab.run("ondeck", "start", "--wait", "120")
    for number in (1, 2):
        lab.write_run(f"run{number}", number)
    job = "SELECT j.status FROM jobs j JOIN runs r ON r.id = j.run_id WHERE r.name = :name"
    lab.until_status(["run1", "run2"], "archived", 60)
    assert lab.query(job, name="run1") == [("waiting",)]
    assert lab.starts("run1") == 0
    for name in ("StartJob", "HoldJob", "ResetJob"):
        assert lab.run(name, "run3", "count", code=1).stderr.startswith("ondeck: There is no run 'run3'")
        assert "its modules: count" in lab.run(name, "run1", "nothing", code=1).stderr

    assert "waiting -> " in lab.run("StartJob", "run1", "count").stdout
    until(lambda: lab.query(job, name="run1") == [("done",)], 60)
    assert lab.starts("run1") == 1
    lab.until_status(["run1"], "archived", 60)

    lab.run("StartJob", "2", "c*")
    until(lambda: lab.starts("run2") == 1, 60)
    lab.run("HoldJob", "run2", "count", "--wait", "60")
    assert lab.query(job, name="run2") == [("waiting",)]
    assert not [words for words in commands.processes_of(lab.folder).values() if words[:1] == ["sleep"]]
    lab.run("StartJob", "run2", "count")
    until(lambda: lab.query(job, name="run2") == [("done",)], 60)
    assert lab.starts("run2") == 2, "the one that was held, and the one that was started"

    lab.run("ResetJob", "run1", "count")
    until(lambda: lab.starts("run1") == 2, 60)
    until(lambda: lab.query(job, name="run1") == [("done",)], 60)
    (attempts,) = lab.query("SELECT count(*), max(a.number) FROM attempts a JOIN jobs j ON j.id = a.job_id"
                            " JOIN runs r ON r.id = j.run_id WHERE r.name = 'run1'")  # fmt: skip
    assert attempts == (2, 2)
    until(lambda: (lab.folder / "work/daq/run1/count.0/published").resolve().name == "2", 30)
    lab.until_status(["run1", "run2"], "archived", 60)
    lab.run("ondeck", "stop")


@sqlite_only
def test_a_source_with_more_than_50_old_runs_takes_none_and_asks(lab: Lab) -> None:
    lab.change('begin = "all"\n', "")
    for number in range(1, 52):
        lab.write_run(f"run{number}", number)
    question = "ondeck adopt daq --from-now | --after RUN | --all"
    said = lab.run("RunsProvider", "foreground", "--once").stderr
    assert "source daq has 51 runs already" in said
    assert question in said
    assert question in lab.run("RunsProvider", "foreground", "--dry-run").stdout
    assert lab.statuses() == {}
    assert "51 left out" in lab.run("ondeck", "adopt", "daq", "--from-now").stdout
    lab.once("RunsProvider")
    assert lab.statuses() == {}
    lab.write_run("run52", 52)
    lab.once("RunsProvider")
    assert lab.statuses() == {"run52": "acquired"}


@sqlite_only
def test_a_mail_when_a_run_fails(lab: Lab) -> None:
    (lab.folder / "templates/count.sh").write_text("#!/bin/sh\necho 'the detector is upside down' >&2\nexit 3\n")
    lab.write_run("run7", 7)
    with mail_server() as mails:
        lab.add(mail_sink(mails))
        pass_of(lab, "RunsProvider", "DiskMonitor")
        with stepping(lab.config) as inside:
            until(lambda: inside.step() or lab.statuses().get("run7") == "failed")
            until(lambda: lab.statuses()["run7"] == "failed" or not inside.step())
        assert lab.statuses() == {"run7": "failed"}
        lab.once("Messenger")
        (mail,) = [mail for mail in mails.messages if "run7" in str(mail["Subject"])]
        assert "failed" in str(mail["Subject"])
        assert "[ondeck lab]" in str(mail["Subject"])
        assert mail["To"] == "shift@example.org"
        assert "the detector is upside down" in mail.get_content()
        lab.once("Messenger")
        assert len([mail for mail in mails.messages if "run7" in str(mail["Subject"])]) == 1


def on_disk(lab: Lab) -> list[str]:
    """The runs that lie on the disk."""
    return sorted(path.name for path in (lab.folder / "raw/daq").iterdir())


def test_above_the_high_water_mark_the_oldest_safe_copies_go_down_to_the_low_one(lab: Lab) -> None:
    lab.change('reserve = "1M"', 'reserve = "1k"\ncapacity = "50k"\nhigh = 60.0\nlow = 30.0')
    names = [f"run{number}" for number in range(10, 25)]
    for number, name in enumerate(names, start=10):
        lab.write_run(name, number, "pedestal", size=2500)
    with stepping(lab.config) as inside:
        inside.flow(1.0)
    assert lab.statuses() == dict.fromkeys(names, "archived")
    sizes = {name: nbytes for name, nbytes in lab.query("SELECT name, nbytes FROM runs")}  # noqa: C416
    left = list(names)
    if sum(sizes.values()) > 30_000:
        while sum(sizes[name] for name in left) > 15_000:
            left.pop(0)
    assert on_disk(lab) == left, "the oldest went, and no more than needed"
    assert 0 < len(left) < len(names)
    receipts = lab.query(
        "SELECT r.name, e.outcome, e.rule, e.closed_at IS NOT NULL FROM receipts e JOIN copies c ON c.id = e.copy_id"
        " JOIN runs r ON r.id = c.run_id WHERE c.storage = 'disk' ORDER BY e.id"
    )
    gone = [name for name in names if name not in left]
    rule = "storage disk is above its high water mark"
    assert [(name, outcome, said, bool(closed)) for name, outcome, said, closed in receipts] == [
        (name, "removed", rule, True) for name in gone
    ]
    told = json.loads(lab.run("ondeck", "history", gone[0], "--json").stdout)[0]
    assert {check["storage"] for receipt in told["receipts"] for check in receipt["checks"]} == {"tape"}
    lab.once("DiskMonitor")
    assert on_disk(lab) == left, "below the high mark nothing goes"
    assert lab.archived_sums() == lab.sums, "everything is in the archive"
    assert lab.leftovers() == []


@sqlite_only
def test_when_nothing_may_go_one_message_a_day_says_so(lab: Lab) -> None:
    lab.change('reserve = "1M"', 'reserve = "1k"\ncapacity = "30k"\nhigh = 60.0\nlow = 30.0')
    lab.config.write_text(lab.config.read_text().replace('archive = "tape"\n', ""))
    names = [f"run{number}" for number in range(10, 18)]
    for number, name in enumerate(names, start=10):
        lab.write_run(name, number, "pedestal", size=2500)
    with mail_server() as mails:
        lab.add(mail_sink(mails))
        with stepping(lab.config) as inside:
            inside.flow(0.5)
        assert lab.statuses() == dict.fromkeys(names, "processed")
        for offset, count in (("0", 1), ("0", 1), ("86400", 2), ("86400", 2)):
            lab.once("DiskMonitor", ONDECK_TEST_CLOCK_OFFSET=offset)
            full = lab.query("SELECT body FROM outbox WHERE subject LIKE '%disk is full%'")
            assert len(full) == count, offset
        lab.once("Messenger")
        assert mails.subjects() == ["[ondeck lab] storage disk is full"] * 2
        assert "no copy there may be removed" in mails.messages[0].get_content()
    assert on_disk(lab) == names


SECOND_ROAD = """
[storages.daq2]
site = "here"
path = "daq2"
[storages.disk2]
site = "here"
path = "raw2"
reserve = "1M"
[sources.daq2]
type = "directory"
storage = "daq2"
begin = "all"
[listeners.second]
sources = ["daq2"]
storage = "disk2"
archive = "tape"
priority = 1
"""


@sqlite_only
@pytest.mark.timeout(300)
def test_a_storage_that_is_not_mounted_holds_up_its_own_runs_alone(lab: Lab) -> None:
    lab.change('remove = "never"', 'remove = "ondeck"')
    lab.add(SECOND_ROAD)
    lab.run("builddb")
    ours, others = ["run1", "run2"], ["run3", "run4"]
    for number, name in enumerate([*ours, *others], start=1):
        lab.write_run(name, number)
        if name in others:
            (lab.folder / "daq" / name).rename(lab.folder / "daq2" / name)
    mark, away = lab.folder / "raw/.ondeck-storage", lab.folder / "away"
    mark.rename(away)
    lab.run("ondeck", "start", "--wait", "120")
    lab.until_status(others, "archived", 60)
    assert [lab.statuses()[name] for name in ours] == ["acquired"] * 2
    assert list((lab.folder / "raw").iterdir()) == [], "nothing was written where the disk should be"
    assert sorted(path.name for path in (lab.folder / "daq").iterdir() if path.is_dir()) == ours
    until(lambda: lab.run_row("run1")["reason"] or lab.query("SELECT 1 FROM runs WHERE blocked_by = 'space'"), 30)
    assert "NotMounted: storage disk" in lab.run("ondeck", "status").stdout
    away.rename(mark)
    lab.until_status(ours, "archived", 90)
    for name in ours:
        assert lab.sums_below(lab.folder / "raw/daq" / name) == lab.sums[name]
    mark.rename(away)  # now with safe copies elsewhere: what can't be seen is not gone
    lab.write_run("run5", 5)
    until(lambda: lab.statuses().get("run5") == "acquired", 30)
    mark_gone = lab.query("SELECT count(*) FROM copies WHERE storage = 'disk' AND status <> 'verified'")
    assert mark_gone == [(0,)]
    away.rename(mark)
    lab.until_status(["run5"], "archived", 90)
    lab.run("ondeck", "stop")


def content(lab: Lab) -> dict[str, Any]:
    """All that is in the run database; on SQLite its very bytes."""
    tables = ("runs", "jobs", "attempts", "copies", "bundles", "receipts", "pins", "transitions", "daemons", "outbox",
              "sources", "probes", "sites", "storages", "manifests")  # fmt: skip
    found: dict[str, Any] = {}
    for table in tables:
        rows = lab.query(f"SELECT * FROM {table}")
        found[table] = sorted(repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in rows)
    if lab.url.startswith("sqlite"):
        path = Path(lab.url.removeprefix("sqlite:///"))
        found["bytes"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_dry_run_of_each_daemon_prints_what_would_be_done_for_all_and_changes_nothing(lab: Lab) -> None:
    """FA-A9."""
    lab.add('[sinks.mail]\ntype = "mail"\nsender = "a@example.org"\nrecipients = ["b@example.org"]\n')
    names = [f"run{number}" for number in range(1, 6)]
    for number, name in enumerate(names, start=1):
        lab.write_run(name, number)
    lab.execute(
        "INSERT INTO outbox (stream, sink, subject, body, status) VALUES ('s', 'mail', 'beam is on', '', 'queued')"
    )
    folders = ("daq", "raw", "archive", "work")

    def would(daemon: str) -> list[str]:
        files = {name: sorted(map(str, (lab.folder / name).rglob("*"))) for name in folders}
        before = content(lab)
        said = lab.run(daemon, "foreground", "--dry-run").stdout
        assert content(lab) == before
        assert {name: sorted(map(str, (lab.folder / name).rglob("*"))) for name in folders} == files
        assert not (lab.folder / "state").exists()
        return said.splitlines()

    assert would("RunsProvider") == [f"daq: take {name} for listener physics" for name in names]
    pass_of(lab, "RunsProvider", "DiskMonitor")
    copied = [line for line in would("Transfer") if line.startswith("daq: copy ")]
    assert copied == [f"daq: copy {name}: {lab.folder}/daq/{name} -> {lab.folder}/raw/daq/{name}" for name in names]
    pass_of(lab, "Transfer")
    made = would("JobOrganizer")
    assert [line for line in made if line.startswith("runs: make job ")] == [
        f"runs: make job {name} count (blocked)" for name in names
    ]
    assert sum("$ONDECK_OUTPUT" in line for line in made) == len(names), "with their scripts"
    pass_of(lab, "JobOrganizer")
    submitted = [line for line in would("Process") if line.startswith("here: submit ")]
    assert submitted == [f"here: submit {name} count in {lab.folder}/work/daq/{name}/count.0/1" for name in names]
    gathered = [line for line in would("DiskMonitor") if "gather" in line]
    assert gathered == [f"tape: gather {name} from disk for the archive tape" for name in names]
    assert would("Messenger") == ["mail: send to mail: beam is on"]
