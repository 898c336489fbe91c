"""The daemons' commands as people and cron use them (TC-01 … TC-06, TC-A12, TC-P11, TC-P15, TC-W4, TC-W13, TC-W15)."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemonlab import DaemonLab, alive, until

from ondeck.daemons.identity import me
from ondeck.daemons.registry import DAEMONS


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str) -> Iterator[DaemonLab]:
    made = DaemonLab(tmp_path / "lab", sqlite_url)
    yield made
    made.clean_up()


def call(function: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A console script of that name."""
    script = f"import sys; from ondeck.tools.daemon import {function}; sys.exit({function}())"
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", DAEMONS)
def test_an_unknown_verb_and_none(name: str) -> None:
    """TC-01."""
    unknown = call(name, "begin")
    assert unknown.returncode == 2
    assert "Unknown command: 'begin'. Commands are: start, stop, restart, status, foreground." in unknown.stderr
    none = call(name)
    assert none.returncode == 2
    assert none.stderr.startswith(f"Usage: {name} ")
    assert none.stdout == ""
    usage = call(name, "--help")
    assert usage.returncode == 0
    assert all(verb in usage.stdout for verb in ("start", "stop", "restart", "status", "foreground"))


def test_ondeck_daemon_is_the_same() -> None:
    assert "Commands are: RunsProvider, Transfer," in call("daemon", "Nobody", "start").stderr
    assert call("daemon").returncode == 2
    assert "Unknown command: 'begin'" in call("daemon", "Transfer", "begin").stderr


def test_start_again_is_refused_and_stop_again_is_no_error(lab: DaemonLab) -> None:
    """TC-03; TC-P15: `ps x` shows the daemon by name, its own words go to files."""
    pid = lab.start()
    shown = subprocess.run(["ps", "x"], capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if line.split()[0] == str(pid))
    assert line.split()[1] == "?"
    assert line.split()[4:6] == ["Transfer", "--config"]
    assert lab.run("Transfer", "start") == (1, f"Transfer is already running: pid {pid}\n")
    assert lab.run("Transfer", "stop") == (0, f"Transfer stopped, pid {pid}\n")
    assert lab.run("Transfer", "stop") == (0, "Transfer is not running\n")
    assert {path.name for path in (lab.state / "logs").iterdir()} == {"Transfer.log", "Transfer.out", "Transfer.err"}


def test_restart(lab: DaemonLab) -> None:
    """TC-03, TC-A12: also when none runs, or one that is dead."""
    code, said = lab.run("Transfer", "restart")
    first = lab.pid()
    assert (code, said) == (0, f"Transfer started, pid {first}\n")
    code, said = lab.run("Transfer", "restart")
    second = lab.pid()
    assert (code, said) == (0, f"Transfer stopped, pid {first}\nTransfer started, pid {second}\n")
    os.kill(second, signal.SIGKILL)
    until(lambda: not alive(second))
    code, said = lab.run("Transfer", "restart")
    assert (code, said) == (0, f"Transfer started, pid {lab.pid()}\n")
    assert lab.processes() == [lab.pid()]


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_a_pid_on_another_host_is_nobodys_to_kill(lab: DaemonLab, verb: str) -> None:
    """TC-A12, TC-W13: not even if a process of that number runs here."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        lab.pid_file().parent.mkdir(parents=True)
        far = me()._replace(pid=stranger.pid, host="lxplus0044")
        lab.pid_file().write_text("\n".join(map(str, far)) + "\n")
        code, said = lab.run("Transfer", verb)
        assert code == 1
        assert "lxplus0044" in said
        assert stranger.poll() is None
        assert lab.pid_file().exists()
        assert "elsewhere" in lab.run("Transfer", "status")[1]
        stranger.kill()


def test_a_pid_file_that_disappears_while_its_daemon_lives(lab: DaemonLab) -> None:
    """TC-W15."""
    lab.write("good", beat=60)
    pid = lab.start()
    assert "good (" in lab.run("Transfer", "status")[1]  # though the next heartbeat is a minute away
    lab.pid_file().unlink()
    assert lab.run("Transfer", "start")[0] == 1
    assert lab.run("Transfer", "stop") == (0, f"Transfer stopped, pid {pid}\n")


def test_one_bad_step_does_not_end_the_daemon(lab: DaemonLab) -> None:
    """TC-W4."""
    lab.write("bad", "good")
    pid = lab.start()
    until(lambda: len(lab.steps("bad")) >= 3)
    assert alive(pid)
    code, said = lab.run("Transfer", "status")
    assert code == 0
    assert "bad (error" in said
    assert "no luck" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground(lab: DaemonLab, number: signal.Signals) -> None:
    """TC-P11: until Ctrl-C, with the log in the terminal."""
    process = lab.popen("Transfer", "foreground", "--log", "debug")
    until(lambda: lab.steps("good"))
    assert lab.pid() == process.pid
    assert lab.run("Transfer", "start") == (1, f"Transfer is already running: pid {process.pid}\n")
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "INFO Transfer - - started" in said
    assert f"INFO Transfer - - ends why={number.name}" in said
    assert "INFO Transfer - - ended" in lab.log()
    assert not lab.pid_file().exists()


def test_stop_ends_one_in_the_foreground_and_spares_its_shell(lab: DaemonLab) -> None:
    script = f'"$@" & echo daemon $!; wait; echo still here; {shlex.quote(sys.executable)} -c "print(1)"'
    words = [sys.executable, str(Path(__file__).parents[1] / "support/tinydaemons.py"), "Transfer", "foreground"]
    lab.write("hang")
    with subprocess.Popen(
        ["sh", "-c", script, "sh", *words, "--config", str(lab.config)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as shell:  # fmt: skip
        until(lambda: lab.steps("hang"))
        code, said = lab.run("Transfer", "stop", "--wait", "0.5")
        assert code == 0, said
        assert "killed" in said
        out, _ = shell.communicate(timeout=30)
        assert out.endswith("still here\n1\n")


def test_one_pass(lab: DaemonLab) -> None:
    lab.write("good", "child")
    code, said = lab.run("Transfer", "foreground", "--once")
    assert code == 0, said
    assert len(lab.steps("good")) == len(lab.steps("child")) == 1
    assert not lab.pid_file().exists()
    lab.write("good", "bad")
    code, said = lab.run("Transfer", "foreground", "--once")
    assert code == 1
    assert "no luck" in said
    assert len(lab.steps("good")) == 2


def test_a_dry_run_changes_nothing(lab: DaemonLab) -> None:
    lab.write("good", "child")
    assert lab.run("Transfer", "foreground", "--dry-run") == (
        0,
        "child: would do what child does\ngood: would do what good does\n",
    )
    assert not lab.state.exists()
    lab.write("bad", "good")
    code, said = lab.run("Transfer", "foreground", "--dry-run")
    assert code == 1
    assert "good: would do what good does\n" in said
    assert "can't say" in said
    assert not lab.state.exists()


def test_all_at_once(lab: DaemonLab) -> None:
    assert lab.run("all", "status", "Transfer", "Messenger")[0] == 3
    code, said = lab.run("all", "start", "Transfer", "Messenger")
    assert code == 0
    pids = {name: lab.pid(name) for name in ("Transfer", "Messenger")}
    assert sorted(said.splitlines()) == sorted(f"{name} started, pid {pid}" for name, pid in pids.items())
    code, said = lab.run("all", "status", "Transfer", "Messenger")
    assert code == 0
    for name, pid in pids.items():
        (line,) = (line.split() for line in said.splitlines() if line.startswith(f"{name} "))
        assert line[1:4] == ["running", str(pid), socket.gethostname()]
    assert lab.run("Messenger", "stop")[0] == 0
    code, said = lab.run("all", "start", "Transfer", "Messenger")
    assert code == 0
    assert sorted(said.splitlines()) == [
        f"Messenger started, pid {lab.pid('Messenger')}",
        "Transfer is already running",
    ]
    code, said = lab.run("all", "start")  # Process is broken
    assert code == 1
    code, said = lab.run("all", "stop")
    assert code == 0
    assert lab.processes() == []
    code, said = lab.run("all", "stop", "Nobody")
    assert code == 1
    assert "There is no daemon 'Nobody'" in said


def test_one_that_can_not_start_says_why(lab: DaemonLab) -> None:
    code, said = lab.run("Process", "start")
    assert code == 1
    assert "Process was not started: it died" in said
    assert "RuntimeError: broken from birth" in said
    assert not lab.pid_file("Process").exists()
    lab.config.write_text("[daemons]\nhartbeat = 1\n")
    code, said = lab.run("Transfer", "start")
    assert code == 1
    assert "hartbeat" in said
    assert "heartbeat" in said


def test_before_builddb(tmp_path: Path) -> None:
    lab = DaemonLab(tmp_path / "lab", f"sqlite:///{tmp_path}/none.db")
    code, said = lab.run("Transfer", "start")
    assert code == 1
    words = f"The database sqlite:///{tmp_path}/none.db holds no run database yet: make it with `builddb`."
    assert said == f"Transfer was not started: {words}\n"
    assert not (tmp_path / "none.db").exists()
    until(lambda: lab.processes() == [])


def test_closed_streams_are_no_obstacle(lab: DaemonLab) -> None:
    """As under some cron daemons and from scripts that close all."""
    words = [sys.executable, str(Path(__file__).parents[1] / "support/tinydaemons.py"), "Transfer", "start"]
    ended = subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words, "--config", str(lab.config)], timeout=60, check=False
    )
    assert ended.returncode == 0
    assert alive(lab.pid())
