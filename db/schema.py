"""Which schema this version needs, and how it comes into being: alembic's migrations, run from here.

The migrations lie above this package and are found by alembic as files, beside this one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from .engine import Database
from .errors import NoSchema, OtherSchema

HEAD = "0001"
"""The revision that this version of ondeck works with; a test holds it equal to alembic's head."""

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


def revision(database: Database) -> str | None:
    """The revision of the database's schema; None when it holds no run database."""
    if database.dialect == "sqlite" and not Path(str(database.url.database)).exists():
        return None  # to look must not make an empty file
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return MigrationContext.configure(connection).get_current_revision()


def check(database: Database) -> None:
    """Raise NoSchema or OtherSchema unless the schema is the one that is needed."""
    found = revision(database)
    if found is None:
        raise NoSchema(url=database.masked)
    if found != HEAD:
        raise OtherSchema(url=database.masked, found=found, needed=HEAD)


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the schema to revision `to`, whole or not at all."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with _alone(database), database.engine.execution_options(ondeck_writes=True).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """SQLite: one at a time, by a lock on the folder. A new file is put into WAL mode outside of any transaction,
    and there SQLite does not wait for another who is doing the same."""
    if database.dialect != "sqlite":
        yield
        return
    folder = os.open(Path(str(database.url.database)).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def create(url: str) -> None:
    """Make the run database at `url`, or bring it up to date."""
    database = Database(url)
    try:
        upgrade(database)
    finally:
        database.dispose()
