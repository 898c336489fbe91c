"""`alterdb`: upgrades the run database; adds a column for a parameter."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("alterdb")

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import click
from alembic.util import CommandError
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from ..config import Config, OndeckError
from ..db import schema
from ..db.clock import now_sql
from ..db.engine import Database
from ..db.errors import NoSchema, OtherSchema
from ..db.extra import TYPES, declared, fill_batch
from .errors import Group
from .listing import RESERVED
from .opening import config_option, opened, program, version_option
from .words import counted, plain

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_GLANCE = 1.0


class DaemonsBeat(OndeckError):
    """daemons are running: {daemons}. Stop them first (ondeck stop), or wait for their end with --wait SECONDS"""


class BadColumn(OndeckError):
    """{name} can't be a column: use a small letter, then at most 59 of a-z, 0-9 and _"""


class ColumnExists(OndeckError):
    """runs has a column {name} already: {kind}"""


class ReservedName(OndeckError):
    """{name} can't be a column: listdb shows something else under that name. Have the DAQ call it otherwise"""


class CantBackUp(OndeckError):
    """the run database can't be copied to {file}: {why}. Nothing was changed"""


class CantUpgrade(OndeckError):
    """the run database {url} can't be upgraded: {why}. It is as it was{backup}"""


@click.group("alterdb", cls=Group, invoke_without_command=True, epilog="""\b
Examples:
  alterdb                             after a new version of ondeck was installed
  alterdb --wait 60                   the daemons are just being stopped
  alterdb add-param beam_energy real
  listdb --columns name,beam_energy""")  # fmt: skip
@config_option
@version_option
@click.option(
    "--wait", metavar="SECONDS", type=click.FloatRange(min=0), default=0.0, help="Wait so long for daemons to stop."
)
@click.pass_context
def alterdb(ctx: click.Context, path: str | None, wait: float) -> None:
    """Upgrade the run database to what this version of ondeck needs.

    Refused while daemons run. A SQLite database is copied first, to FILE.before-REVISION; for PostgreSQL make a
    backup with pg_dump. The upgrade is one transaction: it happens as a whole or not at all.
    """
    del path
    if ctx.invoked_subcommand is not None:
        return
    with opened(schema=False) as (config, db):
        found = schema.revision(db)
        if found is None:
            raise NoSchema(url=db.masked)
        if found == schema.HEAD:
            click.echo(f"run database {db.masked}: is there already, schema {found}")
            return
        _wait_for_silence(config, db, wait)
        backup = _back_up(db, found) if db.dialect == "sqlite" else None
        _upgrade(db, found, backup)
    click.echo(f"run database {db.masked}: upgraded from schema {found} to {schema.HEAD}")


@alterdb.command("add-param", short_help="Add a column to runs for a parameter.", epilog="""\b
Examples:
  alterdb add-param beam_energy real
  alterdb add-param shifter text""")  # fmt: skip
@click.argument("name")
@click.argument("kind", metavar="TYPE", type=click.Choice(list(TYPES), case_sensitive=False))
@config_option
def add_param(name: str, kind: str, path: str | None) -> None:
    """Add the column NAME to runs, for the parameter of that name; TYPE is text, integer, real, boolean or time.

    Runs that are there get it filled from their parameters, those to come when they are taken; where the parameter is
    missing or of another type the column stays empty. The daemons may run meanwhile.
    """
    del path
    if not _NAME.fullmatch(name):
        raise BadColumn(name=repr(plain(name, 80)))
    if name in RESERVED:
        raise ReservedName(name=name)
    with opened() as (_, db):
        with db.write() as session:
            _add(session, name, kind)
        filled, after = 0, 0
        while True:
            with db.write() as session:
                after, some = fill_batch(session, after)
            filled += some
            if not after:
                break
    click.echo(f"runs has a new column {name} ({kind}), filled for {counted(filled, 'run')}")


def _add(session: Session, name: str, kind: str) -> None:
    """Add the column; raises ColumnExists, also when somebody else adds it at this moment."""
    dialect = session.get_bind().dialect.name
    there = {column["name"]: column["type"] for column in inspect(session.connection()).get_columns("runs")}
    if name in there:
        raise ColumnExists(name=name, kind=there[name])
    try:
        session.execute(text(f'ALTER TABLE runs ADD COLUMN "{name}" {declared(dialect, kind)}'))
    except (ProgrammingError, OperationalError) as error:
        if "exist" in str(error.orig) or "duplicate column" in str(error.orig):
            raise ColumnExists(name=name, kind="it was just added") from error
        raise


def beating(config: Config, db: Database) -> list[str]:
    """The daemons whose last heartbeat is fresh, as `NAME on HOST (pid PID)`. Works on any schema."""
    limit = (
        max(config.daemon(name).heartbeat.total_seconds() for name in ("RunsProvider", "Process", "Messenger")) * 3 + 5
    )
    if db.dialect == "sqlite":
        age = f"(julianday({now_sql('sqlite')}) - julianday(beat_at)) * 86400"
    else:
        age = f"extract(epoch from {now_sql('postgresql')} - beat_at)"
    with db.read() as session:
        rows = session.execute(
            text(
                f"SELECT name, host, pid FROM daemons WHERE stopped_at IS NULL AND {age} < :limit ORDER BY name, host"
            ),
            {"limit": limit},
        )
        return [f"{plain(row.name, 40)} on {plain(row.host, 60)} (pid {row.pid})" for row in rows]


def _wait_for_silence(config: Config, db: Database, seconds: float) -> None:
    end = time.monotonic() + seconds
    while names := beating(config, db):
        left = end - time.monotonic()
        if left <= 0:
            raise DaemonsBeat(daemons=", ".join(names))
        time.sleep(min(_GLANCE, left))


def _back_up(db: Database, revision: str) -> Path:
    """A copy of the SQLite database beside it, made by SQLite itself and flushed; never over an older one."""
    source = Path(str(db.url.database))
    target = source.with_name(f"{source.name}.before-{revision}")
    number = 1
    while target.exists():
        number += 1
        target = source.with_name(f"{source.name}.before-{revision}.{number}")
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
        target.chmod(source.stat().st_mode & 0o777)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise CantBackUp(file=target, why=error) from error
    click.echo(f"copied to {target}")
    return target


def _upgrade(db: Database, found: str, backup: Path | None) -> None:
    try:
        schema.upgrade(db)
    except CommandError as error:  # alembic does not know the revision: a newer ondeck has made it
        raise OtherSchema(url=db.masked, found=found, needed=schema.HEAD) from error
    except (OperationalError, ProgrammingError) as error:
        words = f"; a copy is {backup}" if backup else ""
        raise CantUpgrade(url=db.masked, why=str(error.orig).splitlines()[0], backup=words) from error


def main() -> None:
    """The program alterdb."""
    program(alterdb, "alterdb")
