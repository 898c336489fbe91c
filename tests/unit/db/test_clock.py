"""The database's clock: UTC, aware, sortable, and shifted by the tests' offset alike everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects import sqlite
from support.rows import execute, make_one, row

from ondeck.db import clock
from ondeck.db.clock import UTCDateTime, database_time, later_sql, now, now_sql
from ondeck.db.engine import Database
from ondeck.db.models import Run

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _offset() -> Iterator[None]:
    yield
    clock.set_offset(0)


def later(database: Database, seconds: float) -> datetime:
    """The time so many seconds from now, by SQL."""
    with database.read() as session:
        query = text(f"SELECT {later_sql(database.dialect, 'wait')} AS at").columns(at=UTCDateTime())
        found = session.scalar(query, {"wait": seconds})
    assert isinstance(found, datetime)
    return found


def test_it_is_now_in_utc(database: Database) -> None:
    with database.read() as session:
        times = [database_time(session), session.scalar(select(now()))]
    for at in times:
        assert at is not None
        assert at.utcoffset() == timedelta(0)
        assert abs(at - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize("offset", [86400.0, -86400.0, 0.5, 1e-3, 1e8])
def test_the_offset_shifts_every_way_to_ask(database: Database, offset: float) -> None:
    with database.read() as session:
        base = database_time(session)
    clock.set_offset(offset)
    with database.read() as session:
        times = [database_time(session), session.scalar(select(now())), later(database, 0.0)]
    for at in times:
        assert at is not None
        assert abs(at - base - timedelta(seconds=offset)) < timedelta(seconds=10)
    clock.set_offset(0)
    with database.read() as session:
        again = session.scalar(select(now()))
    assert again is not None
    assert abs(again - base) < timedelta(seconds=10), "a compiled statement was kept with the old offset"


@pytest.mark.parametrize("seconds", [0.0, 60.0, -2.5, 0.001, 1e-7, 3.15e9])
def test_later_is_later_by_as_much(database: Database, seconds: float) -> None:
    with database.read() as session:
        base = database_time(session)
    assert abs(later(database, seconds) - base - timedelta(seconds=seconds)) < timedelta(seconds=10)


def test_time_goes_on_within_a_transaction(database: Database) -> None:
    with database.write() as session:
        first = database_time(session)
        for _ in range(1000):
            if database_time(session) > first:
                break
        else:
            pytest.fail("the time stands still")


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
zones = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(moments, zones)
def test_sqlite_keeps_every_time_that_python_has(moment: datetime, zone: timezone) -> None:
    kind, dialect = UTCDateTime(), sqlite.dialect()
    stored = kind.process_bind_param(moment.astimezone(zone), dialect)
    assert len(stored) == len("2026-01-31 12:00:00.000000")
    assert kind.process_result_value(stored, dialect) == moment


@given(moments, moments)
def test_sqlite_sorts_times_as_they_are(a: datetime, b: datetime) -> None:
    kind, dialect = UTCDateTime(), sqlite.dialect()
    first, second = (kind.process_bind_param(m, dialect) for m in (a, b))
    assert (first < second) == (a < b)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_times_come_back_from_both_databases(database: Database, moment: datetime) -> None:
    run = make_one(database, "runs", "acquired", started_at=moment)
    there = row(database, "runs", run).started_at
    assert there == moment
    assert there.utcoffset() == timedelta(0)


def test_a_time_without_zone_is_refused_by_both(database: Database) -> None:
    with pytest.raises(Exception, match="without zone"):
        make_one(database, "runs", "acquired", started_at=datetime(2026, 1, 1))


def test_stored_times_and_the_clock_are_compared_rightly(database: Database) -> None:
    with database.read() as session:
        base = database_time(session)
    past = make_one(database, "runs", "acquired", not_before=base - timedelta(milliseconds=5))
    coming = make_one(database, "runs", "acquired", not_before=base + DAY)
    with database.read() as session:
        due = text(f"SELECT id FROM runs WHERE not_before <= {now_sql(database.dialect)}")
        assert list(session.scalars(due)) == [past]
        query = select(Run.id).where(Run.not_before > bindparam("t", base, type_=UTCDateTime()))
        assert list(session.scalars(query)) == [coming]


def test_a_row_is_made_now_whatever_the_offset(database: Database) -> None:
    clock.set_offset(1e6)
    run = make_one(database, "runs", "acquired")
    clock.set_offset(0)
    with database.read() as session:
        assert abs(row(database, "runs", run).created_at - database_time(session)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    "typed",
    ["2026-01-31 12:00:00", "2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00", "2026-01-31 12:00:00.000"],
)
def test_a_time_typed_by_hand_is_read_as_it_was_meant(database: Database, typed: str) -> None:
    """A DAQ that inserts its own row writes times as it likes; without a zone they are UTC."""
    run = make_one(database, "runs", "acquired")
    with database.write() as session:
        if database.dialect == "postgresql":
            session.execute(text("SET LOCAL timezone = 'UTC'"))
        session.execute(text(f"UPDATE runs SET started_at = '{typed}' WHERE id = {run}"))
    assert row(database, "runs", run).started_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_the_offset_is_a_number(database: Database) -> None:
    clock.set_offset(math.pi)
    execute(database, f"UPDATE runs SET not_before = {now_sql(database.dialect)}")
