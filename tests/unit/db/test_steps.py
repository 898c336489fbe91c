"""advance, renew, release, look and hold_on: what they change, and what they leave alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from support.rows import (
    LEASE,
    MODELS,
    Entry,
    check_history,
    history,
    make,
    make_one,
    row,
    seen,
    status,
    take,
)

from ondeck.db import actor as actors
from ondeck.db.clock import NOW, database_time
from ondeck.db.engine import Database
from ondeck.db.errors import LeaseLost
from ondeck.db.models import Run
from ondeck.db.states import STATUSES, is_legal
from ondeck.db.steps import (
    REASON_LENGTH,
    Claim,
    advance,
    advance_one,
    claim,
    clean,
    hold_on,
    look,
    release,
    release_of,
    renew,
)


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    before = actors._actor
    actors.set_actor("Tester@here:1")
    yield
    actors._actor = before


def move(database: Database, claims: list[Claim], to: str, reason: str | None = "why", **kwargs: Any) -> list[Claim]:
    """advance in a transaction of its own."""
    with database.write() as session:
        return advance(session, claims, to, reason, **kwargs)


# ---- legality, through advance ----


@pytest.mark.parametrize("table", STATUSES)
def test_advance_takes_each_legal_step_and_no_other(database: Database, table: str) -> None:
    pairs = list(itertools.product(STATUSES[table], repeat=2))
    ids = {pair: make_one(database, table, pair[0]) for pair in pairs}
    now = {c.id: c for c in seen(database, table, list(ids.values()))}
    for (source, to), row_id in ids.items():
        if is_legal(table, source, to):
            moved = move(database, [now[row_id]], to)
            assert [(c.id, c.status) for c in moved] == [(row_id, to)]
            assert history(database, table, row_id)[1:] == [Entry(source, to, "Tester@here:1", "why")]
        else:
            with pytest.raises(IntegrityError, match="illegal step") as caught:
                move(database, [now[row_id]], to)
            assert table in str(caught.value.orig)
            assert source in str(caught.value.orig)
            there = row(database, table, row_id)
            assert (there.status, there.steps, there.actor) == (source, 0, None)
            assert len(history(database, table, row_id)) == 1
        check_history(database, table, row_id)


def test_an_illegal_step_takes_the_whole_batch_back(database: Database) -> None:
    good, bad = make_one(database, "runs", "acquired"), make_one(database, "runs", "archived")
    claims = seen(database, "runs", [good, bad])
    with pytest.raises(IntegrityError):
        move(database, claims, "transferring")
    assert status(database, "runs", good) == "acquired"
    assert len(history(database, "runs", good)) == 1


def test_an_unknown_status_is_refused(database: Database) -> None:
    one = seen(database, "runs", [make_one(database, "runs", "acquired")])
    with pytest.raises(IntegrityError):
        move(database, one, "teleported")


# ---- what advance changes ----


def test_a_step_ends_the_lease_and_leaves_the_epoch(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    claims = take(database, "runs", "acquired")
    moved = move(database, claims, "transferring", "copying")
    there = row(database, "runs", run)
    assert moved == [Claim("runs", run, "transferring", 1)]
    assert (there.lease_until, there.leased_by, there.epoch, there.steps) == (None, None, 1, 1)
    assert (there.actor, there.reason) == ("Tester@here:1", "copying")


def test_keep_keeps_the_lease(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    claims = take(database, "runs", "acquired")
    before = row(database, "runs", run).lease_until
    move(database, claims, "transferring", keep=True)
    there = row(database, "runs", run)
    assert (there.lease_until, there.leased_by) == (before, "Tester@here:1")


def test_fence_raises_the_epoch_and_shuts_the_holder_out(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    moved = move(database, seen(database, "runs", [run]), "acquired", "a verb", fence=True)
    assert moved == [Claim("runs", run, "acquired", 2)]
    assert move(database, held, "transferring") == []
    assert status(database, "runs", run) == "acquired"
    assert move(database, moved, "transferring") == [Claim("runs", run, "transferring", 2)]


def test_columns_of_all_kinds_are_set(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    given = {"a": [1, {"b": None}], "words": "it's :this %s and \\ é \U0001f600", "empty": {}}
    with database.read() as session:
        before = database_time(session)
    move(
        database,
        seen(database, "runs", [run]),
        "transferring",
        params=given,
        tags=["x", "y"],
        number=7,
        to_archive=True,
        started_at=NOW,
        listener=None,
        comments="a:b",
    )
    there = row(database, "runs", run)
    assert there.params == given
    assert there.tags == ["x", "y"]
    assert (there.number, there.to_archive, there.listener, there.comments) == (7, True, None, "a:b")
    assert timedelta(0) <= there.started_at - before < timedelta(seconds=10)
    assert there.started_at.utcoffset() == timedelta(0)


def test_a_column_that_is_not_there_is_an_error(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    with pytest.raises(KeyError):
        move(database, seen(database, "runs", [run]), "transferring", no_such_column=1)


def test_delay_keeps_a_row_from_being_claimed_until_then(database: Database) -> None:
    make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    move(database, held, "acquired", "machinery", delay=timedelta(seconds=0.3), tries=1)
    assert take(database, "runs", "acquired") == []
    with database.read() as session:
        session.execute(text("SELECT 1"))
    move(database, seen(database, "runs", [held[0].id]), "acquired", "now", delay=timedelta(0))
    assert [c.id for c in take(database, "runs", "acquired")] == [held[0].id]


def test_one_statement_moves_many_and_passes_over_the_overtaken(database: Database) -> None:
    ids = make(database, "runs", "acquired", 50)
    held = take(database, "runs", "acquired", 50)
    taken_away = ids[::3]
    move(database, seen(database, "runs", taken_away), "acquired", "a verb", fence=True)
    statements: list[str] = []
    with database.write() as session:
        from sqlalchemy import event

        connection = session.connection()
        event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        moved = advance(session, held, "transferring", "copying")
    assert len(statements) == 1
    assert {c.id for c in moved} == set(ids) - set(taken_away)
    for run in ids:
        assert status(database, "runs", run) == ("acquired" if run in taken_away else "transferring")
        check_history(database, "runs", run)


def test_rows_of_several_tables_and_statuses_move_together(database: Database) -> None:
    jobs = [make_one(database, "jobs", s) for s in ("new", "blocked", "new", "waiting")]
    run = make_one(database, "runs", "ondeck")
    claims = seen(database, "jobs", jobs) + seen(database, "runs", [run])
    moved = move(database, claims, "cancelled")
    assert {(c.table, c.id, c.status) for c in moved} == {("jobs", j, "cancelled") for j in jobs} | {
        ("runs", run, "cancelled")
    }


def test_a_status_that_has_changed_under_the_epoch_is_not_passed_over(database: Database) -> None:
    """A step typed by hand raises no epoch: the status decides."""
    run = make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    with database.write() as session:
        session.execute(text("UPDATE runs SET status = 'transferring'"))
    assert move(database, held, "ondeck") == []
    assert status(database, "runs", run) == "transferring"


def test_nothing_to_move_is_no_statement(database: Database) -> None:
    assert move(database, [], "transferring") == []
    with database.write() as session:
        assert renew(session, [], LEASE) == []
        assert release(session, []) == []
        assert look(session, Run, []) == []
        hold_on(session, [])


def test_staying_where_it_is_makes_the_history_grow(database: Database) -> None:
    run = make_one(database, "runs", "archived")
    move(database, seen(database, "runs", [run]), "archived", "a comment")
    assert history(database, "runs", run)[1:] == [Entry("archived", "archived", "Tester@here:1", "a comment")]
    check_history(database, "runs", run)


def test_advance_one_raises_for_who_was_overtaken(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    with database.write() as session:
        one = advance_one(session, look(session, Run, [run])[0], "transferring", "why")
    assert one == Claim("runs", run, "transferring", 0)
    with pytest.raises(LeaseLost, match=f"runs {run}"), database.write() as session:
        advance_one(session, one._replace(epoch=5), "ondeck", "why")


# ---- leases ----


def test_renew_lengthens_only_what_is_ours(database: Database) -> None:
    make(database, "runs", "acquired", 3)
    mine = take(database, "runs", "acquired", 2, lease=timedelta(seconds=1))
    theirs = seen(database, "runs", [mine[0].id])
    move(database, theirs, "acquired", "a verb", fence=True)
    with database.write() as session:
        kept = renew(session, mine, timedelta(hours=1))
        now = database_time(session)
    assert kept == [mine[1]]
    left = row(database, "runs", mine[1].id).lease_until - now
    assert timedelta(minutes=59) < left <= timedelta(minutes=61)
    assert row(database, "runs", mine[0].id).lease_until is None


def test_what_was_given_back_is_not_renewed(database: Database) -> None:
    make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    with database.write() as session:
        assert release(session, held) == held
        assert renew(session, held, LEASE) == []
    there = row(database, "runs", held[0].id)
    assert (there.lease_until, there.leased_by, there.epoch) == (None, None, 1)
    assert len(history(database, "runs", held[0].id)) == 1


def test_release_gives_back_and_lets_others_in(database: Database) -> None:
    make(database, "runs", "acquired", 2)
    held = take(database, "runs", "acquired", 2)
    with database.write() as session:
        assert len(release(session, held)) == 2
    assert len(take(database, "runs", "acquired", 2)) == 2


def test_release_of_a_dead_holder_shuts_him_out(database: Database) -> None:
    make(database, "runs", "acquired", 3)
    actors.set_actor("Transfer@dead:1")
    held = take(database, "runs", "acquired", 2)
    actors.set_actor("Transfer@alive:2")
    others = take(database, "runs", "acquired", 1)
    with database.write() as session:
        assert release_of(session, Run, "Transfer@dead:1") == 2
        assert release_of(session, Run, "Transfer@dead:1") == 0
    assert move(database, held, "transferring") == []
    assert len(take(database, "runs", "acquired", 3)) == 2
    assert len(move(database, others, "transferring")) == 1


def test_hold_on_names_what_was_lost(database: Database) -> None:
    first, second = make(database, "runs", "acquired", 2)
    held = take(database, "runs", "acquired", 2)
    with database.write() as session:
        hold_on(session, held)
    move(database, seen(database, "runs", [second]), "acquired", "a verb", fence=True)
    with pytest.raises(LeaseLost, match=rf"runs {second}\b") as caught, database.write() as session:
        hold_on(session, held)
    assert f"runs {first} " not in str(caught.value)


def test_hold_on_looks_at_the_status_too(database: Database) -> None:
    make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    with database.write() as session:
        session.execute(text("UPDATE runs SET status = 'transferring'"))
    with pytest.raises(LeaseLost), database.write() as session:
        hold_on(session, held)


def test_look_gives_each_row_once_in_order(database: Database) -> None:
    ids = make(database, "runs", "acquired", 5)
    with database.write() as session:
        found = look(session, Run, [*reversed(ids), ids[0], 10**12])
    assert [c.id for c in found] == sorted(ids)


def test_every_table_can_be_claimed_and_moved(database: Database) -> None:
    for table, model in MODELS.items():
        first = STATUSES[table][0]
        made = make_one(database, table, first)
        with database.write() as session:
            held = claim(session, model, first, 5, lease=LEASE)
            assert [c.id for c in held] == [made]
            assert advance(session, held, first, "stays") == held
        check_history(database, table, made)


# ---- reasons ----


def test_a_reason_is_made_fit_for_the_row(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    nasty = "a\0b\x1b[31mred\ud800 \u202e" + "x" * 10_000 + "the end"
    move(database, seen(database, "runs", [run]), "failed", nasty)
    kept = row(database, "runs", run).reason
    assert kept == clean(nasty)
    assert len(kept) <= REASON_LENGTH
    assert kept.startswith("a\ufffdb\ufffd[31mred")
    assert kept.endswith("the end")


@given(st.text(st.characters(), max_size=300), st.integers(min_value=10, max_value=100))
def test_clean_words_are_printable_and_short(words: str, length: int) -> None:
    cleaned = clean(words, length)
    assert len(cleaned) <= length
    assert all(c.isprintable() or c == "\n" for c in cleaned)
    assert cleaned == cleaned.strip()
    cleaned.encode("utf-8")
    assert clean(cleaned, length) == cleaned


def test_clean_leaves_good_words_alone() -> None:
    assert clean("  disk full: 3 % of /data\nsecond line é ") == "disk full: 3 % of /data\nsecond line é"
