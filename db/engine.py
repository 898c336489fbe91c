"""The run database as the daemons and tools use it: transactions, and waiting for a change.

SQLite (WAL, synchronous=FULL, BEGIN IMMEDIATE for whoever writes) for one machine, PostgreSQL for everything that
is shared between machines.
"""

from __future__ import annotations

import re
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg2
import psycopg2.extensions
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from .errors import NetworkFileSystem, UnsupportedDatabase
from .triggers import CHANNEL

_NETWORK = ("nfs", "afs", "cifs", "smb", "sshfs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "9p")
MOUNTS = Path("/proc/self/mounts")
_BUSY_SECONDS = 30.0
_GLANCE_SECONDS = 0.1
_RESTED_SECONDS = 0.2


class Waiter(Protocol):
    """Sleeps until somebody has committed a step."""

    def wait(self, timeout: float) -> bool:
        """Sleep at most `timeout` seconds; True at once when something changed since the last call."""

    def close(self) -> None:
        """Give its connection back."""


class Database:
    """One run database. Safe to share between threads; make it after a fork, never before."""

    def __init__(self, url: str | URL) -> None:
        """Open `url` (sqlite:///FILE or postgresql://…) without touching it yet.

        Raises UnsupportedDatabase, and NetworkFileSystem for a SQLite file where its locks can't be trusted.
        """
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            shown = re.sub(r"(:)[^/:][^@]*@", r"\1***@", str(url))  # it may hold a password all the same
            raise UnsupportedDatabase(url=repr(shown[:80])) from error
        if self.url.drivername == "postgresql":  # which driver that means depends on SQLAlchemy's version
            self.url = self.url.set(drivername="postgresql+psycopg2")
        self.dialect = self.url.get_backend_name()
        driver, file = self.url.get_driver_name(), self.url.database
        if driver == "pysqlite" and file not in (None, "", ":memory:"):
            refuse_network_file_system(Path(str(file)))
            self.engine = create_engine(self.url, connect_args={"timeout": _BUSY_SECONDS})
            event.listen(self.engine, "connect", _sqlite_connection)
            event.listen(self.engine, "begin", _sqlite_begin)
        elif driver == "psycopg2":
            self.engine = create_engine(self.url, connect_args=_libpq(self.url))
            event.listen(self.engine, "checkin", _given_back)
            event.listen(self.engine, "checkout", _taken_again)
        else:
            raise UnsupportedDatabase(url=self.masked)
        self._writing: Engine = self.engine.execution_options(ondeck_writes=True)

    @property
    def masked(self) -> str:
        """The address without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end of the block, rolled back by an exception."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads. Keep it short: an open one makes everybody's polls slow."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def waiter(self) -> Waiter:
        """Something to sleep on between two polls; one for each thread."""
        if self.dialect == "sqlite":
            return _DataVersion(str(self.url.database))
        return _Listener(self.url)

    def check_schema(self) -> None:
        """Raise NoSchema or OtherSchema unless the database has the schema that this version needs."""
        from .schema import check  # a circle only of names: schema needs this class

        check(self)

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def refuse_network_file_system(path: Path) -> None:
    """Raise NetworkFileSystem when `path` lies on one, by /proc/self/mounts."""
    try:
        mounts = MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return
    real, best, kind = path.absolute().resolve(), Path("/"), ""
    for line in mounts.split("\n"):
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        where = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        if real.is_relative_to(where) and len(where.parts) >= len(best.parts):
            best, kind = where, fields[2]
    if kind.removeprefix("fuse.").startswith(_NETWORK):
        raise NetworkFileSystem(path=path, kind=kind)


def _libpq(url: URL) -> dict[str, Any]:
    """Connection parameters: a server that vanishes without a word is noticed within a minute. The address's own
    parameters come first."""
    ours = {
        "connect_timeout": 10,
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 40_000,  # ms
    }
    options = f"-c timezone=UTC -c synchronous_commit=on {url.query.get('options', '')}".strip()
    return {**{key: value for key, value in ours.items() if key not in url.query}, "options": options}


def _given_back(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["ondeck_back"] = time.monotonic()


def _taken_again(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """A connection that has rested may be dead by now: then all are made anew. One that was just used is not asked,
    unless the server has said something since, which may be its good-bye."""
    rested = time.monotonic() - record.info.get("ondeck_back", time.monotonic()) >= _RESTED_SECONDS
    try:
        said = select.poll()
        said.register(connection.fileno(), select.POLLIN)
        if rested or said.poll(0):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
    except psycopg2.Error as error:
        raise InvalidatePoolError from error


def _sqlite_connection(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("ondeck_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class _DataVersion:
    """SQLite: `PRAGMA data_version` differs when another connection has committed.

    Heartbeats and probes are commits too: only one with a step in it, or with a `wake`, ends the wait.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._seen = self._version()
        self._step = self._last_step()

    def _last_step(self) -> tuple[int, int]:
        step = self._connection.execute("SELECT coalesce(max(id), 0) FROM transitions").fetchone()[0]
        return int(step), int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while True:
            version = self._version()
            if version != self._seen:
                self._seen = version
                step, self._step = self._step, self._last_step()
                if self._step != step:
                    return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_GLANCE_SECONDS, left))

    def close(self) -> None:
        self._connection.close()


class _Listener:
    """PostgreSQL: LISTEN; through a pooler that can't, nothing comes and the poll interval is the net."""

    def __init__(self, url: URL) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._arguments = _libpq(url)
        self._connection = self._connect()

    def _connect(self) -> psycopg2.extensions.connection:
        connection: psycopg2.extensions.connection = psycopg2.connect(self._dsn, **self._arguments)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection

    def wait(self, timeout: float) -> bool:
        if self._connection.closed:
            self._connection = self._connect()
            return True  # what came while we were away is unknown
        if not self._connection.notifies:
            readable, _, _ = select.select([self._connection], [], [], timeout)
            if not readable:
                return False
        try:
            self._connection.poll()
        except psycopg2.Error:
            self._connection.close()
            raise
        came = bool(self._connection.notifies)
        self._connection.notifies.clear()
        return came

    def close(self) -> None:
        self._connection.close()
