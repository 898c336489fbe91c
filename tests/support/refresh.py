"""refresh.sh with an `ondeck` that only notes how it was called."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from support.house import ROOT

REFRESH = ROOT / "tools/refresh.sh"
DAEMONS = ["RunsProvider", "Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger"]
BARE = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "nobody"}
NODE = platform.node()

FAKE = """#!/bin/sh
# Notes a call; `fail`, `hang` and `linger` beside it, holding a daemon's name, say what goes wrong.
here=$(dirname "$0")
printf '%s | %s | %s\\n' "$*" "${ONDECK_CONFIG:-}" "${KRB5CCNAME:-}" >>"$here/calls"
echo "$2 says something"
[ "$(cat "$here/fail" 2>/dev/null)" != "$2" ] || { echo "$2 is broken" >&2; exit 3; }
[ "$(cat "$here/hang" 2>/dev/null)" != "$2" ] || { echo $$ >"$here/hangs"; exec sleep 60; }
if [ "$(cat "$here/linger" 2>/dev/null)" = "$2" ]; then sleep 60 & echo $! >>"$here/lingering"; fi
exit 0
"""


class Refresh:
    """A folder with a false `ondeck`, a configuration, and a home; refresh.sh run with little else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "my experiment's ondeck.toml"
        self.config.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.program("ondeck", FAKE)
        # A copy: in the checkout it would find the real ondeck of the checkout's own environment.
        self.script = self.installed("tools/refresh.sh")

    def program(self, name: str, text: str) -> Path:
        """Put a program into PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """What refresh.sh finds in its environment."""
        return {
            **BARE,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            **more,
        }

    def command(self, *args: str | Path, script: Path | None = None) -> list[str | Path]:
        """The command line of refresh.sh."""
        return ["/bin/sh", script or self.script, "--config", self.config, *args]

    def __call__(self, *args: str | Path, script: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args, script=script),
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start refresh.sh and don't wait for it."""
        return subprocess.Popen(
            self.command(*args),
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def installed(self, place: str) -> Path:
        """Copy refresh.sh to `place`, a path in the folder."""
        script = self.folder / place
        script.parent.mkdir(parents=True)
        shutil.copy(REFRESH, script)
        return script

    @property
    def calls(self) -> list[list[str]]:
        """What was asked of ondeck: arguments, configuration, credentials' cache."""
        noted = self.bin / "calls"
        return [line.split(" | ") for line in noted.read_text().splitlines()] if noted.exists() else []

    def wait_for(self, path: Path) -> None:
        """Wait for a file to come."""
        end = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < end, f"{path} did not come"
            time.sleep(0.02)


def lock_of(config: Path) -> Path:
    """Where refresh.sh keeps the lock for `config`."""
    checksum = subprocess.run(["cksum"], input=str(config).encode(), capture_output=True, check=True).stdout
    return Path(f"/tmp/ondeck-refresh.{os.geteuid()}.{checksum.decode().strip().replace(' ', '-')}.lock")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill what start() started."""
    process.kill()
    process.communicate()
