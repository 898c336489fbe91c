"""The pid file: says which process is the daemon, and is locked (flock) for as long as that process lives.

Four lines: pid, host, boot id, start in clock ticks since boot. The lock decides between two that start at the same
moment; the lines tell others whom to stop.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from ..config.errors import OndeckError
from .identity import Identity


class PidFileTaken(OndeckError):
    """{path} is locked: {name} is already running{who}."""


def read(path: Path) -> Identity | None:
    """The process that the pid file names; None when there is no file, or nothing whole in it."""
    try:
        lines = path.read_text(errors="replace").splitlines()
        return Identity(int(lines[0]), lines[1], lines[2], int(lines[3]))
    except (FileNotFoundError, IndexError, ValueError):
        return None


def remove_stale(path: Path, stale: Identity) -> bool:
    """Remove the pid file if it names `stale` and nobody holds it; returns whether it was removed."""
    try:
        fd = _locked(path, os.O_RDWR)
    except (FileNotFoundError, BlockingIOError):
        return False
    try:
        if read(path) != stale:
            return False
        path.unlink()
    finally:
        os.close(fd)
    return True


class PidFile:
    """This process's hold on a pid file."""

    def __init__(self, path: Path, name: str, identity: Identity) -> None:
        self.path, self.name, self.identity = path, name, identity
        self._fd: int | None = None

    def take(self) -> None:
        """Lock the file and write who we are; raises PidFileTaken when another process holds it."""
        for last in (False, False, False, True):  # `remove_stale` may hold it for a moment
            try:
                self._fd = _locked(self.path, os.O_RDWR | os.O_CREAT)
                break
            except BlockingIOError:
                if last:
                    other = read(self.path)
                    who = f": pid {other.pid} on {other.host}" if other else ""
                    raise PidFileTaken(path=self.path, name=self.name, who=who) from None
                time.sleep(0.05)
        self._write()

    def keep(self) -> bool:
        """Make the file again if somebody has removed or replaced it; returns whether it is ours now."""
        if self._fd is None:
            return False
        if _same(self._fd, self.path):
            return True
        try:
            fresh = _locked(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except (FileExistsError, BlockingIOError):
            return False  # another is starting: it will see our beat and go away
        os.close(self._fd)
        self._fd = fresh
        self._write()
        return True

    def leave(self) -> None:
        """Remove the file, if it is ours, and unlock it."""
        if self._fd is None:
            return
        if _same(self._fd, self.path):
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None

    def _write(self) -> None:
        assert self._fd is not None
        data = "\n".join(str(field) for field in self.identity) + "\n"
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data.encode(), 0)
        os.fsync(self._fd)


def _locked(path: Path, flags: int) -> int:
    """The file, open and locked: the one that stands under `path`, not one that was removed meanwhile."""
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _same(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)
