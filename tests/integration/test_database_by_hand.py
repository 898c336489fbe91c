"""What people type: steps in the real psql and sqlite3, against the run database of this version."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support.rows import check_history, history, make_one, status

from ondeck.db.engine import Database
from ondeck.db.states import STATUSES, is_legal

Type = Callable[[str], str]
"""Types SQL into the command; returns what it prints, with its errors."""


@pytest.fixture
def typing(db_url: str) -> Type:
    """The command that belongs to the database, as a person starts it: errors don't end it."""
    url = make_url(db_url)
    if url.get_backend_name() == "sqlite":
        command, env = ["sqlite3", str(url.database)], dict(os.environ)
    else:
        where = ["--host", str(url.host), "--port", str(url.port), "--username", str(url.username)]
        command = ["psql", "--no-psqlrc", "--no-password", "--quiet", "--tuples-only", *where, str(url.database)]
        env = {**os.environ, "PGPASSWORD": str(url.password)}
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")

    def typed(sql: str) -> str:
        done = subprocess.run(
            command, input=sql, env=env, capture_output=True, text=True, timeout=60, cwd=Path("/"), check=False
        )
        return done.stdout + done.stderr

    return typed


def test_every_pair_of_statuses_typed_by_hand(database: Database, typing: Type) -> None:
    """A legal step is taken and says in the history that it was typed; an illegal one is refused with the words."""
    rows = {
        (table, source, to): make_one(database, table, source)
        for table, statuses in STATUSES.items()
        for source in statuses
        for to in statuses
        if source != to
    }
    said = typing("".join(f"UPDATE {t} SET status = '{to}' WHERE id = {i};\n" for (t, _, to), i in rows.items()))
    illegal = 0
    for (table, source, to), row_id in rows.items():
        if is_legal(table, source, to):
            assert status(database, table, row_id) == to, (table, source, to, said)
            assert history(database, table, row_id)[1:] == [(source, to, "by hand", None)]
        else:
            illegal += 1
            assert status(database, table, row_id) == source, (table, source, to)
            assert len(history(database, table, row_id)) == 1
        check_history(database, table, row_id)
    assert illegal > 50
    assert said.count("illegal step of ") == illegal


def test_the_refusal_says_what_would_be_legal(database: Database, typing: Type) -> None:
    make_one(database, "runs", "acquired")
    said = typing("UPDATE runs SET status = 'archived';")
    assert "illegal step of runs" in said
    assert "acquired" in said
    assert "transferring" in said


def test_a_run_typed_with_name_and_status_alone(database: Database, typing: Type) -> None:
    said = typing("INSERT INTO runs (name, status) VALUES ('run7', 'acquired');\nSELECT source, name FROM runs;")
    assert "daq" in said
    assert "run7" in said
    assert history(database, "runs", 1) == [(None, "acquired", "by hand", None)]


def test_the_history_can_not_be_typed_over(database: Database, typing: Type) -> None:
    make_one(database, "runs", "acquired")
    for sql in ("DELETE FROM transitions;", "UPDATE transitions SET actor = 'me';"):
        assert "append-only" in typing(sql)
    assert len(history(database, "runs", 1)) == 1


def test_an_import_script_of_many_rows_is_one_birth_each(database: Database, typing: Type) -> None:
    rows = ",".join(f"('old{n}', {n}, 'archived', 'import')" for n in range(1, 501))
    assert typing(f"INSERT INTO runs (name, number, status, actor) VALUES {rows};").strip() == ""
    said = typing("SELECT count(*) FROM transitions WHERE source IS NULL AND actor = 'import';")
    assert said.strip() == "500"
