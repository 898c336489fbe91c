"""`builddb`: makes the run database, and gives each storage its uuid."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("builddb")

import shutil
from pathlib import Path

import click

from ..config import Config, OndeckError
from ..db import schema
from ..db.engine import Database
from ..db.errors import OtherSchema
from .disks import NotSeen, all_disks, initialise, under_umask
from .errors import Command
from .opening import config_option, opened, program, version_option


class SomeDisks(OndeckError):
    """{count} of the storages could not be initialised; `ondeck storage init NAME` tries one again"""


class NoFolder(OndeckError):
    """The folder {folder} for the run database can't be made: {why}"""


@click.command(cls=Command, epilog="""\b
Examples:
  builddb                            what ondeck.toml says
  builddb --config /data/ondeck.toml
  builddb --no-storages              the database alone""")  # fmt: skip
@config_option
@version_option
@click.option("--no-storages", is_flag=True, help="Make the database alone; `ondeck storage init` does the rest later.")
def builddb(path: str | None, no_storages: bool) -> None:
    """Make the run database, and give each storage its uuid.

    A directory of a storage that is missing is made. The file .ondeck-storage in it names the disk from then on;
    one that is there already, of an older run database, is taken over. What was done before is left as it is, so
    it does no harm to call this again, or twice at once.
    """
    del path
    with opened(schema=False) as (config, db):
        under_umask(config)
        made = _make(config, db)
        words = "made" if made else "is there already"
        click.echo(f"run database {db.masked}: {words}, schema {schema.HEAD}")
        if not no_storages:
            _storages(config, db)


def _make(config: Config, db: Database) -> bool:
    """Make the schema unless it is there; raises OtherSchema when it is another one."""
    found = schema.revision(db)
    if found is not None and found != schema.HEAD:
        raise OtherSchema(url=db.masked, found=found, needed=schema.HEAD)
    if found is None:
        if db.dialect == "sqlite":
            _make_folder(config, Path(str(db.url.database)).parent)
        schema.upgrade(db)
    return found is None


def _make_folder(config: Config, folder: Path) -> None:
    if folder.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if config.group:
            shutil.chown(folder, group=config.group)
            folder.chmod(folder.stat().st_mode | 0o2000)
    except OSError as error:
        raise NoFolder(folder=folder, why=error.strerror or error) from error


def _storages(config: Config, db: Database) -> None:
    """Initialise what was never seen, all that can be; raises SomeDisks when one could not."""
    wrong = 0
    for disk in all_disks(config):
        try:
            click.echo(f"{disk.name}: {disk.root}: {initialise(config, db, disk)}")
        except OndeckError as error:
            wrong += not isinstance(error, NotSeen)  # known, and not mounted just now: nothing to initialise
            click.echo(f"ondeck: {error}", err=True)
    if wrong:
        raise SomeDisks(count=wrong)


def main() -> None:
    """The program builddb."""
    program(builddb, "builddb")
