"""What all tests share: the two kinds of run database, a real PostgreSQL server, and calm surroundings.

    db_url      address of a fresh run database with its schema, once on SQLite and once on PostgreSQL
    database    the same, opened as ondeck.db.engine.Database
    sqlite_url, postgresql_url   one of the two by name
    postgresql_server            the server: .admin_url, .create(template), .drop(name), .stop(), .start()

    wheel        path of a wheel, made of a copy of the checkout (mark such tests with xdist_group("wheel"))

`@pytest.mark.soak` keeps a test for `make soak`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).parent))
from support import house
from support.postgresql import PostgresqlServer, no_server_because

if TYPE_CHECKING:
    from ondeck.db.engine import Database

# A loaded machine is slow now and then, and that is no error.
settings.register_profile(
    "ondeck", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("ondeck")

PERSONAL = {
    *("ONDECK_CONFIG", "ONDECK_BIN", "KRB5CCNAME", "TZ"),
    *("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE", "PGOPTIONS"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long tests to `make soak`."""
    if os.environ.get("ONDECK_SOAK") == "1":
        return
    skip = pytest.mark.skip(reason="a long test: make soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _calm_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests: no configuration, no time zone, no credentials."""
    for name in os.environ.keys() & PERSONAL:
        monkeypatch.delenv(name)


def make_schema(url: str) -> None:
    """Make the tables of a run database; the import is late, so that other tests need none of it."""
    from ondeck.db.schema import create

    create(url)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One server for this process (each xdist worker has its own), stopped at the end."""
    if reason := no_server_because():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ondeck-pg-"))
    server = PostgresqlServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _postgresql_template(postgresql_server: PostgresqlServer) -> str:
    """Name of a database that has the schema and to which nobody connects."""
    url = postgresql_server.create()
    make_schema(url)
    return str(make_url(url).database)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the schema, with nothing left in a WAL beside it."""
    path = tmp_path_factory.mktemp("template") / "ondeck.db"
    make_schema(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, _postgresql_template: str) -> Iterator[str]:
    """Address of a fresh run database on PostgreSQL; dropped afterwards, whoever is still connected."""
    url = postgresql_server.create(_postgresql_template)
    yield url
    postgresql_server.drop(str(make_url(url).database))


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """Address of a fresh run database in the file ondeck.db of a folder of its own in the test's tmp_path."""
    folder = tmp_path / "rundb"
    folder.mkdir()
    shutil.copy(_sqlite_template, folder / "ondeck.db")
    return f"sqlite:///{folder}/ondeck.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request: pytest.FixtureRequest) -> str:
    """Address of a fresh run database with its schema, once of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(db_url: str) -> Iterator[Database]:
    """A fresh run database, opened."""
    from ondeck.db.engine import Database

    opened = Database(db_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, made of a copy of the checkout in a folder of another name."""
    folder = tmp_path_factory.mktemp("wheel")
    return house.build_wheel(house.copy_tree(folder / "a checkout"), folder / "out")
