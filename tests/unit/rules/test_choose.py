"""Which runs and jobs a person means, also with hostile patterns and names."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.rows import make, make_one, new

from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.rules.choose import NothingSuch, matches, run_condition, select_jobs, select_runs

NAMES = [
    *("run1", "run2", "run10", "Run1", "RUN1", "r%n", "a_b%", "aXbY", "x\\y", "été", "100", "0100", "100-200", "[odd]"),
    *("[", "a]b", "a]", "*", "what?", "daq", "dash-ed", "-v", "x'; DROP TABLE runs; --", "new\nline", "!"),
]


def names(database: Database, *patterns: str) -> set[str]:
    """The names of the runs that the patterns mean, with their source when it isn't daq."""
    with database.read() as session:
        return {r.name if r.source == "daq" else f"{r.source}/{r.name}" for r in select_runs(session, patterns)}


@pytest.fixture
def many(database: Database) -> Database:
    with database.write() as session:
        for name in NAMES:
            new(session, "runs", "acquired", name=name)
        for number in (7, 100, 101, 150, 200, 201):
            new(session, "runs", "acquired", name=f"n{number}", number=number)
        new(session, "runs", "acquired", source="other", name="run1", number=7)
    return database


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("run1", {"run1", "other/run1"}),
        ("daq/run1", {"run1"}),
        ("other/run1", {"other/run1"}),
        ("other/*", {"other/run1"}),
        ("run?", {"run1", "run2", "other/run1"}),
        ("run*", {"run1", "run2", "run10", "other/run1"}),
        ("daq/run[1-2]", {"run1", "run2"}),
        ("daq/run[!2]", {"run1"}),
        ("daq/[rR]un1", {"run1", "Run1"}),
        ("RUN*", {"RUN1"}),
        ("a_b%", {"a_b%"}),
        ("a_b?", {"a_b%"}),
        ("a*b*", {"a_b%", "aXbY", "a]b"}),
        ("r%*", {"r%n"}),
        ("x\\*", {"x\\y"}),
        ("x\\y", {"x\\y"}),
        ("é*", {"été"}),
        ("100", {"100", "n100"}),
        ("0100", {"n100", "0100"}),
        ("7", {"n7", "other/run1"}),
        ("daq/7", {"n7"}),
        ("100-200", {"n100", "n101", "n150", "n200", "100-200"}),
        ("dash-ed", {"dash-ed"}),
        ("[odd]", set()),
        ("[[]odd]", {"[odd]"}),
        ("[", {"["}),
        ("[[]", {"["}),
        ("a[]]*", {"a]b", "a]"}),
        ("a[]]", {"a]"}),
        ("a[!]]*", {"a_b%", "aXbY"}),
        ("*[*]*", {"*"}),
        ("what[?]", {"what?"}),
        ("x'; DROP*", {"x'; DROP TABLE runs; --"}),
        ("new*", {"new\nline"}),
        ("-v", {"-v"}),
        ("[!a-z]", {"[", "*", "!"}),
    ],
)
def test_what_a_pattern_means(many: Database, pattern: str, found: set[str]) -> None:
    if found:
        assert names(many, pattern) == found
    else:
        with pytest.raises(NothingSuch):
            names(many, pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "/", "daq/", "/run1", "none", "daq/none", "none/run1", "*/run1", "200-100", "9" * 19, "-1", "1-", "1.5"),
        *("\0", "run1\0", "\udcff", "x" * 100_000, "*" * 100_000, "%", "____", "%%", "' OR 1=1 --", "run1%", "²"),
    ],
)
def test_what_means_nothing_is_told(many: Database, pattern: str) -> None:
    with pytest.raises(NothingSuch) as caught:
        names(many, pattern)
    assert "listdb" in str(caught.value)


def test_many_patterns_are_joined_and_each_must_mean_something(many: Database) -> None:
    assert names(many, "daq/run1", "100-150", "daq/run*") == {
        "run1",
        "run2",
        "run10",
        "n100",
        "n101",
        "n150",
        "100-200",
    } - {"100-200"}
    with pytest.raises(NothingSuch, match="'none'"):
        names(many, "run1", "none")


def test_runs_come_in_the_order_of_their_ids(many: Database) -> None:
    with many.read() as session:
        ids = [run.id for run in select_runs(session, ["run2", "run1", "n*", "run1"])]
    assert ids == sorted(set(ids))


text_of_globs = st.text(st.sampled_from("ab*?[]!-_%\\.AB"), max_size=8)


@given(glob=text_of_globs, name=st.text(st.sampled_from("ab[]!-_%\\.AB*?"), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, derandomize=True)
def test_the_database_lets_through_what_the_glob_means(sqlite_url: str, glob: str, name: str) -> None:
    """LIKE may let through more, never less; the exact look follows."""
    if "/" in glob or not any(c in glob for c in "*?["):
        return
    database = Database(sqlite_url)
    with database.write() as session:
        new(session, "runs", "acquired", name=name)
        asked = session.scalars(select(Run.name).where(run_condition(glob))).all()
        try:
            found = [run.name for run in select_runs(session, [glob])]
        except NothingSuch:
            found = []
        session.rollback()
    database.dispose()
    assert found == ([name] if fnmatchcase(name, glob) else [])
    assert set(found) <= set(asked)


# ---- jobs ----


def test_jobs_of_runs_and_modules(database: Database) -> None:
    first, second = (make_one(database, "runs", "processing", name=n) for n in ("a1", "a2"))
    for run in (first, second):
        for module in ("sums", "Sums", "plots"):
            make_one(database, "jobs", "new", run_id=run, module=module)
    with database.read() as session:
        found = {(r.run.name, r.job.module) for r in select_jobs(session, "a*", "s*")}
        assert found == {("a1", "sums"), ("a2", "sums")}
        assert len(select_jobs(session, "a1", "*")) == 3
        with pytest.raises(NothingSuch, match="its modules: Sums, plots, sums"):
            select_jobs(session, "a1", "none")
        with pytest.raises(NothingSuch, match="no run 'b'"):
            select_jobs(session, "b", "*")


def test_a_run_without_jobs_says_so(database: Database) -> None:
    make_one(database, "runs", "ondeck", name="a1")
    with database.read() as session, pytest.raises(NothingSuch, match="no jobs were made for it yet"):
        select_jobs(session, "a1", "*")


def test_more_runs_than_a_statement_takes_at_once(database: Database) -> None:
    ids = make(database, "runs", "processing", 1100, source="many")
    make_one(database, "jobs", "new", run_id=ids[0], module="m")
    make_one(database, "jobs", "new", run_id=ids[-1], module="m")
    with database.read() as session:
        assert [r.job.run_id for r in select_jobs(session, "many/*", "m")] == [ids[0], ids[-1]]


@pytest.mark.parametrize(
    ("glob", "name", "expected"), [("s*", "sums", True), ("S*", "sums", False), ("sums", "sums", True), ("*", "", True)]
)
def test_case_counts_everywhere(glob: str, name: str, expected: bool) -> None:
    assert matches(glob, name) == expected
