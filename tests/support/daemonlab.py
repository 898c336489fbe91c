"""A folder with a configuration, in which the tiny daemons of tinydaemons.py are started, looked at and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("tinydaemons.py")


def until(true: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Wait until `true()` is so, and return it; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, what or "it did not come about in time"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Whether process `pid` runs (a zombie doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class DaemonLab:
    """One configuration. `beat` in seconds."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.config = folder / "ondeck.toml"
        self.state = folder / "state"
        self.write("good")

    def write(self, *lanes: str, beat: float = 0.3, interval: float = 0.3, lease: float = 2.0, more: str = "") -> None:
        """Write the configuration, with these lanes."""
        self.folder.mkdir(exist_ok=True)
        self.config.touch(mode=0o600)
        sites = "\n".join(f'{lane} = {{transport = "local", work = "work"}}' for lane in lanes)
        self.config.write_text(
            f'[database]\nurl = "{self.url}"\n[daemons]\nheartbeat = {beat}\ninterval = {interval}\nlease = {lease}\n'
            f"{more}\n[sites]\n{sites}\n"
        )

    def popen(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Begin `NAME VERB …` (or `all VERB`)."""
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *words, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
            env={**os.environ, **env},
        )  # fmt: skip

    def run(self, *words: str, **env: str) -> tuple[int, str]:
        """Exit code and what was said."""
        with self.popen(*words, **env) as process:
            said, _ = process.communicate(timeout=90)
        return process.returncode, said

    def start(self, name: str = "Transfer", **env: str) -> int:
        """Start it; returns its pid."""
        code, said = self.run(name, "start", **env)
        assert code == 0, said + self.log(name)
        return self.pid(name)

    def pid(self, name: str = "Transfer") -> int:
        """The pid in its local heartbeat."""
        return int(self.beat(name)["pid"])

    def beat(self, name: str = "Transfer") -> dict[str, Any]:
        """Its local heartbeat."""
        content: dict[str, Any] = json.loads((self.state / "run" / f"{name}.beat").read_text())
        return content

    def pid_file(self, name: str = "Transfer") -> Path:
        """Its pid file."""
        return self.state / "run" / f"{name}.pid"

    def log(self, name: str = "Transfer") -> str:
        """Its log."""
        path = self.state / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def steps(self, lane: str) -> list[str]:
        """A line for each step that the lane has taken."""
        path = self.state / "steps" / lane
        return path.read_text().splitlines() if path.exists() else []

    def processes(self) -> list[int]:
        """What runs with this configuration: daemons, and commands."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if os.fsencode(self.config) in words and alive(int(folder.name)):
                    found.append(int(folder.name))
        return found

    def clean_up(self) -> None:
        """Kill what runs still."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def children(pid: int, name: str) -> list[int]:
    """The children of process `pid` whose command is `name`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue
            head, _, rest = text.rpartition(")")
            if int(rest.split()[1]) == pid and head.partition("(")[2] == name:
                found.append(int(folder.name))
    return found
