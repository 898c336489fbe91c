"""Names at the door, listeners, messages, back-off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from support.rows import history, make_one, row, take

from ondeck.config import Config
from ondeck.config.retry import Retry
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.steps import REASON_LENGTH
from ondeck.db.tables import Outbox
from ondeck.rules.listen import listener_for
from ondeck.rules.messages import post
from ondeck.rules.names import BadRunName, check_run_name
from ondeck.rules.trouble import back_off, wait_after

# ---- names ----


@pytest.mark.parametrize(
    "name", ["r", "run_152254", "2026-01-31", "HLV-HW100916-968654552-1", "a.b+c@d=e,f:g", "x" * 200]
)
def test_good_names(name: str) -> None:
    check_run_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("x" * 201, "it has 201 characters"),
        (".hidden", "'.' is not allowed at its beginning"),
        ("-v", "'-' is not allowed at its beginning"),
        ("..", "'.' is not allowed at its beginning"),
        ("a/b", "'/' is not allowed"),
        ("a b", "' ' is not allowed"),
        ("x; touch /tmp/pwned", "';' is not allowed"),
        ("a\nb", r"'\\n' is not allowed"),
        ("run\n", r"'\\n' is not allowed"),
        ("été", r"'\\xe9' is not allowed"),
        ("a\0", r"'\\x00' is not allowed"),
        ("$(id)", r"'\$' is not allowed at its beginning"),
        ("a\u202eb", r"'\\u202e' is not allowed"),
    ],
)
def test_bad_names_and_why(name: str, why: str) -> None:
    with pytest.raises(BadRunName, match=why) as caught:
        check_run_name(name)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=250))
def test_what_passes_the_door_is_safe_everywhere(name: str) -> None:
    try:
        check_run_name(name)
    except BadRunName:
        return
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/ '\"\\$`;&|<>()*?[]{}~!#%")
    assert name[0] not in "-."
    assert len(name) <= 200


# ---- listeners ----


def run_like(**columns: Any) -> Run:
    return Run(**{"source": "daq", "name": "r", "run_type": "", "params": {}, **columns})


def test_the_highest_priority_takes_a_run(config: Config) -> None:
    found = [listener_for(config, run_like(run_type="physics", number=n)) for n in (5, 1000)]
    assert [one.name if one else None for one in found] == ["physics", "long"]
    assert listener_for(config, run_like(run_type="pedestal")) is None


def test_the_runs_parameters_come_before_its_columns(config: Config) -> None:
    found = listener_for(config, run_like(run_type="physics", params={"number": 2000}, number=1))
    assert found is not None
    assert found.name == "physics", "number is the run's own"


# ---- messages ----


def messages(database: Database) -> list[Outbox]:
    with database.read() as session:
        return list(session.scalars(select(Outbox).order_by(Outbox.id)))


def test_a_message_goes_to_every_sink_once_for_its_key(database: Database, config: Config) -> None:
    with database.write() as session:
        for _ in range(2):
            post(session, config, "disk full", "words", stream="storage:disk", key="full:1", percent=99)
        post(session, config, "other", "words", stream="storage:disk")
        post(session, config, "other", "words", stream="storage:disk")
    found = messages(database)
    assert [(m.sink, m.subject) for m in found[:2]] == [(s, "[ondeck small] disk full") for s in ("mail", "shift")]
    assert len(found) == 2 + 4
    assert found[0].details == {"percent": 99}
    assert {m.status for m in found} == {"queued"}
    assert history(database, "outbox", found[0].id)[0].reason == "posted"


def test_hostile_words_in_a_message(database: Database, config: Config) -> None:
    with database.write() as session:
        post(session, config, "a\r\nBcc: x@y\0" + "s" * 1000, "b\0\ud800" + "x" * 100_000, stream="s")
    one = messages(database)[0]
    assert "\n" not in one.subject
    assert "\r" not in one.subject
    assert "\0" not in one.subject + one.body
    assert len(one.subject) <= 300
    assert len(one.body) <= 20_000


def test_a_message_is_posted_with_its_cause_or_not_at_all(database: Database, config: Config) -> None:
    with database.write() as session:
        post(session, config, "s", "b", stream="s")
        session.rollback()
    assert messages(database) == []


# ---- trouble ----

RETRY = Retry(first=timedelta(seconds=10), factor=2.0, longest=timedelta(minutes=5), max_tries=3)


@given(st.integers(1, 10**6), st.floats(1.0, 100.0))
def test_waits_grow_and_end(tries: int, factor: float) -> None:
    retry = Retry(first=timedelta(seconds=10), factor=factor, longest=timedelta(minutes=5))
    seconds = wait_after(retry, tries).total_seconds()
    expected = min(10 * factor ** min(tries - 1, 100), 300)
    assert 0.89 * expected <= seconds <= 1.11 * expected


def test_machinery_backs_off_until_the_tries_are_used_up(database: Database) -> None:
    run = make_one(database, "runs", "transferring")
    for tries in (1, 2):
        with database.write() as session:
            run_row = session.get_one(Run, run)
            run_row.not_before = None
        (held,) = take(database, "runs", "transferring")
        with database.write() as session:
            moved = back_off(session, held, "transferring", "disk away", RETRY, give_up="failed")
            now = database_time(session)
        there = row(database, "runs", run)
        assert [c.status for c in moved] == ["transferring"]
        assert (there.tries, there.lease_until) == (tries, None)
        assert timedelta(seconds=8.5 * tries) < there.not_before - now < timedelta(seconds=11.5 * tries)
    with database.write() as session:
        session.get_one(Run, run).not_before = None
    (held,) = take(database, "runs", "transferring")
    with database.write() as session:
        back_off(session, held, "acquired", "disk away", RETRY, give_up="failed", given_up={"failed_from": "acquired"})
    there = row(database, "runs", run)
    assert (there.status, there.tries, there.failed_from) == ("failed", 3, "acquired")
    assert there.reason == "given up after 3 tries; the last one: disk away"


def test_what_we_broke_off_ourselves_costs_nothing(database: Database) -> None:
    run = make_one(database, "runs", "transferring", tries=2)
    (held,) = take(database, "runs", "transferring")
    with database.write() as session:
        back_off(session, held, "acquired", "the daemon stops", RETRY, give_up="failed", count=False)
    there = row(database, "runs", run)
    assert (there.status, there.tries, there.not_before) == ("acquired", 2, None)


def test_some_things_are_tried_for_ever(database: Database) -> None:
    message = make_one(database, "outbox", "sending", tries=1000)
    (held,) = take(database, "outbox", "sending")
    with database.write() as session:
        back_off(session, held, "queued", "x" * 10_000, RETRY, give_up=None)
    there = row(database, "outbox", message)
    assert (there.status, there.tries) == ("queued", 1001)
    assert len(there.reason or "") <= REASON_LENGTH


def test_who_was_overtaken_backs_nothing_off(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    (held,) = take(database, "runs", "acquired")
    with database.write() as session:
        old = held._replace(epoch=held.epoch - 1)
        assert back_off(session, old, "acquired", "x", RETRY, give_up="failed") == []
    assert row(database, "runs", run).tries == 0
