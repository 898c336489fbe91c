"""A configured place with a run database of either kind, in which commands are run as a user types them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ondeck.db.engine import Database
from ondeck.tools.cli import ondeck

CONFIG = """\
name = "lab"
[database]
url = "{url}"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[sources.daq]
type = "directory"
storage = "daq"
[listeners.physics]
match = {{ run_type = "physics", energy = {{ min = 5 }} }}
modules = ["checksums"]
storage = "disk"
archive = "tape"
[modules.checksums]
template = "checksums.sh"
site = "here"
"""


class Lab:
    """A folder with ondeck.toml; its run database has its schema, its storages are not initialised."""

    def __init__(self, folder: Path, db_url: str) -> None:
        self.folder = folder
        self.config = folder / "ondeck.toml"
        self.write(CONFIG.format(url=db_url))
        self.db = Database(db_url)

    def write(self, text: str) -> None:
        """Another ondeck.toml."""
        self.config.write_text(text)
        self.config.chmod(0o600)

    def run(self, *words: str, command: click.Command = ondeck, input: str | None = None) -> Result:
        """`ondeck WORDS` (or another command), with this configuration. Nothing but click's own errors come out."""
        result = CliRunner(env={"COLUMNS": "300"}).invoke(command, list(words), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def good(self, *words: str, command: click.Command = ondeck, input: str | None = None) -> str:
        """The same, for what must work: its stdout."""
        result = self.run(*words, command=command, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def bad(self, *words: str, command: click.Command = ondeck) -> str:
        """The same, for what must be refused: its one line on stderr."""
        result = self.run(*words, command=command)
        assert result.exit_code == 1, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("ondeck: ")
        return line.removeprefix("ondeck: ")


@pytest.fixture
def lab(tmp_path: Path, db_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A place with a fresh run database, once on SQLite and once on PostgreSQL; the working directory is there."""
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = Lab(folder, db_url)
    yield made
    made.db.dispose()


HOSTILE = "evil\n\x1b[2J\x1b]0;title\x07\r\u202e\u2028\t'\"; rm -rf /" + "x" * 3000
"""What a name, a reason or a parameter may be when somebody has inserted it by hand."""
