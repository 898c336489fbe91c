"""A small real experiment in a folder: a DAQ directory, a disk, an archive, and its configuration.

Used by the tests that let runs flow; the checks at the end are independent of ondeck's own code.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import tarfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

TEMPLATE = """name = "lab"
state_dir = "state"
[database]
url = "{url}"
[retry]
first = "0.05s"
longest = "0.2s"
[daemons]
interval = "1s"
heartbeat = "1s"
lease = "{lease}"
[daemons.RunsProvider]
interval = "0.3s"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
slots = 4
poll = "0.1s"
grace = "0.3s"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
reserve = "1M"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[storages.tape.bundle]
count = {count}
age = "0.5s"
[sources.daq]
type = "directory"
storage = "daq"
begin = "all"
remove = "{remove}"
[listeners.physics]
match = {{ run_type = "physics" }}
modules = ["count"]
storage = "disk"
archive = "tape"
[listeners.pedestal]
match = {{ run_type = "pedestal" }}
storage = "disk"
archive = "tape"
[modules.count]
template = "count.sh"
site = "here"
max_failures = 1
options = {{ starts = "{folder}/starts", seconds = {seconds} }}
"""

COUNT = """#!/bin/sh
# Says in a file that it was started, then that it has ended.
printf 'start %s\\n' "$$" >>{{ module.options.starts }}/{{ run.name }}
sleep {{ module.options.seconds }}
ls {{ input }} >"$ONDECK_OUTPUT/files"
"""


class Experiment:
    """The folder of one experiment. Made with its configuration; `builddb` is the caller's."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        remove: str = "ondeck",
        lease: str = "20s",
        count: int = 3,
        seconds: float = 0.3,
    ) -> None:
        self.folder, self.url = folder, url
        self.config = folder / "ondeck.toml"
        for name in ("daq", "templates", "starts"):
            (folder / name).mkdir(parents=True)
        (folder / "templates" / "count.sh").write_text(COUNT)
        values = {"url": url, "folder": folder, "remove": remove, "lease": lease, "count": count, "seconds": seconds}
        self.config.write_text(TEMPLATE.format(**values))
        self.config.chmod(0o600)  # it may hold a password
        self.sums: dict[str, dict[str, str]] = {}

    def write_run(self, name: str, number: int, run_type: str = "physics", size: int = 2000) -> None:
        """Write a run as a DAQ does: data, parameters, end marker."""
        run = self.folder / "daq" / name
        (run / "sub dir").mkdir(parents=True)
        files = {"data.bin": random.Random(number).randbytes(size), "sub dir/-odd\n\u00e9": b"x" * number, "empty": b""}
        files["run.json"] = json.dumps({"number": number, "run_type": run_type, "events": 10 * number}).encode()
        for path, content in files.items():
            (run / path).write_bytes(content)
        files["run.end"] = b""
        (run / "run.end").touch()
        self.sums[name] = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Ask the run database."""
        engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg2://"))
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(sql), values)]
        finally:
            engine.dispose()

    def statuses(self) -> dict[str, str]:
        """Run name → status."""
        return {str(name): str(status) for name, status in self.query("SELECT name, status FROM runs")}

    # ---- what must hold in the end ----

    def starts(self, name: str) -> int:
        """How often the payload of a run has started."""
        path = self.folder / "starts" / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    def archived_sums(self) -> dict[str, dict[str, str]]:
        """{run: {path: sha256}} of what lies in the archive's tars, read by Python's own tarfile."""
        found: dict[str, dict[str, str]] = {}
        for path in sorted((self.folder / "archive").glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile():
                        _, run, rest = member.name.split("/", 2)
                        content = tar.extractfile(member)
                        assert content is not None
                        assert rest not in found.setdefault(run, {}), f"{member.name} is archived twice"
                        found[run][rest] = hashlib.sha256(content.read()).hexdigest()
        return found

    def sums_below(self, folder: Path) -> dict[str, str]:
        """{path: sha256} of all files below a folder."""
        files = (Path(base) / name for base, _, names in os.walk(folder) for name in names)
        return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    def check_end(self, *, payloads: bool = True, by_hand: bool = False) -> None:
        """Every run is archived, its bytes are the original ones, its payload started once, its history is whole.

        `by_hand`: rows may have been inserted by hand.
        """
        assert self.statuses() == dict.fromkeys(self.sums, "archived")
        assert self.archived_sums() == self.sums
        for name, sums in self.sums.items():
            disk = self.folder / "raw" / "daq" / name
            assert self.sums_below(disk) == sums
            types = dict(self.query("SELECT name, run_type FROM runs"))
            if payloads:
                assert self.starts(name) == (1 if types[name] == "physics" else 0), f"payload of {name}"
        self.check_history(by_hand=by_hand)

    def check_history(self, *, by_hand: bool = False) -> None:
        """Each row's transitions lead from its birth to its status, step by step; none (but a birth) is by hand."""
        rows = self.query('SELECT table_name, row_id, source, "to", actor FROM transitions ORDER BY id')
        at: dict[tuple[str, int], str] = {}
        for table, row, source, to, actor in rows:
            assert at.get((table, row)) == source, (
                f"{table} {row}: a step from {source}, but it was {at.get((table, row))}"
            )
            assert actor != "by hand" or (by_hand and source is None), f"{table} {row} to {to}"
            at[table, row] = to
        for table in ("runs", "jobs", "copies", "bundles"):
            for row, status in self.query(f"SELECT id, status FROM {table}"):
                assert at.get((table, row)) == status, f"{table} {row}"

    def leftovers(self) -> list[str]:
        """Names of ours that should not lie around in the end: parts and renamed directories."""
        patterns = ("**/*.part", "**/*.deleting")
        return [
            str(p)
            for folder in ("daq", "raw", "archive")
            for pattern in patterns
            for p in (self.folder / folder).glob(pattern)
        ]
