"""Which process on which machine: a pid alone is reused, a pid with its start time and the machine's boot is not."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


def this_host() -> str:
    """The name of this machine, as it stands in pid files and beats."""
    return socket.gethostname()


def boot_id() -> str:
    """What names this boot of this machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


class Stat(NamedTuple):
    """What /proc says of a process.

    `over`: it has ended, though nobody may have asked how; `group`: its process group; `start_ticks`: its start in
    clock ticks since boot.
    """

    over: bool
    group: int
    start_ticks: int


def stat(pid: int) -> Stat | None:
    """What /proc says of process `pid`; None when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name may hold anything, brackets too
    # While other threads of a killed process are still on their way out, it holds its files and locks.
    over = fields[0] in "ZX" and int(fields[17]) <= 1
    return Stat(over, int(fields[2]), int(fields[19]))


class Identity(NamedTuple):
    """One process for all time."""

    pid: int
    host: str
    boot_id: str
    start_ticks: int

    @property
    def here(self) -> bool:
        """Whether it is (or was) a process of this machine."""
        return self.host == this_host()

    def alive(self) -> bool:
        """Whether that very process runs on this machine now (a zombie doesn't run any more)."""
        if not self.here or self.pid <= 0 or self.boot_id != boot_id():
            return False
        seen = stat(self.pid)
        return seen is not None and not seen.over and seen.start_ticks == self.start_ticks

    def terminate(self) -> bool:
        """Send SIGTERM, if that very process still runs; returns whether it was sent."""
        return self._send(signal.SIGTERM)

    def kill(self) -> bool:
        """Kill it and its process group, if that very process still runs; returns whether it did.

        The group only when it is the daemon's own: led by itself, or by the parent that ended when it forked.
        A daemon in the foreground of somebody's script shares the script's group, which is spared.
        """
        seen = stat(self.pid)
        if seen is not None and self.alive() and seen.group not in (0, 1, os.getpgrp()):
            leader = None if seen.group == self.pid else stat(seen.group)
            if leader is None or leader.over:
                return _sent(os.killpg, seen.group, signal.SIGKILL)
        return self._send(signal.SIGKILL)

    def wait_gone(self, seconds: float) -> bool:
        """Wait until it has ended, at most `seconds`; returns whether it has."""
        end = time.monotonic() + seconds
        pause = 0.01
        while self.alive():
            if time.monotonic() >= end:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return True

    def _send(self, number: signal.Signals) -> bool:
        return self.alive() and _sent(os.kill, self.pid, number)


def _sent(send: Callable[[int, int], None], target: int, number: signal.Signals) -> bool:
    try:
        send(target, number)
    except ProcessLookupError:
        return False
    return True


def me() -> Identity:
    """This process."""
    seen = stat(os.getpid())
    assert seen is not None, "/proc doesn't know this process"
    return Identity(os.getpid(), this_host(), boot_id(), seen.start_ticks)
