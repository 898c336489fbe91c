"""ondeck's commands as a user types them, and a look at what they leave running."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workplace import Workplace

MARK = "ONDECK_DEMO_RUN"
"""A variable in the environment of all that the demo starts, by which it knows its own."""


class CommandFailed(Exception):
    """A command ended with an exit code other than 0, or not in time; the message holds what it said."""


@dataclass(frozen=True)
class Process:
    """A process that runs now."""

    pid: int
    command: str


@dataclass
class Commands:
    """Runs commands for one workplace."""

    place: Workplace
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def __call__(self, name: str, *arguments: str, limit: float = 90) -> str:
        """Run `name` with this workplace's configuration and return what it printed; raises CommandFailed."""
        program = Path(sys.executable).with_name(name)
        return self.run([str(program), "--config", str(self.place.config), *arguments], limit)

    def shown(self, name: str, *arguments: str) -> str:
        """The command as a user would type it."""
        config = self.place.config
        if config.is_relative_to(Path.cwd()):
            config = config.relative_to(Path.cwd())
        return shlex.join([name, "--config", str(config), *arguments])

    def runs(self) -> list[dict[str, Any]]:
        """What listdb knows of the runs, the oldest first."""
        rows: list[dict[str, Any]] = json.loads(self("listdb", "--json"))
        return sorted(rows, key=lambda row: str(row["name"]))

    def run(self, argv: list[str], limit: float) -> str:
        """Run a command in its own session, so that Ctrl-C is the demo's to handle; raises CommandFailed."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):  # a daemon can't hold up a file
            try:
                done = subprocess.run(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    timeout=limit,
                    env=self.environment(),
                    start_new_session=True,
                    check=False,
                )
                code = f"exit code {done.returncode}" if done.returncode else ""
            except subprocess.TimeoutExpired:
                code = f"no end within {limit:g} s"
            except OSError as error:
                raise CommandFailed(f"{shlex.join(argv)}: {error.strerror}") from error
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        if code:
            raise CommandFailed(f"{shlex.join(argv)}: {code}\n{''.join(texts).strip()}")
        return texts[0]

    def environment(self) -> dict[str, str]:
        """What the commands get: the user's variables, but for an own configuration, and the mark."""
        return {key: value for key, value in os.environ.items() if key != "ONDECK_CONFIG"} | {MARK: self.mark}

    def daemons(self) -> list[int]:
        """The pids in the daemons' pid files."""
        pids = []
        for path in sorted(self.place.pid_files.glob("*.pid")):
            words = path.read_text(errors="replace").split()
            if words and words[0].isdecimal():
                pids.append(int(words[0]))
        return pids

    def tokens(self) -> list[bytes]:
        """The tokens of all attempts that were made at jobs: each lies in the attempt's directory."""
        files = self.place.work.glob("*/*/*/*/token")
        return [token for path in files if not path.parent.is_symlink() and (token := path.read_bytes().strip())]

    def running(self, pids: Iterable[int] = ()) -> list[Process]:
        """What the demo started and still runs, daemons and jobs.

        Known by the mark, by this configuration on the command line, by the token of a job (jobs don't get the
        demo's variables), or by being one of `pids`.
        """
        marks = {f"{MARK}={self.mark}".encode()} | {b"ONDECK_TOKEN=" + token for token in self.tokens()}
        config = str(self.place.config).encode()
        pids = frozenset(pids)
        found = []
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()):
            try:
                state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            ours = pid in pids or config in command.split(b"\0") or marks & set(environment.split(b"\0"))
            if ours and state not in "ZX" and pid != os.getpid():
                found.append(Process(pid, command.replace(b"\0", b" ").decode(errors="replace").strip()))
        return found

    def wait_gone(self, seconds: float, pids: Iterable[int] = ()) -> list[Process]:
        """Wait until nothing of that runs any more, at most so long; returns what still does."""
        end = time.monotonic() + seconds
        while (left := self.running(pids)) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def kill(self, seconds: float) -> list[Process]:
        """Kill all that the demo started, and what that has started meanwhile; returns what is left."""
        end = time.monotonic() + seconds
        while (left := self.running()) and time.monotonic() < end:
            for one in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
            time.sleep(0.2)
        return left
