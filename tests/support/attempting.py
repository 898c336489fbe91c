"""Attempts for the tests: their directories, starts of their wrappers, and the ends of what was started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ondeck.sites import attempts
from ondeck.sites.transport import LocalTransport

TOKEN = "dtst0000000ab"
SHELLS = ["dash", "bash"]


def make(transport: LocalTransport, directory: Path, payload: str, token: str = TOKEN) -> Path:
    """A prepared attempt."""
    files = {"wrapper.sh": attempts.wrapper(str(directory), token), "payload.sh": payload.encode()}
    (prepared,) = attempts.prepare(transport, [attempts.Preparation(str(directory), token, files)])
    assert prepared.outcome == "made", prepared
    return directory


def start(directory: Path, shell: str = "dash", **env: str) -> subprocess.Popen[bytes]:
    """One start of its wrapper, in a session of its own, as a batch system would."""
    return subprocess.Popen(
        [shell, str(directory / "wrapper.sh")],
        env={"PATH": os.environ["PATH"], "ONDECK_BATCH_ID": "7.7", "ONDECK_START_COUNT": "0", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def kill_session(child: subprocess.Popen[bytes]) -> None:
    """The wrapper and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def look(transport: LocalTransport, directory: Path) -> attempts.Look:
    """What the attempt's files say."""
    return attempts.look(transport, [str(directory)])[0]
