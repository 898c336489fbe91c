"""The six real daemons as a machine sees them: TC-P15, TC-W15, TC-A12, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import commands
from support.daemonlab import alive, until
from support.house import ROOT
from support.lab import DAEMONS, RSYNC, Lab

SLOW = f'exec {RSYNC} --bwlimit=50 "$@"'


@pytest.fixture
def lab(tmp_path: Path, db_url: str) -> Iterator[Lab]:
    """An experiment with nothing started yet."""
    made = Lab(tmp_path / "lab", db_url, remove="never")
    made.build()
    yield made
    made.clean_up()


sqlite_only = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)


def job_processes(lab: Lab) -> list[int]:
    """The pids of payloads that sleep."""
    return [pid for pid, words in commands.processes_of(lab.folder).items() if words[:1] == ["sleep"]]


def shown_by_ps() -> dict[int, list[str]]:
    """pid → columns of `ps`: session, terminal, command line."""
    shown = subprocess.run(
        ["ps", "x", "-ww", "-o", "pid=,sid=,pgid=,tty=,comm=,args="], capture_output=True, text=True, check=True
    ).stdout
    return {int(line.split()[0]): line.split()[1:] for line in shown.splitlines()}


@sqlite_only
def test_TC_P15_ps_shows_six_daemons_and_TC_W15_a_pid_file_that_vanished(lab: Lab) -> None:
    """Each in a session of its own, without a terminal, its stdout and stderr in files; each is found without a pid
    file: no second one starts, and `stop` ends it."""
    said = lab.run("ondeck", "start", "--wait", "120").stdout
    pids = lab.pids()
    assert sorted(said.split("\n")) == sorted(["", *(f"{name} started, pid {pid}" for name, pid in pids.items())])
    shown = shown_by_ps()
    for name, pid in pids.items():
        sid, group, tty, comm, *words = shown[pid]
        assert (tty, comm, words[:3]) == ("?", name, [name, "--config", str(lab.config)])
        assert sid == group, f"{name} has a process group of its own"
        streams = [Path(f"/proc/{pid}/fd/{fd}").readlink() for fd in range(3)]
        logs = lab.folder / "state/logs"
        assert streams == [Path("/dev/null"), logs / f"{name}.out", logs / f"{name}.err"]
        assert (logs / f"{name}.log").read_text()
    assert len({shown[pid][0] for pid in pids.values()}) == len(DAEMONS), "a session of its own each"
    assert str(os.getsid(0)) not in {shown[pid][0] for pid in pids.values()}

    plain = lab.run("ondeck", "status").stdout
    assert all(f"{name}" in plain for name in DAEMONS)
    for name, pid in pids.items():
        (lab.folder / f"state/run/{name}.pid").unlink(missing_ok=True)
        if name in ("Transfer", "Messenger"):
            again = lab.run(name, "start", code=1)
            assert f"{name} is already running: pid {pid}" in again.stderr
    assert lab.run("ondeck", "start", "--wait", "120").stdout.count("is already running") == len(DAEMONS)
    assert lab.daemons_alive() == sorted(DAEMONS)
    for name in DAEMONS:
        (lab.folder / f"state/run/{name}.pid").unlink(missing_ok=True)
    said = lab.run("ondeck", "stop").stdout
    assert sorted(said.split("\n")) == sorted(["", *(f"{name} stopped, pid {pid}" for name, pid in pids.items())])
    assert lab.daemons_alive() == []
    assert lab.run("ondeck", "status", code=3).stdout.count("stopped") == len(DAEMONS)


def refresh(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """tools/refresh.sh as cron calls it: with next to nothing in its environment."""
    ondeck = lab.programs / "ondeck"
    if not ondeck.exists():
        commands.shim(lab.programs)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(lab.folder), "SHELL": "/bin/sh", "ONDECK_BIN": str(ondeck)}
    env |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    script = ROOT / "tools/refresh.sh"
    return subprocess.run(
        ["/bin/sh", str(script), "--config", str(lab.config), *words], env=env, cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_TC_A12_restarted_twice_from_cron_while_runs_flow_no_job_is_lost_or_doubled(lab: Lab) -> None:
    names = [f"run{number}" for number in range(1, 31)]
    lab.change("seconds = 0.3", "seconds = 1")
    written = iter(enumerate(names, start=1))

    def write(count: int) -> None:
        for _ in range(count):
            number, name = next(written)
            lab.write_run(name, number, "pedestal" if number % 5 == 0 else "physics")

    write(10)
    first = refresh(lab)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    before = lab.pids()
    write(10)
    until(lambda: lab.query("SELECT 1 FROM jobs WHERE status = 'running'"), 30)
    second = refresh(lab)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    after = lab.pids()
    assert set(before.values()) & set(after.values()) == set()
    write(10)
    third = refresh(lab, "--if-dead")
    assert (third.returncode, third.stdout, third.stderr) == (0, "", "")
    assert lab.pids() == after, "those that are well are left alone"
    lab.until_status(names, "archived", 120)
    lab.run("ondeck", "stop")
    lab.check_end()
    assert lab.daemons_alive() == []


@sqlite_only
def test_TC_A12_the_pid_file_of_another_host_and_of_a_process_that_is_gone(lab: Lab) -> None:
    run = lab.folder / "state/run"
    run.mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "LAB": f"{lab.folder}/"}) as stranger:
        try:
            (run / "Transfer.pid").write_text(f"{stranger.pid}\nelsewhere\n{'0' * 36}\n12345\n")
            for verb in ("stop", "restart", "start"):
                refused = lab.run("Transfer", verb, code=1)
                assert "elsewhere" in refused.stderr, verb
                assert f"pid {stranger.pid}" in refused.stderr, verb
            assert refresh(lab, "--if-dead").returncode == 1
            assert stranger.poll() is None, "nobody's process was ended"
            # The same pid here, but another process than the one that has written the file: stale.
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            (run / "Transfer.pid").write_text(f"{stranger.pid}\n{socket.gethostname()}\n{boot}\n1\n")
            assert "started" in lab.run("Transfer", "start").stdout
            assert lab.pid("Transfer") != stranger.pid
            lab.run("ondeck", "stop")
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.timeout(300)
def test_SIGTERM_during_a_long_copy_and_a_long_job(lab: Lab) -> None:
    """All six end within 30 s; the run's row is given back; the job goes on, and is found again after the restart."""
    lab.change("seconds = 0.3", "seconds = 25")
    lab.write_run("quick", 1)
    lab.start(**lab.rsync(f'case "$*" in *slow*) {SLOW};; esac\nexec $REAL "$@"'))
    until(lambda: job_processes(lab), 60)
    (sleeper,) = job_processes(lab)
    lab.write_run("slow", 2, size=3_000_000)
    until(lambda: lab.statuses().get("slow") == "transferring", 30)
    until(lambda: list((lab.folder / "raw/daq").glob(".slow.*.part/.data.bin.*")), 30)
    pids = lab.pids()
    begun = time.monotonic()
    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    try:
        until(lambda: not any(map(alive, pids.values())), 30)
    except AssertionError:
        late = [name for name, pid in pids.items() if alive(pid)]
        raise AssertionError("\n".join(f"{name} did not end:\n{lab.log(name)[-2000:]}" for name in late)) from None
    assert time.monotonic() - begun < 30
    row = lab.run_row("slow")
    assert (row["status"], row["tries"], row["lease_until"], row["leased_by"]) == ("acquired", 0, None, None)
    assert alive(sleeper), "a job outlives the daemons"
    assert [words for words in commands.processes_of(lab.folder).values() if "rsync" in words[0]] == []
    assert lab.query("SELECT count(*) FROM jobs WHERE lease_until IS NOT NULL") == [(0,)]
    lab.run("ondeck", "start", "--wait", "120")
    lab.execute("UPDATE runs SET priority = 1 WHERE name = 'slow'")
    until(lambda: lab.statuses()["slow"] == "processing", 60)
    sleepers = until(lambda: len(found := job_processes(lab)) == 2 and found, 30)
    assert sleeper in sleepers, "it is the same job as before"
    lab.until_status(["quick", "slow"], "archived", 120)
    lab.run("ondeck", "stop")
    lab.check_end()


@sqlite_only
def test_SIGHUP_with_a_bad_configuration_keeps_the_old_one(lab: Lab) -> None:
    lab.run("ondeck", "start", "--wait", "120")
    pids, good = lab.pids(), lab.config.read_text()
    for bad, words in (("[[[", "ondeck.toml"), (good.replace('name = "lab"', 'name = "other"'), "name can't change")):
        lab.config.write_text(bad)
        for pid in pids.values():
            os.kill(pid, signal.SIGHUP)
        for name in DAEMONS:
            until(
                lambda name=name, words=words: any(
                    "the configuration stays as it was" in line and words in line for line in lab.log(name).splitlines()
                ),
                20,
                f"{name}: {lab.log(name)[-500:]}",
            )
    lab.write_run("run1", 1)
    lab.until_status(["run1"], "archived", 60)
    assert all(alive(pid) for pid in pids.values())
    lab.config.write_text(good.replace("seconds = 0.3", "seconds = 0.2"))
    for pid in pids.values():
        os.kill(pid, signal.SIGHUP)
    for name in DAEMONS:
        until(lambda name=name: "configuration read again" in lab.log(name), 20)
    lab.write_run("run2", 2)
    lab.until_status(["run2"], "archived", 60)
    assert lab.pids() == pids
    lab.run("ondeck", "stop")
    lab.check_end()
