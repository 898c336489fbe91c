from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, text
from support.daemonlab import until

from ondeck.config import Config, loads
from ondeck.daemons import beat
from ondeck.daemons.beat import Heart
from ondeck.daemons.identity import me
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.tables import DaemonBeat
from ondeck.rules.gates import restored
from ondeck.rules.restored import JUMP


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return loads("", tmp_path / "ondeck.toml")


@pytest.fixture
def make(database: Database, tmp_path: Path) -> Iterator[Callable[..., Heart]]:
    hearts: list[Heart] = []

    def made(
        lanes: dict[str, Any] | None = None, fatal: Callable[[str], None] = print, db: Database = database
    ) -> Heart:
        seen = lanes if lanes is not None else {}
        heart = Heart(
            db, me(), "Transfer", str(tmp_path), tmp_path / "x.beat",
            heartbeat=lambda: 0.1, lanes=lambda: seen, fatal=fatal,
        )  # fmt: skip
        hearts.append(heart)
        return heart

    yield made
    for heart in hearts:
        heart._stop.set()
        for thread in heart._threads:
            if thread.ident:
                thread.join(5)


def rows(database: Database) -> list[DaemonBeat]:
    with database.read() as session:
        return list(session.scalars(select(DaemonBeat)))


def test_it_beats_in_the_file_and_in_one_row(make: Any, database: Database, config: Config, tmp_path: Path) -> None:
    lanes = {"a": {"error": "no luck", "errors": 2}, "b": {"error": None}}
    heart = make(lanes)
    heart.start(config)
    first = beat.read(tmp_path / "x.beat")
    assert first is not None
    assert (first.identity, first.stopped_at) == (me(), None)
    assert abs(first.at - time.time()) < 5
    assert heart.ready.wait(10)
    (row,) = rows(database)
    until(lambda: rows(database)[0].beat_at > row.beat_at)
    (later,) = rows(database)
    assert (later.id, later.started_at) == (row.id, row.started_at)
    assert later.lanes == lanes
    assert later.last_error == "a: no luck"
    lanes["a"]["error"] = None
    until(lambda: rows(database)[0].last_error is None)
    heart.stop()
    (last,) = rows(database)
    assert last.stopped_at is not None
    found = beat.read(tmp_path / "x.beat")
    assert found is not None
    assert found.stopped_at is not None
    assert [path.name for path in tmp_path.glob("*beat*")] == ["x.beat"]


def test_the_next_process_takes_the_row_over(make: Any, database: Database) -> None:
    make().write_row(stopped=True)
    (before,) = rows(database)
    heart = make()
    heart.identity = me()._replace(pid=1, start_ticks=7)
    heart.write_row()
    (after,) = rows(database)
    assert (after.id, after.pid, after.start_ticks, after.stopped_at) == (before.id, 1, 7, None)
    assert after.started_at > before.started_at
    assert before.stopped_at is not None


def test_the_highest_transition_is_kept_and_one_behind_it_is_told(
    make: Any, database: Database, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with database.write() as session:
        session.execute(insert(Run).values(name="r1", status="acquired"))
    heart = make()
    heart.start(config)
    assert heart.ready.wait(10)
    heart.stop()
    found = beat.read(tmp_path / "x.beat")
    assert found is not None
    assert found.highest.id == 1
    assert found.highest.words.endswith(" runs 1 acquired")
    (tmp_path / "x.beat").write_text(json.dumps({**found.content, "highest": 5}))
    second = make()
    second.write_row()
    second.write_row()
    assert second.highest.id == 5 + JUMP
    told = [record for record in caplog.records if "the run database was restored" in record.message]
    assert len(told) == 1
    with database.read() as session:
        assert restored(session) is not None
    second.write_file()
    again = beat.read(tmp_path / "x.beat")
    assert again is not None
    assert again.highest == second.highest


def test_another_schema_is_fatal(make: Any, database: Database, config: Config) -> None:
    ended: list[str] = []
    heart = make(fatal=ended.append)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    heart.start(config)
    until(lambda: ended)
    assert heart.asked.wait(5)
    assert not heart.ready.is_set()
    assert "has schema 9999" in ended[0]


def test_a_database_that_is_away_stops_no_heart(make: Any, config: Config, tmp_path: Path) -> None:
    heart = make(db=Database("postgresql://me:hunter2@127.0.0.1:1/x"))
    heart.start(config)
    assert heart.asked.wait(15)
    heart.write_file()
    found = beat.read(tmp_path / "x.beat")
    assert found is not None
    assert "Connection refused" in found.content["db"]
    assert "hunter2" not in json.dumps(found.content)
    at = found.at
    until(lambda: (beat.read(tmp_path / "x.beat") or found).at > at)
    heart.stop()
    assert json.loads((tmp_path / "x.beat").read_text())["stopped_at"]


def test_stopping_does_not_wait_for_a_database_that_hangs(
    make: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = make()
    heart.ready.set()
    hanging = threading.Event()
    monkeypatch.setattr(heart, "write_row", lambda **_: hanging.wait(20))
    began = time.monotonic()
    heart.stop(patience=0.2)
    assert time.monotonic() - began < 2
    hanging.set()


def test_who_is_seen_to_be_gone_is_marked(make: Any, database: Database, tmp_path: Path) -> None:
    make().write_row()
    beat.mark_stopped(database, me()._replace(start_ticks=1), "Transfer", str(tmp_path))
    assert rows(database)[0].stopped_at is None
    beat.mark_stopped(database, me(), "Transfer", str(tmp_path))
    assert rows(database)[0].stopped_at is not None


KEYS = ("pid", "host", "boot_id", "start_ticks", "at", "uptime", "stopped_at", "highest")
VALUES = st.none() | st.integers() | st.floats() | st.text() | st.lists(st.none())
DOCUMENTS = st.recursive(VALUES, st.lists) | st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=7)


def test_its_age_is_not_by_the_clock_that_people_set(make: Any, tmp_path: Path) -> None:
    make().write_file()
    path = tmp_path / "x.beat"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "at": content["at"] - 1e6}))
    found = beat.read(path)
    assert found is not None
    assert found.age < 10
    path.write_text(json.dumps({**content, "at": content["at"] - 100, "boot_id": "an older one"}))
    found = beat.read(path)
    assert found is not None
    assert 100 <= found.age < 110


@given(st.binary(max_size=100) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_any_content_can_be_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("beat") / "x.beat"
    assert beat.read(path) is None
    path.write_bytes(content)
    found = beat.read(path)
    assert found is None or (not found.identity.alive() and not found.age < 0)
