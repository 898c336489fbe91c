"""The scenarios FA-A1, A3, A4, A5, A8, A13 and FA-P9, with the real commands."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from support.commands import finish
from support.daemonlab import until
from support.lab import DAEMONS, Lab
from support.mail import mail_server, mail_sink
from support.stepping import stepping

from ondeck.db import clock
from ondeck.sites.storage import Storage

MakeLab = Callable[..., Lab]
RUN = "20180501_1200"


@pytest.fixture
def make_lab(tmp_path: Path, db_url: str) -> Iterator[MakeLab]:
    """Makes a lab with its run database and storages; ends what it has started."""
    made: list[Lab] = []

    def make(**settings: Any) -> Lab:
        lab = Lab(tmp_path / "lab", db_url, **settings)
        made.append(lab)
        lab.build()
        return lab

    yield make
    for lab in made:
        lab.clean_up()


def history(lab: Lab, name: str) -> list[tuple[str | None, str]]:
    """The steps of a run, oldest first."""
    rows = lab.query(
        'SELECT t.source, t."to" FROM transitions t JOIN runs r ON r.id = t.row_id'
        " WHERE t.table_name = 'runs' AND r.name = :name ORDER BY t.id",
        name=name,
    )
    return [(source, to) for source, to in rows]


def source_is_whole(lab: Lab, name: str = RUN) -> None:
    """What the DAQ has written lies there, byte by byte."""
    found = lab.sums_below(lab.folder / "daq" / name)
    assert {path: sum_ for path, sum_ in found.items() if path != "run.end"} == {
        path: sum_ for path, sum_ in lab.sums[name].items() if path != "run.end"
    }


def test_FA_A1_sizes_and_checksums_are_equal_before_the_source_is_removed(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(remove="ondeck")
    lab.write_run(RUN, 20180501, size=480_000)
    seen: list[str] = []
    unlink = Storage.unlink

    def looking(self: Storage, relative: str, *args: Any, **kwargs: Any) -> list[str]:
        """Both sides, read at the very moment before anything is unlinked."""
        here, there = Path(self.root) / relative, lab.folder / "raw" / "daq" / RUN
        sides = [
            {
                str(path.relative_to(side)): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
                for path in sorted(side.rglob("*"))
                if path.is_file()
            }
            for side in (here, there)
        ]
        assert sides[0] == sides[1]
        assert {path: sum_ for path, (_, sum_) in sides[1].items()} == lab.sums[RUN]
        (status,) = lab.query("SELECT status FROM copies WHERE storage = 'disk' AND form = 'plain'")
        assert status == ("verified",)
        seen.append(self.name)
        return unlink(self, relative, *args, **kwargs)

    monkeypatch.setattr(Storage, "unlink", looking)
    with stepping(lab.config) as daemons:
        daemons.flow()
    assert seen == ["daq"]
    assert not (lab.folder / "daq" / RUN).exists()
    assert lab.sums_below(lab.folder / "raw" / "daq" / RUN) == lab.sums[RUN]
    assert history(lab, RUN)[:3] == [(None, "acquired"), ("acquired", "transferring"), ("transferring", "ondeck")]
    told = lab.run("ondeck", "history", RUN).stdout
    assert "acquired -> transferring" in told
    assert "transferring -> ondeck" in told
    assert 'remove = "ondeck" of source daq' in told
    (row,) = lab.listed("--columns", "name,status,data")
    assert row == {"name": RUN, "status": "archived", "data": "disk+tape"}
    assert lab.leftovers() == []
    lab.check_end()


def taken(lab: Lab) -> None:
    """The runs that lie there are taken, and the space is measured."""
    with stepping(lab.config) as daemons:
        while daemons.step("RunsProvider", "DiskMonitor"):
            pass


BAD_RSYNCS = {
    "it ends with 23 and says nothing": ("exit 23", "23"),
    "it is killed": ("kill -9 $$", ""),
    "it copies a part and ends with 23": ('$REAL "$@"; exit 23', "23"),
    "it hangs": ("exec sleep 600", "no progress"),
}


def test_FA_A3_a_transfer_that_fails_leaves_the_source_and_is_tried_again(make_lab: MakeLab) -> None:
    """Killed, timed out, or exit code 23 with an empty stderr; exit code 0 with a banner on stderr is success."""
    lab = make_lab(remove="ondeck")
    lab.change("[daemons.RunsProvider]", '[daemons.Transfer]\nstall = "1s"\nlease = "2s"\n[daemons.RunsProvider]')
    lab.write_run(RUN, 20180501)
    taken(lab)
    for number, (case, (script, words)) in enumerate(BAD_RSYNCS.items(), start=1):
        lab.once("Transfer", **lab.rsync(script))
        row = lab.run_row(RUN)
        assert (row["status"], row["tries"]) == ("acquired", number), case
        assert words in row["reason"], case
        assert sum(f"run={RUN} why=" in line for line in lab.log("Transfer").splitlines()) == number, case
        assert not (lab.folder / "raw/daq" / RUN).exists(), case
        source_is_whole(lab)
        until(lambda: not lab.query("SELECT 1 FROM runs WHERE not_before > :now", now=database_now(lab)), 10)
    lab.once("Transfer", "DiskMonitor", **lab.rsync('echo "*** Authorised users only! ***" >&2\nexec $REAL "$@"'))
    row = lab.run_row(RUN)
    assert (row["status"], row["tries"]) == ("ondeck", 0)
    assert lab.sums_below(lab.folder / "raw/daq" / RUN) == lab.sums[RUN]
    assert not (lab.folder / "daq" / RUN).exists(), "the policy lets it go when it is verified"


def database_now(lab: Lab) -> Any:
    """What time it is by the database's clock."""
    sql = "statement_timestamp()" if lab.url.startswith("postgresql") else "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    return lab.query(f"SELECT {sql}")[0][0]


def test_FA_A3_the_daemon_itself_is_killed_in_a_transfer(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.write_run(RUN, 20180501)
    taken(lab)
    with lab.begin("Transfer", "foreground", **lab.rsync("exec sleep 600")) as daemon:
        until(lambda: lab.run_row(RUN)["status"] == "transferring")
        daemon.kill()
    source_is_whole(lab)
    lab.once("Transfer")  # at once: its process is seen to be gone
    assert lab.run_row(RUN)["status"] == "ondeck"
    source_is_whole(lab)
    assert lab.leftovers() == []


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_FA_A4_a_byte_that_is_corrupted_at_the_destination(make_lab: MakeLab) -> None:
    lab = make_lab(remove="ondeck")
    lab.write_run(RUN, 20180501)
    taken(lab)
    flip = (  # size and time stay as they were: only the bytes tell
        '$REAL "$@" || exit\nfor last; do :; done\n'
        'printf Z | dd of="${last}data.bin" bs=1 seek=1000 conv=notrunc status=none\n'
        f'touch -r "{lab.folder}/daq/{RUN}/data.bin" "${{last}}data.bin"'
    )
    lab.once("Transfer", "DiskMonitor", **lab.rsync(flip))
    row = lab.run_row(RUN)
    assert (row["status"], row["tries"]) == ("acquired", 1)
    assert "differs from the manifest" in row["reason"]
    assert "data.bin" in row["reason"]
    assert lab.query("SELECT status FROM copies WHERE storage = 'disk'") == [("absent",)]
    assert not (lab.folder / "raw/daq" / RUN).exists()
    assert lab.leftovers() == []
    source_is_whole(lab)
    until(lambda: not lab.query("SELECT 1 FROM runs WHERE not_before > :now", now=database_now(lab)), 10)
    lab.once("Transfer")
    assert lab.run_row(RUN)["status"] == "ondeck"
    assert lab.sums_below(lab.folder / "raw/daq" / RUN) == lab.sums[RUN]


def test_FA_A5_a_live_transfer_is_left_alone_and_a_dead_one_is_taken_up(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(lease="30s")
    lab.write_run(RUN, 20180501)
    taken(lab)
    lab.once("Transfer", **lab.rsync("exit 23"))  # a try that failed, by now long ago:
    lab.execute(
        'INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)'
        " SELECT 'runs', id, 'acquired', 'transferring', :at, 'Transfer@elsewhere:1', 'old' FROM runs",
        at="2020-01-01 00:00:00.000000" + ("+00" if lab.url.startswith("postgresql") else ""),
    )
    second = lab.twin("second.toml", "state2")
    (lab.folder / "raw/daq").mkdir(exist_ok=True)
    until(lambda: not lab.query("SELECT 1 FROM runs WHERE not_before > :now", now=database_now(lab)), 10)
    with lab.begin("Transfer", "foreground", **lab.rsync("exec sleep 600")) as worker:
        try:
            until(lambda: lab.run_row(RUN)["status"] == "transferring")
            begun = lab.run_row(RUN)
            for offset in ("0", "20"):  # the lease is renewed as long as the worker lives
                lab.run("Transfer", "foreground", "--once", config=second, ONDECK_TEST_CLOCK_OFFSET=offset)
                row = lab.run_row(RUN)
                for key in ("status", "epoch", "leased_by", "tries"):
                    assert row[key] == begun[key], f"{key} after {offset} s"
            worker.send_signal(signal.SIGSTOP)  # no worker any more, as far as the others can see
            until(lambda: "T" in Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0])
            os.remove(lab.programs / "rsync")  # noqa: PTH107
            with monkeypatch.context() as patch:
                patch.setattr(clock, "_offset", 40.0)  # the space was measured, by then
                taken(lab)
            lab.run("Transfer", "foreground", "--once", config=second, ONDECK_TEST_CLOCK_OFFSET="40")
            row = lab.run_row(RUN)
            assert row["status"] == "ondeck"
            assert row["epoch"] > begun["epoch"]
            worker.send_signal(signal.SIGCONT)  # who wakes up can change nothing
            until(lambda: "lease lost" in lab.log("Transfer") or "overtaken" in lab.log("Transfer"), 30)
            assert lab.run_row(RUN)["status"] == "ondeck"
        finally:
            worker.kill()
    assert history(lab, RUN)[-1] == ("transferring", "ondeck")
    assert lab.sums_below(lab.folder / "raw/daq" / RUN) == lab.sums[RUN]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("db_url", "count"),
    [("sqlite", 60), ("postgresql", 200), pytest.param("sqlite", 200, marks=pytest.mark.soak)],
    indirect=["db_url"],
)
def test_FA_A8_two_instances_of_every_daemon_share_200_runs(make_lab: MakeLab, count: int) -> None:
    """Each run is moved once, each payload started once, and each of the twelve has moved something."""
    lab = make_lab(remove="never", count=20, seconds=0)
    lab.change("slots = 4", "slots = 8")
    lab.change('interval = "1s"', 'interval = "0.5s"')
    with mail_server() as mails:
        lab.add(mail_sink(mails))
        second = lab.twin("second.toml", "state2")
        # The barrier: nothing moves at the site until all of them are there.
        lab.run("ondeck", "site", "pause", "here", "--reason", "barrier")
        finish([lab.begin("ondeck", "start", "--wait", "120", config=config) for config in (lab.config, second)])
        pids = {name: {lab.pid(name, state) for state in ("state", "state2")} for name in DAEMONS}
        names = [f"run{number}" for number in range(1, count + 1)]
        for number, name in enumerate(names[: count // 2], start=1):
            lab.write_run(name, number, size=100)
        lab.run("ondeck", "site", "resume", "here")
        for number, name in enumerate(names[count // 2 :], start=count // 2 + 1):
            lab.write_run(name, number, size=100)
            if number % 5 == 0:
                lab.execute(
                    "INSERT INTO outbox (stream, sink, subject, body, status)"
                    " VALUES (:stream, 'mail', 'beam', 'is on', 'queued')",
                    stream=f"s{number}",
                )
                time.sleep(0.2)  # the DAQ writes on while they work
        lab.until_status(names, "archived", 600)
        until(lambda: not lab.query("SELECT 1 FROM outbox WHERE status <> 'sent'"), 30)
        actors = lab.actors()
        finish([lab.begin("ondeck", "stop", config=config) for config in (lab.config, second)])
    lab.check_end(by_hand=True)
    moves = lab.query(
        "SELECT row_id, count(*) FROM transitions WHERE table_name = 'runs' AND \"to\" = 'transferring' GROUP BY row_id"
    )
    assert sorted(number for _, number in moves) == [1] * count
    assert lab.query("SELECT count(*), count(DISTINCT job_id) FROM attempts") == [(count, count)]
    assert {name: actors.get(name, set()) for name in DAEMONS} == pids
    assert lab.daemons_alive() == []


HUGE = 10_000_000
HOSTILE = [
    "x; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "-rf",
    "two\nlines",
    "Zürich",
    "run 7",
    "\u202eelif",
    "x" * 201,
]
INSERTED = [
    "x; touch /tmp/pwned-{mark}",
    "../../daq",
    "..",
    ".hidden",
    "/etc",
    "two\nrows",
    "Genève",
    "y" * 100_000,
    "x" * HUGE,
]


def test_FA_A13_and_FA_P9_hostile_names_are_refused_and_inserted_rows_flow_to_the_archive(make_lab: MakeLab) -> None:
    """In the DAQ's directory, by `ondeck run add`, by INSERT; no file appears, and the others flow on."""
    lab = make_lab(remove="never", count=2)
    mark = lab.folder.parent.name
    for name in HOSTILE:
        lab.write_run(name, 7)
    hostile_sums, lab.sums = lab.sums, {}
    inserted = [name.format(mark=mark) for name in INSERTED]
    lab.run("ondeck", "start", "--wait", "120")
    for name in list(inserted):
        try:
            lab.execute("INSERT INTO runs (name, status) VALUES (:name, 'acquired')", name=name)
        except OperationalError:  # PostgreSQL itself refuses what doesn't fit into its index
            assert lab.url.startswith("postgresql")
            assert len(name) == HUGE
            inserted.remove(name)
    for name in ("x; touch pwned", "../../daq", "two\nlines", "x" * 100_000):
        refused = lab.run("ondeck", "run", "add", "--", name, code=1)
        assert "can't be a run's name" in refused.stderr
        assert refused.stderr.startswith("ondeck: ")
    lab.execute("INSERT INTO runs (name, status) VALUES ('20180501_1200', 'acquired')")  # FA-P9, before its data
    assert "was added" in lab.run("ondeck", "run", "add", "20180501_1300").stdout
    assert "is there already" in lab.run("ondeck", "run", "add", "20180501_1300").stdout
    for number, name in enumerate(("20180501_1200", "20180501_1300", "20180501_1400"), start=1):
        lab.write_run(name, number)
    lab.until_status(list(lab.sums), "archived", 90)
    bad = [*HOSTILE, *inserted]
    until(lambda: lab.query("SELECT count(*) FROM runs WHERE status = 'failed'")[0][0] >= len(set(bad)), 30)
    shown = [row for row in lab.listed("--columns", "name,status,reason") if row["status"] == "failed"]
    assert len(shown) == len(set(bad))
    for row in shown:
        assert "can't be a run's name" in row["reason"], row["reason"][:300]
    assert lab.run("listdb").returncode == 0, "nor does a table break"
    pwned = [path for path in lab.folder.rglob("*") if path.name.startswith("pwned")]
    assert pwned == []
    assert not any(Path(place, f"pwned{end}").exists() for place in ("/", "/tmp") for end in ("", f"-{mark}"))
    for name in HOSTILE:
        assert lab.sums_below(lab.folder / "daq" / name).keys() >= hostile_sums[name].keys(), "it stays where it is"
    lab.run("ondeck", "stop")
    lab.execute("DELETE FROM runs WHERE status = 'failed'")
    lab.check_end(by_hand=True)
