from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ondeck.config.errors import OndeckError
from ondeck.tools.config_commands import config, init
from ondeck.tools.errors import Command, Group


class Sad(OndeckError):
    """Nothing works with {thing}"""


@click.group(cls=Group)
@click.option("--config", "path", type=click.Path(path_type=Path))
@click.pass_context
def root(ctx: click.Context, path: Path | None) -> None:
    """As the main program mounts the commands."""
    ctx.obj = {"config": path}


root.add_command(init)
root.add_command(config)


@root.command()
@click.argument("thing")
def fails(thing: str) -> None:
    raise Sad(thing=thing)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ONDECK_CONFIG", raising=False)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(root, list(words))


def test_init_asks_nothing_and_says_what_is_next(here: Path) -> None:
    result = run("init")
    assert result.exit_code == 0, result.output
    assert (here / "ondeck.toml").is_file()
    assert result.stdout.splitlines()[0] == f"Written: {here}/ondeck.toml"
    assert [line.split("  ")[2].strip() for line in result.stdout.splitlines()[2:]] == [
        "builddb", "ondeck start", "ondeck simulate", "listdb",
    ]  # fmt: skip


def test_init_elsewhere_says_cd(here: Path) -> None:
    result = run("init", "new exp/'deep'")
    assert result.exit_code == 0
    assert (here / "new exp" / "'deep'" / "ondeck.toml").is_file()
    assert "    cd 'new exp/'\"'\"'deep'\"'\"''" in result.stdout


def test_init_does_not_overwrite(here: Path) -> None:
    (here / "ondeck.toml").write_text("mine")
    result = run("init")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("ondeck: The configuration") or "exists already" in result.stderr
    assert (here / "ondeck.toml").read_text() == "mine"
    assert [path.name for path in here.iterdir()] == ["ondeck.toml"]


def test_check_of_a_good_file(here: Path) -> None:
    assert run("init").exit_code == 0
    result = run("config", "check")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{here}/ondeck.toml: good: experiment ")
    assert "1 site, 3 storages, 1 source, 1 listener, 1 module, 0 sinks." in result.stdout


def test_check_of_a_bad_file_lists_all(here: Path) -> None:
    (here / "bad.toml").write_text('name = "X"\n[retry]\nmax_tires = 3\n')
    result = run("--config", "bad.toml", "config", "check")
    assert result.exit_code == 1
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith(f'ondeck: {here}/bad.toml: [name] = "X": not a name')
    assert second == f'ondeck: {here}/bad.toml: [retry.max_tires] = 3: unknown key; did you mean "max_tries"?'


def test_check_without_a_file(here: Path) -> None:
    result = run("config", "check")
    if Path("/etc/ondeck/ondeck.toml").exists():
        pytest.skip("this machine has a configuration")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"ondeck: No ondeck.toml found. Looked at: {here}/ondeck.toml, ")
    assert "ondeck init" in result.stderr


def test_check_says_what_is_idle(here: Path) -> None:
    (here / "templates").mkdir()
    (here / "templates" / "s.sh").write_text("")
    (here / "ondeck.toml").write_text(
        '[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nsystem = "local"\n'
        '[modules.idle]\ntemplate = "s.sh"\nsite = "here"\n'
    )
    result = run("config", "check")
    assert result.exit_code == 0, result.output
    assert "There is no listener yet" in result.stdout
    assert "No listener names these modules: idle." in result.stdout


def test_show_masks_and_can_be_read_back(here: Path) -> None:
    (here / "ondeck.toml").write_text('[database]\nurl = "postgresql://u:geheim77@h/db"\n')
    (here / "ondeck.toml").chmod(0o600)
    result = run("config", "show")
    assert result.exit_code == 0, result.output
    assert "geheim77" not in result.output
    assert result.stdout.startswith(f"# {here}/ondeck.toml\n# fingerprint ")
    assert tomllib.loads(result.stdout)["database"] == {"url": "postgresql://u:***@h/db", "url_env": ""}


def test_schema_is_json() -> None:
    result = run("config", "schema")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["title"] == "ondeck.toml"


def test_the_commands_work_without_a_root(here: Path) -> None:
    (here / "ondeck.toml").write_text('name = "x"\n')
    assert CliRunner().invoke(config, ["check"]).exit_code == 0
    result = CliRunner().invoke(config, ["check", "--no-such"])
    assert result.exit_code == 2


def test_errors_become_messages() -> None:
    result = run("fails", "you\nand \udcff me")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "ondeck: Nothing works with you\nondeck: and \\udcff me\n"


def test_errors_of_a_single_command_too() -> None:
    @click.command(cls=Command)
    def single() -> None:
        raise Sad(thing="it")

    result = CliRunner().invoke(single, [])
    assert (result.exit_code, result.stderr) == (1, "ondeck: Nothing works with it\n")


def test_other_exceptions_are_not_hidden() -> None:
    @click.command(cls=Command)
    def broken() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(broken, []).exception, ZeroDivisionError)
