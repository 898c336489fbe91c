from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from ondeck.config import Config, loads
from ondeck.daemons.folders import make_folders, places
from ondeck.daemons.identity import Identity, me
from ondeck.daemons.instances import Found, Row, Rows, find, rows_of
from ondeck.db.clock import now
from ondeck.db.engine import Database
from ondeck.db.tables import DaemonBeat

GONE = me()._replace(start_ticks=1)
FAR = me()._replace(host="farhost", pid=99)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = loads("", tmp_path / "ondeck.toml")
    make_folders(made)
    return made


def a_row(config: Config, identity: Identity, age: float = 1.0, *, stopped: bool = False, **other: Any) -> Row:
    made = Row(identity, places(config, "Transfer").key, age, stopped, datetime.now(UTC), None, {})
    return made._replace(**other)


def write_pid(config: Config, identity: Identity) -> None:
    places(config, "Transfer").pid.write_text("\n".join(map(str, identity)) + "\n")


def write_beat(config: Config, identity: Identity, stopped: float | None = None) -> None:
    content = {**identity._asdict(), "at": time.time(), "uptime": 1.0, "stopped_at": stopped}
    places(config, "Transfer").beat.write_text(json.dumps(content))


def look(config: Config, *rows: Row, but: Identity | None = None) -> Found:
    return find(config, "Transfer", Rows(rows), but)


def test_nothing_is_found_where_nothing_is(config: Config) -> None:
    found = look(config)
    assert (found.live, found.elsewhere, found.stale, found.refusal()) == ((), None, None, None)


@pytest.mark.parametrize("witness", ["pid", "beat", "row", "all"])
def test_each_witness_alone_is_enough(config: Config, witness: str) -> None:
    rows = []
    if witness in ("pid", "all"):
        write_pid(config, me())
    if witness in ("beat", "all"):
        write_beat(config, me())
    if witness in ("row", "all"):
        rows = [a_row(config, me(), age=1e6, stopped=True)]  # /proc knows better than any row
    found = look(config, *rows)
    assert found.live == (me(),)
    assert found.refusal(take_over=True) == f"Transfer is already running: pid {me().pid}"
    assert look(config, *rows, but=me()).refusal() is None


def test_the_dead_are_no_obstacle(config: Config) -> None:
    write_pid(config, GONE)
    write_beat(config, GONE)
    found = look(config, a_row(config, GONE))
    assert (found.live, found.stale, found.refusal()) == ((), GONE, None)


@pytest.mark.parametrize("witness", ["pid", "beat"])
def test_who_keeps_his_files_here_from_another_host_is_respected(config: Config, witness: str) -> None:
    if witness == "pid":
        write_pid(config, FAR)
    else:
        write_beat(config, FAR)
    unknown = look(config)
    assert unknown.elsewhere == FAR
    assert "Transfer runs on farhost (pid 99; the run database has no heartbeat of it)" in (unknown.refusal() or "")
    assert unknown.refusal(take_over=True) is None
    fresh = look(config, a_row(config, FAR, age=99))
    assert "its last heartbeat is 99 s old" in (fresh.refusal() or "")
    assert look(config, a_row(config, FAR, age=101)).refusal() is None  # 10 beats of 10 s
    assert look(config, a_row(config, FAR, stopped=True)).refusal() is None
    assert look(config, a_row(config, FAR._replace(start_ticks=5), age=101)).refusal() is not None


def test_a_far_heartbeat_that_says_it_stopped_is_none(config: Config) -> None:
    write_beat(config, FAR, stopped=time.time())
    assert look(config).elsewhere is None


def test_other_instances_do_not_matter_but_are_shown(config: Config) -> None:
    rows = (
        a_row(config, FAR),
        a_row(config, me(), state_dir="/else/where"),
        a_row(config, FAR._replace(host="old"), age=101),
        a_row(config, FAR._replace(host="done"), stopped=True),
    )
    found = look(config, *rows)
    assert found.others == rows[:2]
    assert (found.live, found.refusal()) == ((), None)


def test_rows_are_read_with_their_age_by_the_databases_clock(database: Database, config: Config) -> None:
    assert rows_of(database, "Transfer") == Rows()
    values = {
        **me()._asdict(),
        "name": "Transfer",
        "state_dir": "/s",
        "version": "1",
        "config_hash": "",
        "last_error": "e",
    }
    with database.write() as session:
        session.execute(insert(DaemonBeat).values(**values, started_at=now(), beat_at=now(), lanes={"a": {}}))
    ((row,), trouble) = rows_of(database, "Transfer")
    assert trouble is None
    assert (row.identity, row.state_dir, row.stopped, row.last_error, row.lanes) == (me(), "/s", False, "e", {"a": {}})
    assert 0 <= row.age < 5
    assert rows_of(database, "Process").rows == ()


def test_a_database_that_is_away_is_told_in_a_line(tmp_path: Path) -> None:
    away = rows_of(Database("postgresql://me:hunter2@127.0.0.1:1/x"), "Transfer")
    assert away.rows == ()
    assert away.trouble
    assert "\n" not in away.trouble
    assert "hunter2" not in away.trouble
    none = rows_of(Database(f"sqlite:///{tmp_path}/none.db"), "Transfer")
    assert "builddb" in (none.trouble or "")
    assert not (tmp_path / "none.db").exists()
