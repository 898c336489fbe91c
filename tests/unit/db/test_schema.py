"""How the schema comes into being: the migrations, their equality with the code, and what goes wrong on the way."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from support.postgresql import PostgresqlServer
from support.rows import make_one

from ondeck.db import schema
from ondeck.db.base import Base
from ondeck.db.ddl import statements
from ondeck.db.engine import Database
from ondeck.db.errors import NoSchema, OtherSchema
from ondeck.migrations import ddl_0001

HOLDS: dict[str, dict[str, str]] = {
    "sqlite": {
        "all": "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
        " AND name NOT LIKE 'sqlite_%' ORDER BY type, name",
    },
    "postgresql": {
        "columns": "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
        "constraints": "SELECT c.relname, n.conname, pg_get_constraintdef(n.oid) FROM pg_constraint n"
        " JOIN pg_class c ON c.oid = n.conrelid JOIN pg_namespace s ON s.oid = c.relnamespace"
        " WHERE s.nspname = 'public' ORDER BY 1, 2",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "triggers": "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal ORDER BY 1",
        "functions": "SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p"
        " JOIN pg_namespace s ON s.oid = p.pronamespace WHERE s.nspname = 'public' ORDER BY 1",
        "sequences": "SELECT sequencename, data_type FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1",
    },
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without anything in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    url = server.create()
    yield url
    server.drop(url.rpartition("/")[2])


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url)
    yield database
    database.dispose()


def held(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that the catalogue says of the schema, but alembic's own table."""
    found = {}
    with database.read() as session:
        for what, query in HOLDS[database.dialect].items():
            rows = [tuple(r) for r in session.execute(text(query))]
            found[what] = [r for r in rows if "alembic_version" not in " ".join(map(str, r))]
    return found


def run_all(database: Database, sqls: list[str]) -> None:
    with database.write() as session:
        connection = session.connection()
        for sql in sqls:
            connection.exec_driver_sql(sql.replace("%", "%%") if database.dialect == "postgresql" else sql)


# ---- head and code ----


def test_head_makes_what_the_code_says(database: Database, empty: Database) -> None:
    if database.dialect != empty.dialect:
        return  # the two fixtures are crossed; the other half of the pairs shows it
    run_all(empty, statements(empty.dialect))
    by_code, by_migrations = held(empty), held(database)
    assert by_migrations == by_code
    assert all(by_code.values())


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_first_migration_is_a_frozen_copy(dialect: str) -> None:
    """Until there is a second one, it makes exactly what the code says, in the same order."""
    assert getattr(ddl_0001, dialect.upper()) == statements(dialect)


def test_the_frozen_copy_uses_nothing_of_the_code() -> None:
    content = Path(ddl_0001.__file__).read_text()
    assert not re.search(r"^\s*(import|from) (?!__future__)", content, re.MULTILINE)


def test_head_is_the_revision_that_the_code_names() -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(schema.__file__).parent.parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [schema.HEAD]
    for script in scripts.walk_revisions():
        assert script.doc
        assert Path(script.path).name.startswith(script.revision)


def test_every_table_of_the_design_is_there(database: Database) -> None:
    named = {
        *("sources", "requests", "runs", "jobs", "attempts", "copies", "bundles", "receipts", "locks"),
        *("conditions", "probes", "transitions", "daemons", "inbox", "outbox", "sites", "storages"),
    }
    assert named <= set(Base.metadata.tables)
    with database.read() as session:
        for table in Base.metadata.tables:
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_schema_is_printed_as_sql(dialect: str) -> None:
    said = subprocess.run([sys.executable, "-m", "ondeck.db.ddl", dialect], capture_output=True, text=True, check=True)
    assert said.stdout == ";\n\n".join(statements(dialect)) + ";\n"
    assert said.stderr == ""


# ---- making it ----


def test_made_and_looked_at(empty: Database, empty_url: str) -> None:
    assert schema.revision(empty) is None
    with pytest.raises(NoSchema, match="builddb"):
        empty.check_schema()
    schema.create(empty_url)
    empty.check_schema()
    assert schema.revision(empty) == schema.HEAD
    make_one(empty, "runs", "acquired")
    schema.create(empty_url)  # again does no harm
    with empty.read() as session:
        assert session.execute(text("SELECT count(*) FROM runs")).scalar_one() == 1


def test_looking_makes_no_empty_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/none.db")
    assert schema.revision(database) is None
    database.dispose()
    assert list(tmp_path.iterdir()) == []


def test_a_schema_of_another_version_is_refused(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OtherSchema, match=r"has schema 9999.*needs " + schema.HEAD) as caught:
        database.check_schema()
    assert "alterdb" in str(caught.value)


BUILDER = """
import sys
from ondeck.db.schema import create
print("ready", flush=True)
sys.stdin.readline()
create(sys.argv[1])
"""


def test_builders_at_once_all_succeed(empty_url: str) -> None:
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, empty_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for one in builders:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in builders:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[1] for one in builders]
    assert [one.returncode for one in builders] == [0, 0, 0], "\n".join(said)
    database = Database(empty_url)
    database.check_schema()
    make_one(database, "runs", "acquired")
    database.dispose()


def test_a_failing_migration_leaves_nothing_half_done(
    empty: Database, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = empty.dialect.upper()
    whole = list(getattr(ddl_0001, name))
    getattr(ddl_0001, name)[:] = [*whole[:-3], "CREATE TRIGGER nonsense", *whole[-3:]]
    try:
        with pytest.raises((OperationalError, ProgrammingError), match=r"syntax|incomplete"):
            schema.create(empty_url)
    finally:
        getattr(ddl_0001, name)[:] = whole
    assert schema.revision(empty) is None
    assert not any(held(empty).values())
    with empty.read() as session, pytest.raises(DBAPIError):
        session.execute(text("SELECT * FROM alembic_version"))

    schema.create(empty_url)
    empty.check_schema()


def test_a_folder_with_a_percent_sign_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "100%(here)s").symlink_to(schema._SCRIPTS)
    monkeypatch.setattr(schema, "_SCRIPTS", tmp_path / "100%(here)s")
    database = Database(f"sqlite:///{tmp_path}/ondeck.db")
    schema.upgrade(database)
    database.check_schema()
    database.dispose()


def test_a_transaction_of_another_does_not_spoil_it(empty: Database, empty_url: str) -> None:
    """Somebody reads while the schema is made."""
    with empty.read() as session:
        session.execute(text("SELECT 1"))
        schema.create(empty_url)
    empty.check_schema()
