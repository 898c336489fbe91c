from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemonlab import until

from ondeck.daemons import identity
from ondeck.daemons.identity import Identity, boot_id, me, stat


def of(pid: int) -> Identity:
    seen = stat(pid)
    assert seen is not None
    return Identity(pid, socket.gethostname(), boot_id(), seen.start_ticks)


def test_this_process_is_itself_and_no_other() -> None:
    mine = me()
    assert mine.alive()
    assert not mine._replace(start_ticks=mine.start_ticks + 1).alive()
    assert not mine._replace(boot_id="another").alive()
    assert not mine._replace(host="another").alive()
    assert not mine._replace(pid=0).alive()
    assert not mine._replace(pid=-1).alive()


def test_a_zombie_is_gone() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        one = of(child.pid)
        assert one.alive()
        assert not one.wait_gone(0.05)
        assert one.kill()
        assert one.wait_gone(5)  # nobody has waited for it yet
        assert Path(f"/proc/{child.pid}").exists()
        assert not one.terminate()
        assert not one.kill()
    assert stat(child.pid) is None


def test_a_killed_process_with_many_threads_is_not_gone_before_its_locks_are() -> None:
    script = (
        "import fcntl, sys, threading, time\n"
        "f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    import fcntl
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        for _ in range(5):
            with subprocess.Popen([sys.executable, "-c", script, file.name], stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == b"ready\n"
                one = of(child.pid)
                one.kill()
                assert one.wait_gone(10)
                with open(file.name) as again:  # noqa: PTH123
                    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_command_may_have_any_name(tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 (2"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "600"]) as child:
        until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "a) Z 1 (2\n")
        seen = stat(child.pid)
        assert seen is not None
        assert not seen.over
        assert seen.group == os.getpgrp()
        child.kill()


def test_terminate_is_sigterm() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        assert of(child.pid).terminate()
        assert child.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize("own_group", [True, False])
def test_the_group_is_killed_only_if_it_is_its_own(own_group: bool) -> None:
    """A daemon that leads its group takes the group along; one in a script's group doesn't take the script."""
    script = "sleep 600 & echo $!; exec sleep 600" if own_group else "sleep 600 & echo $!; wait; sleep 600"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout is not None
        inner = of(int(shell.stdout.readline()))
        until(lambda: Path(f"/proc/{inner.pid}/comm").read_text() == "sleep\n")
        if own_group:
            assert of(shell.pid).kill()
            assert inner.wait_gone(5)
        else:
            assert inner.kill()
            assert inner.wait_gone(5)
            assert of(shell.pid).alive()
            os.killpg(shell.pid, signal.SIGKILL)


def test_a_group_whose_leader_has_ended_is_the_daemons(tmp_path: Path) -> None:
    """As after a double fork."""
    pids = tmp_path / "pids"
    inner = f"sleep 600 & echo $! > {pids}; sleep 600 & echo $! >> {pids}"
    subprocess.run(["setsid", "sh", "-c", inner], check=True)
    first, second = (of(int(line)) for line in until(lambda: _two_lines(pids)))
    assert first.kill()
    assert second.wait_gone(5)


def _two_lines(path: Path) -> list[str] | None:
    lines = path.read_text().split() if path.exists() else []
    return lines if len(lines) == 2 else None


def test_identity_needs_no_more_than_proc() -> None:
    assert identity.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert stat(2**22 + 1) is None
