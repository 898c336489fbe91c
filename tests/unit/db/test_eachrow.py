"""advance with `each`: values that differ from row to row, in one statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from support.rows import check_history, make, make_one, row, seen

from ondeck.db.clock import NOW, database_time
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.steps import Claim, advance, look

WHEN = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


def move(database: Database, claims: list[Claim], to: str, each: dict[int, dict[str, Any]], **more: Any) -> list[Claim]:
    """advance in a transaction of its own."""
    with database.write() as session:
        return advance(session, claims, to, "why", each=each, **more)


def test_each_row_gets_its_own_values_of_all_kinds(database: Database) -> None:
    one, two = make(database, "runs", "acquired", 2)
    given = {"a": [1, {"b": None}], "words": "it's :this %s and \\ é \U0001f600", "quote": '"{},'}
    each = {
        one: {"params": given, "tags": ["x"], "number": 7, "to_archive": True, "started_at": WHEN, "comments": "a:b"},
        two: {"params": {}, "tags": [], "number": None, "to_archive": False, "started_at": None, "comments": ""},
    }
    moved = move(database, seen(database, "runs", [one, two]), "transferring", each)
    assert {c.id for c in moved} == {one, two}
    first, second = row(database, "runs", one), row(database, "runs", two)
    assert (first.params, first.tags, first.number, first.to_archive) == (given, ["x"], 7, True)
    assert (first.started_at, first.comments) == (WHEN, "a:b")
    assert (second.params, second.tags, second.number, second.to_archive) == ({}, [], None, False)
    assert (second.started_at, second.comments) == (None, "")
    check_history(database, "runs", one)


def test_it_is_one_statement(database: Database) -> None:
    ids = make(database, "runs", "acquired", 20)
    claims = seen(database, "runs", ids)
    said: list[str] = []

    def note(_c: Any, _k: Any, sql: str, *_: Any) -> None:
        said.append(sql)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        move(database, claims, "transferring", {i: {"comments": f"run {i}"} for i in ids})
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    assert [s.split()[0] for s in said if not s.startswith(("BEGIN", "SELECT"))] == ["UPDATE"]
    assert {row(database, "runs", i).comments for i in ids} == {f"run {i}" for i in ids}


def test_the_database_s_time_a_value_and_nothing_stand_beside_each_other(database: Database) -> None:
    now_id, then_id, none_id, kept_id, other_id = ids = make(database, "copies", "writing", 5, verified_at=WHEN)
    with database.read() as session:
        before = database_time(session)
    then = WHEN + timedelta(days=1)
    each = {
        now_id: {"verified_at": NOW, "path": "a"},
        then_id: {"verified_at": then},
        none_id: {"verified_at": None, "path": "c"},
        kept_id: {"path": "d"},
    }
    paths = {i: row(database, "copies", i).path for i in ids}
    assert len(move(database, seen(database, "copies", ids), "verified", each, nbytes=3)) == 5
    there = {i: row(database, "copies", i) for i in ids}
    assert timedelta(0) <= there[now_id].verified_at - before < timedelta(seconds=10)
    assert [there[i].verified_at for i in (then_id, none_id, kept_id, other_id)] == [then, None, WHEN, WHEN]
    assert [there[i].path for i in ids] == ["a", paths[then_id], "c", "d", paths[other_id]]
    assert {one.nbytes for one in there.values()} == {3}


def test_all_of_them_the_database_s_time(database: Database) -> None:
    ids = make(database, "copies", "writing", 2)
    move(database, seen(database, "copies", ids), "verified", {i: {"verified_at": NOW} for i in ids})
    assert all(row(database, "copies", i).verified_at is not None for i in ids)


def test_who_was_overtaken_gets_nothing(database: Database) -> None:
    ours, taken = make(database, "runs", "acquired", 2)
    claims = seen(database, "runs", [ours, taken])
    stale = [c._replace(epoch=c.epoch - 1) if c.id == taken else c for c in claims]
    moved = move(database, stale, "transferring", {ours: {"comments": "mine"}, taken: {"comments": "mine"}})
    assert [c.id for c in moved] == [ours]
    assert (row(database, "runs", ours).comments, row(database, "runs", taken).comments) == ("mine", "")
    assert row(database, "runs", taken).status == "acquired"


def test_rows_in_several_statuses_find_their_own_values(database: Database) -> None:
    ids = [make_one(database, "runs", status) for status in ("transferring", "acquired", "transferring", "acquired")]
    each = {i: {"comments": f"run {i}"} for i in ids}
    claims = seen(database, "runs", ids)
    moved = move(database, claims[::-1] + claims, "failed", each)  # twice: each is moved once
    assert sorted(c.id for c in moved) == ids
    assert [row(database, "runs", i).comments for i in ids] == [f"run {i}" for i in ids]


def test_nothing_for_each_is_as_without(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    assert len(move(database, seen(database, "runs", [run]), "transferring", {})) == 1
    assert len(move(database, seen(database, "runs", [run]), "ondeck", {run + 1: {"comments": "of another"}})) == 1
    assert row(database, "runs", run).comments == ""


def test_what_is_meant_must_be_clear(database: Database) -> None:
    run, copy = make_one(database, "runs", "acquired"), make_one(database, "copies", "writing")
    claims = seen(database, "runs", [run])
    with pytest.raises(KeyError):
        move(database, claims, "transferring", {run: {"no_such_column": 1}})
    with pytest.raises(ValueError, match="comments"):
        move(database, claims, "transferring", {run: {"comments": "a"}}, comments="b")
    with pytest.raises(ValueError, match="several tables"):
        move(database, [*claims, *seen(database, "copies", [copy])], "verified", {run: {"priority": 1}})
    assert row(database, "runs", run).status == "acquired"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
documents = st.dictionaries(
    texts, st.none() | st.integers(-(2**53), 2**53) | texts | st.lists(texts, max_size=3), max_size=3
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples."""
    from ondeck.db.schema import create

    folder = tmp_path_factory.mktemp("each")
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/ondeck.db" if sqlite else request.getfixturevalue("postgresql_server").create()
    create(url)
    opened = Database(url)
    yield opened
    opened.dispose()


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "comments": texts,
                "params": documents,
                "number": st.none() | st.integers(-(2**63), 2**63 - 1),
                "to_archive": st.none() | st.booleans(),
                "stopped_at": st.none()
                | st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_given_is_read_back(kept: Database, rows: list[dict[str, Any]]) -> None:
    ids = make(kept, "runs", "acquired", len(rows), comments="before", number=5)
    each = dict(zip(ids, rows, strict=True))
    with kept.write() as session:
        assert len(advance(session, look(session, Run, ids), "acquired", "why", each=each)) == len(rows)
    before = {"comments": "before", "params": {}, "number": 5, "to_archive": None, "stopped_at": None}
    for number, values in each.items():
        there = row(kept, "runs", number)
        assert {name: getattr(there, name) for name in before} == {**before, **values}
