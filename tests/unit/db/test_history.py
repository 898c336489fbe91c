"""The history and what guards it: births, steps typed by hand, append-only, pinned witnesses, a run's constraints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from support.rows import Entry, check_history, execute, history, make, make_one, new, row, seen, status

from ondeck.db.actor import set_actor
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.insert import born, insert_new
from ondeck.db.models import Copy, Job, Pin, Receipt, Run, Transition
from ondeck.db.states import STATUSES
from ondeck.db.steps import advance, look


def scalar(database: Database, sql: str, **values: Any) -> Any:
    with database.read() as session:
        return session.execute(text(sql), values).scalar_one()


@pytest.mark.parametrize("table", STATUSES)
def test_a_row_may_be_born_in_any_status_and_its_birth_is_a_transition(database: Database, table: str) -> None:
    for one in STATUSES[table]:
        made = make_one(database, table, one)
        assert history(database, table, made) == [Entry(None, one, "by hand", None)]
        told = make_one(database, table, one, actor="alice", reason="imported")
        assert history(database, table, told) == [Entry(None, one, "alice", "imported")]


@pytest.mark.parametrize("table", STATUSES)
def test_no_row_is_born_in_an_unknown_status(database: Database, table: str) -> None:
    with pytest.raises(IntegrityError, match="status_known"):
        make_one(database, table, "lost")


def test_a_birth_has_the_databases_time(database: Database) -> None:
    make_one(database, "runs", "acquired")
    with database.read() as session:
        at = session.query(Transition).one().at
        assert timedelta(0) <= database_time(session) - at < timedelta(seconds=10)


def test_a_legal_step_typed_by_hand_says_so(database: Database) -> None:
    run = make_one(database, "runs", "acquired", actor="alice", reason="made")
    execute(database, "UPDATE runs SET status = 'transferring'")
    execute(database, "UPDATE runs SET status = 'ondeck', reason = 'I know', actor = 'mallory'")
    assert history(database, "runs", run) == [
        Entry(None, "acquired", "alice", "made"),
        Entry("acquired", "transferring", "by hand", None),
        Entry("transferring", "ondeck", "by hand", None),
    ]
    with database.write() as session:
        advance(session, look(session, Run, [run]), "processing", "its jobs exist")
    check_history(database, "runs", run)


def test_an_illegal_step_typed_by_hand_is_refused(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    for to in ("processing", "processed", "archived"):
        with pytest.raises(DBAPIError, match="illegal step of runs"):
            execute(database, "UPDATE runs SET status = :to", to=to)
    with pytest.raises(DBAPIError, match="illegal step of runs"):
        execute(database, "UPDATE runs SET status = 'archived', steps = steps + 1, actor = 'Transfer@here:1'")
    assert (status(database, "runs", run), len(history(database, "runs", run))) == ("acquired", 1)


def test_an_upsert_is_no_way_around(database: Database) -> None:
    make_one(database, "runs", "acquired", name="r")
    upsert = (
        "INSERT INTO runs (name, status) VALUES ('r', 'archived')"
        " ON CONFLICT (source, name) DO UPDATE SET status = excluded.status"
    )
    with pytest.raises(DBAPIError, match="illegal step"):
        execute(database, upsert)
    execute(database, upsert.replace("archived", "transferring"))
    run = seen(database, "runs", [1])[0]
    assert (run.id, run.status) == (1, "transferring")
    assert history(database, "runs", 1)[-1] == Entry("acquired", "transferring", "by hand", None)


def test_one_statement_by_hand_over_many_rows_leaves_a_transition_each(database: Database) -> None:
    ids = make(database, "runs", "acquired", 20)
    execute(database, "UPDATE runs SET status = 'transferring' WHERE id % 2 = 0")
    for run in ids:
        check_history(database, "runs", run)
        assert len(history(database, "runs", run)) == (2 if run % 2 == 0 else 1)


def test_writing_other_columns_is_no_step(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    execute(database, "UPDATE runs SET comments = 'x', priority = 7, epoch = epoch + 1, status = status")
    execute(database, "UPDATE runs SET steps = steps")
    assert len(history(database, "runs", run)) == 1


def test_a_verb_that_moves_no_status_is_a_transition(database: Database) -> None:
    run = make_one(database, "runs", "archived")
    with database.write() as session:
        advance(session, look(session, Run, [run]), "archived", "comment: fine", keep=True, comments="fine")
    assert history(database, "runs", run)[-1][:2] == ("archived", "archived")
    check_history(database, "runs", run)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE transitions SET actor = 'somebody else'",
        "UPDATE transitions SET id = id + 1000",
        "DELETE FROM transitions",
        "DELETE FROM transitions WHERE id = 1",
        "TRUNCATE transitions",
    ],
)
def test_the_history_is_append_only(database: Database, sql: str) -> None:
    make_one(database, "runs", "acquired")
    with pytest.raises(DBAPIError, match="append-only" if not sql.startswith("TRUNC") else "append-only|syntax"):
        execute(database, sql)
    assert scalar(database, "SELECT count(*) FROM transitions") == 1


@pytest.mark.parametrize("table", STATUSES)
def test_a_row_keeps_the_id_that_its_history_hangs_on(database: Database, table: str) -> None:
    made = make_one(database, table, STATUSES[table][0])
    with pytest.raises(DBAPIError, match="keeps its id"):
        execute(database, f"UPDATE {table} SET id = id + 1000")
    with pytest.raises(DBAPIError, match="keeps its id"):
        execute(database, f"UPDATE {table} SET id = {made + 1} WHERE id = {made}")
    execute(database, f"UPDATE {table} SET id = id")
    assert len(seen(database, table, [made])) == 1


@pytest.mark.parametrize("table", ["runs", "outbox"])
def test_an_id_is_never_given_twice(database: Database, table: str) -> None:
    last = make(database, table, STATUSES[table][0], 3)[-1]
    execute(database, f"DELETE FROM {table} WHERE id = {last}")
    assert make_one(database, table, STATUSES[table][0]) > last


def test_nothing_is_left_of_a_step_that_is_taken_back(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    with database.write() as session:
        advance(session, look(session, Run, [run]), "transferring", "why")
        session.rollback()
    assert len(history(database, "runs", run)) == 1


# ---- runs that others insert ----


def test_a_run_needs_a_name_and_a_status_alone(database: Database) -> None:
    execute(database, "INSERT INTO runs (name, status) VALUES ('r1', 'acquired')")
    run = row(database, "runs", 1)
    assert (run.source, run.name, run.status) == ("daq", "r1", "acquired")
    assert (run.params, run.tags, run.wanted, run.comments, run.run_type) == ({}, [], "", "", "")
    assert (run.priority, run.epoch, run.steps, run.tries, run.failures) == (0, 0, 0, 0, 0)
    assert (run.listener, run.to_archive, run.lease_until) == (None, None, None)
    assert run.created_at.utcoffset() == timedelta(0)
    assert history(database, "runs", 1) == [Entry(None, "acquired", "by hand", None)]


@pytest.mark.parametrize("columns", ["(name) VALUES ('r')", "(status) VALUES ('acquired')"])
def test_without_one_of_them_it_is_refused(database: Database, columns: str) -> None:
    with pytest.raises(IntegrityError):
        execute(database, f"INSERT INTO runs {columns}")


def test_names_are_unique_within_their_source(database: Database) -> None:
    execute(database, "INSERT INTO runs (name, status) VALUES ('r', 'acquired')")
    execute(database, "INSERT INTO runs (source, name, status) VALUES ('other', 'r', 'acquired')")
    with pytest.raises(IntegrityError):
        execute(database, "INSERT INTO runs (name, status) VALUES ('r', 'acquired')")


GARBLED = {
    "params": ["not json", "[1]", "7", "null", ""],
    "tags": ["{}", "x", '"a"'],
    "number": ["seventeen", "1.5"],
    "events": ["many"],
    "nbytes": ["big"],
    "started_at": ["sometime", "2026-02-31 00:00:00", "2026-13-01", "17"],
    "stopped_at": ["then"],
    "wanted": ["reset"],
}


@pytest.mark.parametrize(("column", "value"), [(c, v) for c, values in GARBLED.items() for v in values])
def test_what_a_column_can_not_hold_is_refused_at_the_door(database: Database, column: str, value: str) -> None:
    """One row that can't be read would stop all who read it."""
    with pytest.raises(DBAPIError):
        execute(database, f"INSERT INTO runs (name, status, {column}) VALUES ('r', 'acquired', '{value}')")
    assert scalar(database, "SELECT count(*) FROM runs") == 0


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        ("number", "17", 17),
        ("params", '{"a": [1, null]}', {"a": [1, None]}),
        ("tags", '["x"]', ["x"]),
        ("events", "0", 0),
    ],
)
def test_what_it_can_hold_is_taken(database: Database, column: str, value: str, read: Any) -> None:
    execute(database, f"INSERT INTO runs (name, status, {column}) VALUES ('r', 'acquired', '{value}')")
    assert getattr(row(database, "runs", 1), column) == read


# ---- witnesses ----


def receipt(database: Database, copy_id: int, *witnesses: int) -> int:
    with database.write() as session:
        made = Receipt(copy_id=copy_id, opened_at=database_time(session), rule="test", actor="x")
        session.add(made)
        session.flush()
        session.add_all(Pin(receipt_id=made.id, copy_id=w) for w in witnesses)
        session.flush()
        return made.id


def test_a_pinned_witness_can_not_be_made_unwanted(database: Database) -> None:
    run = make_one(database, "runs", "processed")
    first, second, third = (make_one(database, "copies", "verified", run_id=run, storage=f"s{i}") for i in range(3))
    opened = receipt(database, first, second)
    with pytest.raises(IntegrityError, match="witness of an open receipt"):
        execute(database, f"UPDATE copies SET wanted = false WHERE id = {second}")
    with pytest.raises(IntegrityError), database.write() as session:
        advance(session, look(session, Copy, [second]), "verified", "to be removed", wanted=False)
    execute(database, f"UPDATE copies SET wanted = false WHERE id IN ({first}, {third})")
    execute(database, f"UPDATE copies SET wanted = true, priority = 1 WHERE id = {second}")
    assert row(database, "copies", second).wanted

    execute(database, f"UPDATE receipts SET closed_at = opened_at WHERE id = {opened}")
    execute(database, f"UPDATE copies SET wanted = false WHERE id = {second}")
    assert not row(database, "copies", second).wanted


def test_a_copy_has_one_open_receipt(database: Database) -> None:
    copy = make_one(database, "copies", "verified")
    first = receipt(database, copy)
    with pytest.raises(IntegrityError):
        receipt(database, copy)
    execute(database, f"UPDATE receipts SET closed_at = opened_at WHERE id = {first}")
    receipt(database, copy)


def test_a_run_has_one_raw_copy_of_a_form_in_a_storage(database: Database) -> None:
    run = make_one(database, "runs", "processing")
    make_one(database, "copies", "verified", run_id=run, storage="disk")
    make_one(database, "copies", "verified", run_id=run, storage="disk", form="bundled")
    with pytest.raises(IntegrityError):
        make_one(database, "copies", "absent", run_id=run, storage="disk")


# ---- inserting what may be there ----


def test_only_what_is_new_is_inserted(database: Database) -> None:
    set_actor("Provider@here:1")
    make_one(database, "runs", "archived", name="b")
    rows = [{"name": n, "status": "acquired", **born("found")} for n in "abc"]
    with database.write() as session:
        made = insert_new(session, Run, rows, ["source", "name"])
        again = insert_new(session, Run, rows, ["source", "name"])
        assert insert_new(session, Run, [], ["source", "name"]) == []
    assert (len(made), again) == (2, [])
    assert {row(database, "runs", i).name for i in made} == {"a", "c"}
    assert history(database, "runs", made[0]) == [Entry(None, "acquired", "Provider@here:1", "found")]
    assert len(history(database, "runs", 1)) == 1
    assert status(database, "runs", 1) == "archived"


def test_keys_are_the_models_attributes(database: Database) -> None:
    run = make_one(database, "runs", "processing")
    job = {"run_id": run, "module": "m", "pass_": 3, "part": 0, "status": "new", "settings": {"a": 1}}
    with database.write() as session:
        made = insert_new(session, Job, [job], ["run_id", "module", "pass", "part"])
        assert insert_new(session, Job, [job], ["run_id", "module", "pass", "part"]) == []
    there = row(database, "jobs", made[0])
    assert (there.pass_, there.settings) == (3, {"a": 1})


def test_a_new_row_is_dropped_with_its_transaction(database: Database) -> None:
    with database.write() as session:
        new(session, "runs", "acquired")
        session.rollback()
    assert scalar(database, "SELECT count(*) FROM transitions") == 0
