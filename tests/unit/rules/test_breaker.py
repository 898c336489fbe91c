"""The circuit breaker: what opens it, who may try, what closes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select
from support.rows import make_one, row, take

from ondeck.config import Config
from ondeck.db import clock
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.tables import Outbox, Site
from ondeck.rules.breaker import begin_trial, room, site_of, trouble, worked
from ondeck.rules.gates import pause
from ondeck.rules.trouble import back_off
from ondeck.rules.verbs import NotThere, resume_site


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    clock.set_offset(0)


def fail(database: Database, config: Config, *rows: str, site: str = "here") -> list[bool]:
    found = []
    for one in rows:
        with database.write() as session:
            found.append(trouble(session, config, site, one, f"no luck with {one}"))
    return found


def state(database: Database, site: str = "here") -> Site:
    with database.read() as session:
        return session.get_one(Site, site)


def limit(database: Database, site: str = "here") -> int | None:
    with database.write() as session:
        return room(session, site)


ROWS = [f"runs {n}" for n in range(1, 6)]


def test_different_rows_in_a_row_open_it_with_one_message(database: Database, config: Config) -> None:
    assert fail(database, config, *ROWS[:4]) == [False] * 4
    assert fail(database, config, *ROWS[:4] * 3) == [False] * 12, "always the same rows: it is they"
    assert limit(database) is None
    assert fail(database, config, ROWS[4]) == [False]
    assert limit(database) == 0
    assert fail(database, config, "runs 6", "runs 7") == [True, True]
    with database.read() as session:
        messages = session.scalars(select(Outbox)).all()
        closed = pause(session, "here")
        assert pause(session, "bare") is None
    assert {m.subject for m in messages} == {"[ondeck small] too much goes wrong at site here"}
    assert len(messages) == len(config.sinks)
    assert "5 different rows" in messages[0].body
    assert "no luck with runs 5" in messages[0].body
    assert closed is not None
    assert "no luck with runs 7" in closed.words()
    assert "`ondeck site resume here`" in closed.words()


def test_what_goes_well_in_between_is_no_row(database: Database, config: Config) -> None:
    fail(database, config, *ROWS[:4])
    with database.write() as session:
        worked(session, "here")
    fail(database, config, *ROWS[:4])
    assert limit(database) is None
    fail(database, config, ROWS[4])
    assert limit(database) == 0


def test_one_row_tries_and_the_next_one_waits_longer(database: Database, config: Config) -> None:
    fail(database, config, *ROWS)
    opened = state(database).breaker_opened_at
    assert opened is not None
    waits = []
    for _ in range(6):
        due = state(database).breaker_trial_at
        assert due is not None
        with database.read() as session:
            clock.set_offset(0)
            clock.set_offset((due - database_time(session)).total_seconds() + 0.5)
        with database.read() as session:
            assert pause(session, "here") is None
        with database.write() as session:
            assert room(session, "here") == 1
            begin_trial(session, config, "here")
        assert limit(database) == 0
        with database.read() as session:
            assert pause(session, "here") is not None
            after = state(database).breaker_trial_at
            assert after is not None
            waits.append((after - database_time(session)).total_seconds())
    assert waits == sorted(waits)
    assert waits[2] > 1.8 * waits[1]
    assert abs(waits[-1] - config.retry.longest.total_seconds()) < 2


def test_a_success_closes_it(database: Database, config: Config) -> None:
    fail(database, config, *ROWS)
    with database.write() as session:
        worked(session, "bare")
    assert limit(database) == 0, "another site's"
    with database.write() as session:
        worked(session, "here")
    assert limit(database) is None
    after = state(database)
    assert (after.breaker_opened_at, after.breaker_reason, after.breaker_trial_at, after.breaker_rows) == (
        None, None, None, [],
    )  # fmt: skip


def test_a_person_closes_it_and_wakes_the_daemons(database: Database, config: Config) -> None:
    fail(database, config, *ROWS)
    waiter = database.waiter()
    try:
        while waiter.wait(0.3):
            pass
        with database.write() as session:
            resume_site(session, "here")
        assert waiter.wait(5)
    finally:
        waiter.close()
    assert limit(database) is None
    fail(database, config, ROWS[0])
    assert limit(database) is None, "the count begins anew"
    with database.write() as session, pytest.raises(NotThere):
        resume_site(session, "here")


def test_a_trial_costs_no_try_but_the_wait(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "acquired", tries=config.retry.max_tries - 1)
    (one,) = take(database, "runs", "acquired")
    with database.write() as session:
        back_off(session, one, "acquired", "away", config.retry, give_up="failed", free=True)
    found = row(database, "runs", run)
    assert (found.status, found.tries, found.reason) == ("acquired", config.retry.max_tries - 1, "away")
    with database.read() as session:
        assert found.not_before - database_time(session) > timedelta(seconds=1)


class _Trouble(Exception):
    def __init__(self, of_site: bool, **fields: str) -> None:
        super().__init__("x")
        self.of_site, self.fields = of_site, fields


@pytest.mark.parametrize(
    ("error", "site"),
    [
        (_Trouble(True, site="bare"), "bare"),
        (_Trouble(True, storage="disk"), "here"),
        (_Trouble(True, storage="unheard of"), None),
        (_Trouble(False, site="bare"), None),
        (ValueError("x"), None),
    ],
)
def test_whose_trouble_it_is(config: Config, error: Exception, site: str | None) -> None:
    assert site_of(config, error) == site
