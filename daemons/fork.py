"""Becoming a daemon: a fresh process, forked twice, a session of its own, without a terminal.

The starter runs `ENTRY NAME …` and listens on a pipe: the daemon tells over it that it has started, or what is
wrong; when it dies before, the pipe breaks. That pipe is the only thing that is open across the forks.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from daemon import DaemonContext

from .folders import Places

ENTRY: list[str] = [sys.executable, "-P", str(Path(__file__).resolve().with_name("__main__.py"))]
"""The command of the process that becomes a daemon; the daemon's name follows."""
STDIO_LIMIT = 10_000_000
"""Bytes after which NAME.out and NAME.err are put aside at a start."""


class Answer(NamedTuple):
    """What came over the pipe. `error` is what is wrong, `trouble` what doesn't keep it from running."""

    pid: int | None
    error: str | None
    trouble: str | None = None
    known: bool = False
    """Whether the daemon itself said `error` (not so when it died, or said nothing in time)."""


LATE = Answer(None, "it has not beaten in time (it may still come: see status)")


class Teller:
    """The daemon's end of the pipe; without one (in the foreground) nothing is told."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_inheritable(fd, False)

    def started(self, trouble: str | None) -> None:
        """It runs."""
        self._tell({"pid": os.getpid(), "error": None, "trouble": trouble})

    def failed(self, error: str) -> None:
        """It can't."""
        self._tell({"pid": os.getpid(), "error": error, "trouble": None})

    def _tell(self, words: dict[str, object]) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(BrokenPipeError):  # the starter did not wait
            os.write(self._fd, json.dumps(words).encode() + b"\n")
        os.close(self._fd)
        self._fd = None


def fill_streams() -> None:
    """Open what is closed of stdin, stdout and stderr, so that nothing else gets their numbers (cron, `>&-`)."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    for stream, fd, flags in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(fd, flags, closefd=False))  # noqa: SIM115


def show_as(title: Sequence[str]) -> None:
    """Let `ps`, `top` and `pgrep` show this process by these words, whatever the path of the interpreter.

    The words are written where the kernel keeps the command line, no further than it goes.
    """
    with contextlib.suppress(OSError, ImportError, ValueError, IndexError):
        Path("/proc/self/comm").write_text(title[0])
        import ctypes

        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        if ctypes.string_at(start, end - start) == Path("/proc/self/cmdline").read_bytes():
            words = b"".join(os.fsencode(word) + b"\0" for word in title)[: end - start - 1]
            ctypes.memmove(start, words.ljust(end - start, b"\0"), end - start)


def launch(arguments: Sequence[str], wait: float) -> Answer:
    """Start a daemon with `arguments` (its name first) and wait at most `wait` seconds for its first beat."""
    fill_streams()
    reading, writing = os.pipe()
    try:
        with subprocess.Popen(
            [*ENTRY, *arguments, "--tell", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing],
        ) as child:
            os.close(writing)
            writing = -1
            answer = _answer(reading, time.monotonic() + wait)
            if answer == LATE and child.poll() is None:
                child.kill()
                answer = Answer(None, "it hung before it had forked, and was killed")
        return answer
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _answer(fd: int, deadline: float) -> Answer:
    data = b""
    while not data.endswith(b"\n"):
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return LATE
        piece = os.read(fd, 65536)
        if not piece:
            return Answer(None, "it died")
        data += piece
    said = json.loads(data)
    return Answer(said["pid"], said["error"], said["trouble"], known=True)


def detach(where: Places, umask: int, keep: int | None) -> None:
    """Turn this process into a daemon; returns in the grandchild. `keep`: the starter's pipe.

    stdout and stderr go to the files NAME.out and NAME.err, and are appended to.
    """
    os.umask(umask)
    for path in (where.out, where.err):
        if path.exists() and path.stat().st_size > STDIO_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    with where.out.open("ab") as out, where.err.open("ab") as err:
        DaemonContext(
            detach_process=True,
            working_directory="/",
            umask=umask,
            stdout=out,
            stderr=err,
            files_preserve=[] if keep is None else [keep],
            signal_map={},  # the runner's own; whatever were ignored here would stay so in the jobs
            prevent_core=False,
        ).open()
    for standard in (sys.stdout, sys.stderr):
        if isinstance(standard, io.TextIOWrapper):
            standard.reconfigure(line_buffering=True)
