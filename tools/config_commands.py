"""`ondeck init` and `ondeck config check|show|schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..config import Config, load
from ..config.dump import effective, fingerprint, to_toml
from ..config.schema import schema
from ..config.write import init as write
from .errors import Command, Group


def path_of(ctx: click.Context) -> Path | None:
    """What was said with --config, None when nothing was."""
    found = (ctx.find_root().obj or {}).get("config")
    return Path(found) if found else None


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented ondeck.toml that works, and the folders it names.

    FOLDER is the current one unless said otherwise. Nothing is asked. An ondeck.toml that exists is left
    as it is.
    """
    file = write(folder)
    click.echo(f"Written: {file}")
    click.echo("It takes runs from ./daq, processes them in ./raw and archives them in ./archive. Next:")
    here = folder.absolute() == Path.cwd()
    steps = [] if here else [(f"cd {_quoted(folder)}", "")]
    steps += [
        ("builddb", "makes the run database"),
        ("ondeck start", "starts the daemons"),
        ("ondeck simulate", "a pretend DAQ that writes runs into ./daq"),
        ("listdb", "shows where each run is"),
    ]
    for command, meaning in steps:
        click.echo(f"    {command:<20}{meaning}".rstrip())


@click.group(cls=Group)
def config() -> None:
    """Look at the configuration, ondeck.toml."""


@config.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say what is wrong in ondeck.toml, all of it at once; exit code 1 when there is something."""
    found = load(path_of(ctx))
    click.echo(f"{found.path}: good: {_summary(found)}.")
    if not found.listeners:
        click.echo("There is no listener yet, so no run is taken: write a table [listeners.NAME].")
    unused = sorted(set(found.modules) - {name for one in found.listeners.values() for name in one.modules})
    if unused:
        click.echo(f"No listener names these modules: {', '.join(unused)}.")


@config.command()
@click.pass_context
def show(ctx: click.Context) -> None:
    """Print all keys with the values that hold, defaults too. Secrets are masked."""
    found = load(path_of(ctx))
    click.echo(f"# {found.path}\n# fingerprint {fingerprint(found)}")
    click.echo(to_toml(effective(found)), nl=False)


@config.command("schema")
def show_schema() -> None:
    """Print the JSON schema of ondeck.toml, for editors and other programs."""
    click.echo(json.dumps(schema(), indent=2))


def _summary(found: Config) -> str:
    counts = [
        (len(getattr(found, section)), section)
        for section in ("sites", "storages", "sources", "listeners", "modules", "sinks")
    ]
    return f"experiment {found.name}, " + ", ".join(
        f"{count} {section[:-1] if count == 1 else section}" for count, section in counts
    )


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
