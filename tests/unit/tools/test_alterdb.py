from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.house import ROOT
from support.rows import check_history, make_one, status

from ondeck.db import schema
from ondeck.db.clock import database_time
from ondeck.db.tables import DaemonBeat
from ondeck.tools.alterdb import alterdb

from .conftest import Lab

NEXT = '''"""One more."""
from alembic import op
revision = "0002"
down_revision = "0001"

def upgrade():
    op.get_bind().exec_driver_sql("CREATE TABLE novelty (x integer)")
    op.get_bind().exec_driver_sql("{more}")
'''


def next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str = "SELECT 1") -> None:
    """As if this version needed one more migration."""
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "0002_more.py").write_text(NEXT.format(more=more))
    monkeypatch.setattr(schema, "_SCRIPTS", folder)
    monkeypatch.setattr(schema, "HEAD", "0002")


def beat(lab: Lab, name: str, age: float, *, stopped: bool = False) -> None:
    with lab.db.write() as session:
        now = database_time(session)
        at = now - timedelta(seconds=age)
        session.add(
            DaemonBeat(
                name=name,
                host="h1",
                pid=7,
                beat_at=at,
                stopped_at=at if stopped else None,
                state_dir=name,
                boot_id="b",
                start_ticks=1,
                version="1",
                config_hash="x",
                started_at=at,
            )
        )


def test_nothing_to_do(lab: Lab) -> None:
    beat(lab, "Transfer", 0)
    assert "is there already, schema 0001" in lab.good(command=alterdb)
    assert list(lab.folder.parent.rglob("*.before-*")) == []


def test_upgrade_with_a_copy_made_before(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_one(lab.db, "runs", "archived", name="r1")
    beat(lab, "Transfer", 3600)
    beat(lab, "Process", 0, stopped=True)
    next_schema(tmp_path, monkeypatch)
    assert "upgrade it with `alterdb`" in lab.bad("listdb")
    said = lab.good("alterdb")
    assert "upgraded from schema 0001 to 0002" in said
    with lab.db.write() as session:
        session.execute(text("INSERT INTO novelty VALUES (1)"))
    assert status(lab.db, "runs", run) == "archived"
    if lab.db.dialect == "sqlite":
        (copy,) = tmp_path.rglob("*.before-0001")
        with sqlite3.connect(copy) as connection:
            assert connection.execute("SELECT name FROM runs").fetchall() == [("r1",)]
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        connection.close()
        assert str(copy) in said


def test_refused_while_daemons_beat(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat(lab, "Transfer", 1)
    beat(lab, "Process", 20)
    beat(lab, "DiskMonitor", 1000)
    next_schema(tmp_path, monkeypatch)
    said = lab.bad("alterdb")
    assert "Process on h1 (pid 7), Transfer on h1 (pid 7)" in said
    assert "DiskMonitor" not in said
    assert schema.revision(lab.db) == "0001"
    assert list(tmp_path.rglob("*.before-*")) == []
    with lab.db.write() as session:
        session.execute(text("UPDATE daemons SET stopped_at = beat_at"))
    lab.good("alterdb", "--wait", "1")


def test_an_upgrade_that_fails_changes_nothing(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next_schema(tmp_path, monkeypatch, more="SELECT * FROM nowhere")
    said = lab.run("alterdb")
    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert "can't be upgraded" in line
    assert "nowhere" in line
    assert schema.revision(lab.db) == "0001"
    with lab.db.read() as session, pytest.raises(Exception, match="novelty"):
        session.execute(text("SELECT * FROM novelty"))


def test_an_older_copy_is_never_written_over(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if lab.db.dialect != "sqlite":
        pytest.skip("SQLite alone is copied")
    file = Path(str(lab.db.url.database))
    old = file.with_name(file.name + ".before-0001")
    old.write_text("precious")
    next_schema(tmp_path, monkeypatch)
    lab.good("alterdb")
    assert old.read_text() == "precious"
    assert old.with_name(old.name + ".2").stat().st_size > 1000


def test_a_newer_schema_or_none_is_refused(lab: Lab) -> None:
    with lab.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "has schema 9999, this version of ondeck needs 0001" in lab.bad("alterdb")
    with lab.db.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
    assert "make it with `builddb`" in lab.bad("alterdb")


def test_add_param_of_each_type(lab: Lab) -> None:
    make_one(
        lab.db,
        "runs",
        "acquired",
        name="a",
        params={"t": "x", "i": 5, "r": 6.5, "b": True, "w": "2026-01-31T12:00:00+01:00"},
    )
    make_one(lab.db, "runs", "acquired", name="b", params={"t": {"no": 1}, "i": "5", "r": "x", "b": 1, "w": "never"})
    make_one(lab.db, "runs", "acquired", name="c", params={})
    for name, kind in (("t", "text"), ("i", "integer"), ("r", "real"), ("b", "boolean"), ("w", "time")):
        said = lab.good("alterdb", "add-param", name, kind)
        assert said == f"runs has a new column {name} ({kind}), filled for 1 run\n"
    rows = json.loads(lab.good("listdb", "--json", "--columns", "name,t,i,r,b,w"))
    assert rows[0] == {"name": "a", "t": "x", "i": 5, "r": 6.5, "b": True, "w": "2026-01-31T11:00:00.000000Z"}
    assert [list(row.values())[1:] for row in rows[1:]] == [[None] * 5] * 2
    assert "w" in json.loads(lab.good("listdb", "--json"))[0]
    assert "added column, time" in lab.good("listdb", "--columns", "help")
    shown = lab.good("listdb", "--columns", "name,w,b", "--sort", "-w", "a").splitlines()[2].split()
    assert shown == ["a", "2026-01-31", "11:00:00Z", "yes"]


def test_a_run_that_is_added_later_gets_it_too(lab: Lab) -> None:
    lab.good("alterdb", "add-param", "energy", "real")
    lab.good("run", "add", "r1", "--param", "energy=7")
    assert json.loads(lab.good("listdb", "--json", "--columns", "energy")) == [{"energy": 7.0}]


def test_with_an_added_column_all_goes_on(lab: Lab) -> None:
    """Steps, verbs and the history need nothing of it."""
    lab.good("alterdb", "add-param", "select", "text")  # a word of SQL
    one = make_one(lab.db, "runs", "failed", name="r", failed_from="acquired", params={"select": "x"})
    lab.good("run", "reset", "r")
    check_history(lab.db, "runs", one)
    schema.check(lab.db)
    assert lab.good("builddb", "--no-storages").count("is there already") == 1


@pytest.mark.parametrize("name", ["", "Name", "1x", "a b", 'x"y', "x;--", "é", "a" * 61, "_x"])
def test_bad_names(lab: Lab, name: str) -> None:
    assert "can't be a column" in lab.bad("alterdb", "add-param", "--", name, "text")


@pytest.mark.parametrize("name", ["name", "status", "params", "id"])
def test_a_column_that_is_there(lab: Lab, name: str) -> None:
    assert f"has a column {name} already" in lab.bad("alterdb", "add-param", name, "text")


@pytest.mark.parametrize("name", ["data", "jobs", "since", "size", "type"])
def test_a_name_that_listdb_needs(lab: Lab, name: str) -> None:
    assert "listdb shows something else" in lab.bad("alterdb", "add-param", name, "text")


def test_twice_and_bad_types(lab: Lab) -> None:
    lab.good("alterdb", "add-param", "x", "text")
    assert "has a column x already" in lab.bad("alterdb", "add-param", "x", "integer")
    assert lab.run("alterdb", "add-param", "y", "varchar").exit_code == 2
    assert datetime.now(UTC).year > 2000
