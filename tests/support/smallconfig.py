"""A configuration with a bit of everything, for tests that need no experiment in a folder."""

from __future__ import annotations

from pathlib import Path

from ondeck.config import Config, loads

CONFIG = """
name = "small"
[retry]
first = "10s"
factor = 2.0
longest = "5m"
max_tries = 3
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
slots = 2
[sites.bare]
transport = "local"
work = "work3"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
reserve = "100"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[sources.daq]
type = "directory"
storage = "daq"
[listeners.physics]
match = { run_type = "physics" }
modules = ["sums"]
storage = "disk"
archive = "tape"
[listeners.long]
match = { run_type = "physics", number = { min = 1000 } }
storage = "disk"
priority = 5
[modules.sums]
template = "sums.sh"
site = "here"
[sinks.mail]
type = "mail"
sender = "a@example.org"
recipients = ["b@example.org"]
[sinks.shift]
type = "mail"
sender = "a@example.org"
recipients = ["c@example.org"]
"""


def make_config(folder: Path, more: str = "") -> Config:
    """The configuration, as if it stood in `folder` (where a template is made)."""
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "sums.sh").write_text("true\n")
    return loads(CONFIG + more, folder / "ondeck.toml")
