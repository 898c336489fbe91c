"""An experiment that is run with the real commands, and the false rsyncs that stand in their way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from ondeck.config import load
from ondeck.db.engine import Database
from ondeck.tools.disks import all_disks, initialise
from support import commands
from support.daemonlab import alive, until
from support.experiment import Experiment

DAEMONS = ["RunsProvider", "Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger"]
RSYNC = shutil.which("rsync") or "/usr/bin/rsync"


class Lab(Experiment):
    """An experiment with its commands. `clean_up` ends all that was started for it."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        super().__init__(folder, url, **settings)
        self.programs = folder / "programs"
        self.programs.mkdir()

    # ---- configuration

    def change(self, old: str, new: str, config: Path | None = None) -> None:
        """Replace what stands once in the configuration."""
        path = config or self.config
        content = path.read_text()
        assert content.count(old) == 1, f"{old!r} stands {content.count(old)} times in {path}"
        path.write_text(content.replace(old, new))

    def add(self, more: str) -> None:
        """Add tables to the configuration."""
        self.config.write_text(self.config.read_text() + more)

    def twin(self, name: str, state_dir: str) -> Path:
        """The configuration of a second instance: the same, with a state directory of its own."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(self.config.read_text())
        self.change('state_dir = "state"', f'state_dir = "{state_dir}"', path)
        return path

    # ---- commands

    def build(self) -> None:
        """What `builddb` does for the storages, in this process: quicker. (The schema is there already.)"""
        config = load(self.config)
        db = Database(self.url)
        try:
            for disk in all_disks(config):
                initialise(config, db, disk)
        finally:
            db.dispose()

    def run(
        self, name: str, *words: str, code: int | None = 0, config: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with this configuration."""
        return commands.run(name, *words, cwd=self.folder, code=code, ONDECK_CONFIG=str(config or self.config), **env)

    def begin(self, name: str, *words: str, config: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Begin a program with this configuration."""
        return commands.begin(name, *words, cwd=self.folder, ONDECK_CONFIG=str(config or self.config), **env)

    def once(self, *daemons: str, **env: str) -> None:
        """One pass of each daemon, by `NAME foreground --once`."""
        for name in daemons:
            self.run(name, "foreground", "--once", **env)

    def rsync(self, script: str) -> dict[str, str]:
        """Put a false rsync before the real one; returns the environment that finds it. `$REAL` is the real one."""
        path = self.programs / "rsync"
        path.write_text(f"#!/bin/sh\nREAL={RSYNC}\n{script}\n")
        path.chmod(0o755)
        return {"PATH": f"{self.programs}:{os.environ['PATH']}"}

    def listed(self, *words: str) -> list[dict[str, Any]]:
        """What `listdb --json` shows."""
        rows: list[dict[str, Any]] = json.loads(self.run("listdb", "--json", "--all", *words).stdout)
        return rows

    # ---- daemons

    def start(self, **env: str) -> subprocess.CompletedProcess[str]:
        """`ondeck start`, with patience: the machine may be busy with other tests."""
        return self.run("ondeck", "start", "--wait", "120", **env)

    def beat(self, name: str, state: str = "state") -> dict[str, Any]:
        """A daemon's local heartbeat."""
        content: dict[str, Any] = json.loads((self.folder / state / "run" / f"{name}.beat").read_text())
        return content

    def pid(self, name: str, state: str = "state") -> int:
        """The pid in a daemon's local heartbeat."""
        return int(self.beat(name, state)["pid"])

    def pids(self) -> dict[str, int]:
        """The pids of all daemons."""
        return {name: self.pid(name) for name in DAEMONS}

    def log(self, name: str, state: str = "state") -> str:
        """A daemon's log."""
        path = self.folder / state / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def daemons_alive(self) -> list[str]:
        """The daemons of this experiment that run."""
        found = commands.processes_of(self.folder).values()
        return sorted(words[0] for words in found if words and words[0] in DAEMONS)

    def kill(self, pid: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; SIGKILL: and wait until the process is gone."""
        os.kill(pid, how)
        if how == signal.SIGKILL:
            until(lambda: not alive(pid), what=f"process {pid} does not go")

    def clean_up(self) -> None:
        """End all that runs still."""
        commands.end_all(self.folder)

    # ---- the run database

    def execute(self, sql: str, **values: Any) -> None:
        """One statement by hand, as somebody with `sqlite3` or `psql` would type it."""
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                connection.execute(text(sql), values)
        finally:
            engine.dispose()

    def run_row(self, name: str) -> dict[str, Any]:
        """Columns of a run's row."""
        columns = ("id", "status", "tries", "reason", "epoch", "leased_by", "lease_until", "listener", "failed_from")
        (row,) = self.query(f"SELECT {', '.join(columns)} FROM runs WHERE name = :name", name=name)
        return dict(zip(columns, row, strict=True))

    def until_status(self, names: list[str], status: str, seconds: float = 60.0) -> None:
        """Wait until all of these runs have this status."""

        def there() -> bool:
            seen = self.statuses()
            return all(seen.get(name) == status for name in names)

        try:
            until(there, seconds)
        except AssertionError:
            rows = {name: self.run_row(name) for name, seen in self.statuses().items() if seen != status}
            raise AssertionError(f"not all {status} of {names[:3]} ...: {rows}") from None

    def actors(self) -> dict[str, set[int]]:
        """Daemon → pids that have made a step."""
        found: dict[str, set[int]] = {}
        for (actor,) in self.query("SELECT DISTINCT actor FROM transitions"):
            name, at, rest = str(actor).partition("@")
            if at and rest.rpartition(":")[2].isdigit():
                found.setdefault(name, set()).add(int(rest.rpartition(":")[2]))
        return found
