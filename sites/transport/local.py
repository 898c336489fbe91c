"""Commands on this machine, each in a session of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from functools import cache
from typing import IO

from ..command import Command, Result
from ..quote import NulInWord, shown, to_bytes
from ..work import Work
from . import keeper, proc
from .base import OutputTooLong, Transport, TransportFailed, TransportTimeout

log = logging.getLogger(__name__)

GRACE = 2.0  # seconds between TERM and KILL, and for children that outlive a command and hold its output open
ERR_LIMIT = 1_000_000  # bytes of stderr that are kept: its beginning
CHUNK = 1 << 18
LOOK = 0.05  # seconds between looks for the end of a command, where the kernel can't tell


class LocalTransport(Transport):
    """Runs commands on this machine.

    Each gets its own session and process group, LC_ALL=C and / as its directory; it dies with this process
    and with the thread that called `run`. Children that it leaves behind live on only if their output goes
    elsewhere.
    """

    place = "local"

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        """See Transport.run."""
        if work is not None:
            work.check()
        for word in command.argv:
            if "\0" in word:
                raise NulInWord(word=shown(word))
        argv = [to_bytes(word) for word in (*keeper.words(), *_die_with_parent(), *command.argv)]
        begin = time.monotonic()
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if command.input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                bufsize=0,
            )
        except FileNotFoundError:
            return Result(127, b"", to_bytes(f"{argv[0]!r}: no such command\n"), 0.0)
        except OSError as e:
            raise TransportFailed(site=self.name, command=command.title, words=f"not started: {e}") from e
        group = _Group(child)
        with group:
            if work is None:
                return self._talk(group, command, timeout, begin)
            with work.running(group.kill, group.progress):
                try:
                    return self._talk(group, command, timeout, begin)
                finally:
                    work.check()

    def _talk(self, group: _Group, command: Command, timeout: float, begin: float) -> Result:
        talk = _Talk(group, command)
        try:
            if not talk.until(begin + timeout):
                group.signal(signal.SIGTERM)
                if not talk.until(time.monotonic() + GRACE):
                    group.kill()
                    talk.until(time.monotonic() + GRACE)
                partial = Result(128 + signal.SIGTERM, bytes(talk.out), bytes(talk.err), time.monotonic() - begin)
                raise TransportTimeout(site=self.name, command=command.title, timeout=timeout, partial=partial)
        finally:
            talk.close()
        if talk.too_long:
            raise OutputTooLong(site=self.name, command=command.title, limit=command.limit)
        code = group.end()
        seconds = time.monotonic() - begin
        extra = {"site": self.name, "command": command.title, "code": code, "seconds": round(seconds, 3)}
        log.debug("ran", extra=extra)
        return Result(code, bytes(talk.out), bytes(talk.err), seconds)


class _Group:
    """The process group of one command. Signals are sent only while its first process is not reaped.

    Until then its number can't belong to anybody else.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self._lock = threading.Lock()
        self._ended = False
        self._seen: dict[tuple[int, int], int] = {}
        keeper.keep(child.pid)

    def __enter__(self) -> _Group:
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


class _Talk:
    """Gives a command its input and takes its output, side by side and with an upper limit."""

    def __init__(self, group: _Group, command: Command) -> None:
        self.group = group
        self.out, self.err = bytearray(), bytearray()
        self.limit = command.limit
        self.too_long = False
        self._input = memoryview(command.input)
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
            if self._over is not None and not self._open:
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
            if not self._input:
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
            self.err += data[: max(0, ERR_LIMIT - len(self.err))]
        elif len(self.out) + len(data) > self.limit:
            self.too_long = True
            self.group.kill()
        else:
            self.out += data
        return True

    def _drain(self) -> None:
        """Take what lies in the pipes, without waiting."""
        for stream in list(self._open):
            while stream in self._open and not self.too_long and self._move(stream):
                pass

    def _drop(self, stream: IO[bytes] | None) -> None:
        if stream in self._open and stream is not None:
            self._open.remove(stream)
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


def _environment() -> dict[str, str]:
    """This process's environment, messages in English, without what is ours or would change a tool's ways."""
    out = ("ONDECK_", "LC_", "RSYNC_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(out) and k not in _LEFT_OUT}
    return {**kept, "LC_ALL": "C"}


_LEFT_OUT = {"LANG", "LANGUAGE", "PGPASSWORD", "GREP_OPTIONS", "TAR_OPTIONS", "POSIXLY_CORRECT", "CDPATH"}


@cache
def _die_with_parent() -> tuple[str, ...]:
    """The words before a command that let it die with the thread that starts it."""
    if shutil.which("setpriv"):
        return ("setpriv", "--pdeathsig", "KILL", "--")
    log.warning("no setpriv here: commands are killed with the daemon by its keeper alone")
    return ()
