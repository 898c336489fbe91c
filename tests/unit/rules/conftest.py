"""What the tests of the rules share: a configuration, and one database on PostgreSQL which is emptied in between."""

from __future__ import annotations

import pytest
from support.emptied import postgresql_url  # noqa: F401

from ondeck.config import Config, loads

CONFIG = """
name = "rules"
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


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration with most things in it."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "templates").mkdir()
    (folder / "templates" / "sums.sh").write_text("true\n")
    return loads(CONFIG, folder / "ondeck.toml")
