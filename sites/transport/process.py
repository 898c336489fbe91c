"""One running command on this machine: its process group, and the talk with it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from typing import IO

from . import keeper, proc
from .answer import Answer

GRACE = 2.0  # seconds between TERM and KILL, and for children that outlive a command and hold its output open
CHUNK = 1 << 18
LOOK = 0.05  # seconds between looks for the end of a command, where the kernel can't tell


class Group:
    """The process group of one command. Signals are sent only while its first process is not reaped.

    Until then its number can't belong to anybody else.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self._lock = threading.Lock()
        self._ended = False
        self._seen: dict[tuple[int, int], int] = {}
        keeper.keep(child.pid)

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            self.kill()
            self.end()

    def signal(self, number: int) -> None:
        """Send a signal to all of the group, if it is still ours."""
        with self._lock:
            if not self._ended:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.child.pid, number)

    def kill(self) -> None:
        """Kill all of the group at once."""
        self.signal(signal.SIGKILL)

    def exited(self) -> bool:
        """Whether the command itself is over; it is not reaped by this."""
        with self._lock:
            if self._ended:
                return True
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.child.pid, flags) is not None

    def wait(self, seconds: float) -> bool:
        """Give the command so long to end by itself; whether it did."""
        end = time.monotonic() + seconds
        while not self.exited():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def end(self) -> int:
        """Reap the command; its exit code as a shell gives it."""
        os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            if not self._ended:
                keeper.forget(self.child.pid)
                self.child.wait()
                self._ended = True
        code = self.child.returncode
        return code if code >= 0 else 128 - code

    def progress(self) -> int:
        """Bytes and cpu ticks of all that was ever seen of the group; never falls."""
        with self._lock:
            if not self._ended:
                for process, effort in proc.effort_of_group(self.child.pid).items():
                    self._seen[process] = max(effort, self._seen.get(process, 0))
            return sum(self._seen.values())


class Talk:
    """Gives a command its input and takes its output, side by side and with an upper limit."""

    def __init__(self, group: Group, given: bytes, answer: Answer, *, held: bool = False) -> None:
        """`given`: the input; `held`: stdin stays open behind it, until `end_input`."""
        self.group, self.answer, self.held = group, answer, held
        self._input = memoryview(given)
        self._open: set[IO[bytes]] = set()
        self._selector = selectors.DefaultSelector()
        child = group.child
        for stream, event in (
            (child.stdin, selectors.EVENT_WRITE),
            (child.stdout, selectors.EVENT_READ),
            (child.stderr, selectors.EVENT_READ),
        ):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, event)
                self._open.add(stream)
        self._pidfd = _pidfd(child.pid)
        if self._pidfd is not None:
            self._selector.register(self._pidfd, selectors.EVENT_READ)
        self._over: float | None = None  # when the command was seen to be over

    def until(self, deadline: float) -> bool:
        """Go on until the command is over and its output is read; False if `deadline` comes first."""
        while True:
            if self._over is None and self.group.exited():
                self._over = time.monotonic()
                if self._pidfd is not None:
                    self._selector.unregister(self._pidfd)
                    os.close(self._pidfd)
                    self._pidfd = None
                self._drop(self.group.child.stdin)
            if (self._over is not None and not self._open) or self.answer.ended or self.answer.too_long:
                return True
            now = time.monotonic()
            if self._over is not None and now > self._over + GRACE:
                self.group.kill()  # what it left behind still holds the output
                self._drain()
                return True
            if now >= deadline:
                return False
            end = deadline if self._over is None else min(deadline, self._over + GRACE)
            wait = end - now if self._pidfd is not None or self._over is not None else min(LOOK, end - now)
            for key, _ in self._selector.select(max(0.0, wait) + 0.001):
                if key.fileobj is not self._pidfd:
                    self._move(key.fileobj)  # type: ignore[arg-type]

    def _move(self, stream: IO[bytes]) -> bool:
        """Write or read once; False when there was nothing to be had."""
        if stream is self.group.child.stdin:
            try:
                self._input = self._input[os.write(stream.fileno(), self._input[:CHUNK]) :]
            except BlockingIOError:
                return False
            except BrokenPipeError:
                self._drop(stream)  # it need not read all; its exit code says whether that was right
                return False
            if not self._input and self.held:
                self._selector.unregister(stream)
            elif not self._input:
                self._drop(stream)
            return True
        try:
            data = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._drop(stream)
            return False
        if stream is self.group.child.stderr:
            self.answer.take_err(data)
        else:
            self.answer.take_out(data)
            if self.answer.too_long:
                self.group.kill()
        return True

    def end_input(self) -> None:
        """Let the command see the end of its input now."""
        self._drop(self.group.child.stdin)

    def _drain(self) -> None:
        """Take what lies in the pipes, without waiting."""
        for stream in list(self._open):
            while stream in self._open and not self.answer.too_long and self._move(stream):
                pass

    def _drop(self, stream: IO[bytes] | None) -> None:
        if stream in self._open and stream is not None:
            self._open.remove(stream)
            if stream in self._selector.get_map():
                self._selector.unregister(stream)
            stream.close()

    def close(self) -> None:
        """Close all pipes."""
        for stream in list(self._open):
            self._drop(stream)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._selector.close()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
