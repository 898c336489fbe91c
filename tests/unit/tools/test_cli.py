from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from ondeck import __version__
from ondeck.tools.cli import COMMANDS, SECTIONS, ondeck


def test_help_is_a_manual() -> None:
    text = CliRunner().invoke(ondeck, ["--help"]).stdout
    for section, commands in SECTIONS.items():
        assert f"\n{section}:\n" in text
        for name, mounted in commands.items():
            assert re.search(rf"^  {name} +{re.escape(mounted.does)}$", text, re.MULTILINE), name
    for word in ("Examples:", "Exit codes:", "$ONDECK_CONFIG", "ResetJob", "DiskMonitor"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    """Also those below it; by its own name, with the options that all have."""
    context = click.Context(ondeck, info_name="ondeck")
    command = ondeck.get_command(context, name)
    assert command is not None
    assert command.name == name

    def look(command: click.Command, words: list[str]) -> None:
        said = CliRunner().invoke(ondeck, [*words, "--help"])
        assert said.exit_code == 0, said.output
        assert said.stdout.startswith(f"Usage: ondeck {' '.join(words)}")
        assert command.help
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                inner = command.get_command(context, below)
                assert inner is not None
                look(inner, [*words, below])

    look(command, [name])


def test_version() -> None:
    assert CliRunner().invoke(ondeck, ["--version"]).stdout == f"ondeck {__version__}\n"


def test_unknown_words_are_a_usage_error() -> None:
    for words in (["lisdb"], ["listdb", "--no-such"], ["run", "ad"], ["site", "pause"]):
        said = CliRunner().invoke(ondeck, words)
        assert said.exit_code == 2
        assert "Usage:" in said.stderr


def test_python_m_ondeck(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ondeck", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ondeck {__version__}\n"


def config_for(folder: Path, url: str) -> str:
    path = folder / "ondeck.toml"
    path.write_text(f'[database]\nurl = "{url}"\n')
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("words", [["listdb"], ["history", "1"], ["watch", "--once"], ["run", "comment", "1", "x"]])
def test_without_a_run_database_a_command_says_how_to_make_one(tmp_path: Path, words: list[str]) -> None:
    said = CliRunner().invoke(ondeck, ["--config", config_for(tmp_path, "sqlite:///none.db"), *words])
    assert said.exit_code == 1
    assert said.stderr == (
        f"ondeck: The database sqlite:///{tmp_path}/none.db holds no run database yet: make it with `builddb`.\n"
    )
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_is_away_is_one_line_without_its_password(tmp_path: Path, postgresql_url: str) -> None:
    url = make_url(postgresql_url).set(port=1, password="geheim-77").render_as_string(hide_password=False)
    said = CliRunner().invoke(ondeck, ["--config", config_for(tmp_path, url), "listdb"])
    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith("ondeck: The run database postgresql")
    assert "refused" in line
    assert "geheim" not in said.output


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    said = CliRunner().invoke(ondeck, ["--config", config_for(tmp_path, "sqlite:///junk.db"), "listdb"])
    assert said.exit_code == 1
    assert said.stderr.startswith("ondeck: The run database sqlite:///")
    assert "not a database" in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_the_nearest_config_holds(tmp_path: Path) -> None:
    good = config_for(tmp_path, "sqlite:///a.db")
    said = CliRunner().invoke(ondeck, ["--config", str(tmp_path / "none.toml"), "listdb", "--config", good])
    assert "a.db" in said.stderr
