"""A run database on PostgreSQL that is emptied between tests: ten times faster than a fresh one for each.

A conftest.py that imports `postgresql_url` from here gives it to the tests beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from ondeck.db.base import Base
from ondeck.db.ddl import models, tables  # noqa: F401 - so that all tables are known
from ondeck.db.schema import HEAD

from .postgresql import PostgresqlServer

_MADE: dict[int, str] = {}
"""id of the server → address of its database."""


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, _postgresql_template: str) -> Iterator[str]:
    """Address of a run database on PostgreSQL with empty tables; whoever is still connected is thrown out."""
    key = id(postgresql_server)
    if key not in _MADE:
        _MADE[key] = postgresql_server.create(_postgresql_template)
    yield _MADE[key]
    connection = psycopg2.connect(_MADE[key].replace("+psycopg2", ""))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cursor.execute("SET LOCAL session_replication_role = replica")  # the history lets nobody empty it
            cursor.execute(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY")
            cursor.execute("UPDATE alembic_version SET version_num = %s", (HEAD,))
    finally:
        connection.close()
