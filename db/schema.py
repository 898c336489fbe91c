"""Which schema this version needs, and how it comes into being: alembic's migrations, run from here.

The migrations lie above this package and are found by alembic as files, beside this one.
"""

from __future__ import annotations

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
    config.set_main_option("script_location", str(_SCRIPTS))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def create(url: str) -> None:
    """Make the run database at `url`, or bring it up to date."""
    database = Database(url)
    try:
        upgrade(database)
    finally:
        database.dispose()
