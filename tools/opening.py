"""What each command needs first: the configuration, the run database, and who is at the keyboard."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import click
from sqlalchemy.exc import SQLAlchemyError

from .. import __version__
from ..config import Config, OndeckError, load
from ..db.actor import set_actor
from ..db.engine import Database
from .config_commands import path_of

config_option = click.option(
    "--config", "path", metavar="FILE", help="The configuration [default: as `ondeck --help` says]."
)
version_option = click.version_option(__version__, prog_name="ondeck", message="%(prog)s %(version)s")


class DatabaseTrouble(OndeckError):
    """The run database {url} does not do what it should: {why}"""


class Opened(NamedTuple):
    """The configuration and the run database that it names."""

    config: Config
    db: Database


def configured() -> Config:
    """The configuration; `--config` may stand before a command's name or after it, the nearest holds."""
    context: click.Context | None = click.get_current_context()
    path: str | None = None
    while path is None and context is not None:
        path = context.params.get("path")
        context = context.parent
    return load(path or path_of(click.get_current_context()))


def user() -> str:
    """The name of who types, as histories show it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())


@contextmanager
def opened(*, schema: bool = True) -> Iterator[Opened]:
    """The configuration and its run database, whose schema is the needed one unless `schema` is False.

    What is done in the block is done in the user's name. Raises what `load` and `check_schema` raise, and
    DatabaseTrouble for anything that the database itself says, without its password.
    """
    config = configured()
    db = Database(config.database.url.get_secret_value())
    set_actor(user())
    try:
        if schema:
            db.check_schema()
        yield Opened(config, db)
    except SQLAlchemyError as error:
        raise DatabaseTrouble(url=config.database.shown_url, why=_first_line(error)) from error
    finally:
        db.dispose()


def _first_line(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def program(command: click.Command, name: str) -> NoReturn:
    """Run `command` as the program `name`; what a terminal's encoding can't show is written in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    command(prog_name=name)
    sys.exit(0)  # not reached: a command ends the process
