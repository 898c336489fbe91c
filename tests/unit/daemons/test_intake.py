"""How what a source says becomes rows: the door for names and parameters, listeners, rows that were inserted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import select
from support.rows import check_history, execute, history, make_one, row
from support.smallconfig import make_config

from ondeck.config import Config
from ondeck.daemons.base import Lane
from ondeck.daemons.insertedrows import InsertedRows
from ondeck.daemons.intake import NAME_LENGTH, Refusal, candidate, columns
from ondeck.daemons.newruns import NewRuns
from ondeck.db.engine import Database
from ondeck.db.models import Copy, Run
from ondeck.db.tables import Outbox
from ondeck.db.tables import Source as SourceState
from ondeck.sites.errors import Machinery
from ondeck.sites.work import Work
from ondeck.sources import Found, Source
from ondeck.sources.adoption import ASK_ABOVE, AdoptedAlready, NoSuchRun, begin_at, left_out
from ondeck.sources.parameters import BadParameters, parse

PHYSICS = {"run_type": "physics", "number": 7, "events": 10}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("intake"))


class Pretend(Source):
    """A source in memory."""

    Options = BaseModel

    def __init__(self, *runs: Found) -> None:
        super().__init__("daq", None, None)  # type: ignore[arg-type]
        self.runs = {run.name: run for run in runs}
        self.asked: list[Sequence[str]] = []
        self.away = False

    def complete(self, work: Work) -> list[str]:
        return list(self.runs)

    def details(self, names: Sequence[str], work: Work) -> list[Found]:
        self.asked.append(names)
        if self.away:
            raise Machinery
        return [self.runs[name] for name in names if name in self.runs]


def found(name: str, /, **parameters: Any) -> Found:
    return Found(name, name, 1000, parameters)


# ---- columns ----


def test_the_columns_of_a_good_run() -> None:
    given_ = {
        "number": 7,
        "run_type": "physics",
        "events": 5,
        "start": "2026-01-31T12:00:00",
        "stop": 1_700_000_000,
        "x": [1],
    }
    assert columns(Found("r7", "r7", 9, given_)) == {
        "number": 7,
        "run_type": "physics",
        "started_at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "stopped_at": datetime.fromtimestamp(1_700_000_000, UTC),
        "events": 5,
        "nbytes": 9,
        "params": given_,
    }


def test_a_name_of_digits_is_the_number_unless_it_is_given() -> None:
    assert columns(found("00152254"))["number"] == 152254
    assert columns(found("152254", number=3))["number"] == 3
    assert columns(found("9" * 30))["number"] is None
    assert columns(found("run7"))["number"] is None


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (Found("r", "r", error="r/run.json: byte 3 is not UTF-8"), "byte 3 is not UTF-8"),
        (found("a b"), "can't be a run's name"),
        (found("../etc"), "can't be a run's name"),
        (found("r", name="other"), "which is another run"),
        (found("r", number=-1), "a whole number from 0"),
        (found("r", number=2**63), "a whole number from 0"),
        (found("r", number=True), "a whole number from 0"),
        (found("r", events="many"), "a whole number from 0"),
        (found("r", run_type=["x"]), "at most 200 characters"),
        (found("r", run_type="x" * 201), "at most 200 characters"),
        (found("r", start="yesterday"), "2026-01-31T12:00:00Z is needed"),
        (found("r", stop=1e300), "2026-01-31T12:00:00Z is needed"),
        (found("r", stop=True), "2026-01-31T12:00:00Z is needed"),
    ],
)
def test_what_is_refused_and_why(run: Found, why: str) -> None:
    with pytest.raises(Refusal, match=why):
        columns(run)
    row_, words = candidate("daq", run)
    assert words is not None
    assert why in words
    assert row_ == {"source": "daq", "name": run.name, "nbytes": run.nbytes}


def test_a_very_long_name_is_cut_before_it_is_stored() -> None:
    row_, why = candidate("daq", found("x" * 10_000_000))
    assert len(row_["name"]) == NAME_LENGTH
    assert why is not None
    assert len(why) < 500


documents = st.dictionaries(
    st.text(max_size=12) | st.sampled_from(["number", "events", "run_type", "start", "stop", "name"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    | st.sampled_from([2**63, -1, 10**400, 1e308, 5e-324, "\x00", "\ud800", "2026-01-31", "0001-01-01"])
    | st.just("9999-12-31T23:59:59-12:00"),
    max_size=5,
)  # fmt: skip


@given(documents)
@settings(suppress_health_check=list(HealthCheck), max_examples=60, derandomize=True)
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)  # JSONB gives a large float back as an integer
def test_whatever_passes_the_door_fits_in_the_database(database: Database, document: dict[str, Any]) -> None:
    """A DAQ may write anything: it is refused with words, or stored and read back as it is."""
    try:
        parameters = parse("r/run.json", json.dumps(document).encode())
    except BadParameters as error:
        assert str(error).startswith("r/run.json: ")  # noqa: PT017
        return
    row_, why = candidate("daq", Found("r", "r", 1, parameters))
    if why is not None:
        assert why.isprintable()
        return
    with database.write() as session:
        session.add(Run(**row_, status="acquired"))
        session.flush()
        session.expire_all()
        there = session.scalars(select(Run)).one()
        assert as_floats(there.params) == as_floats(parameters)
        assert there.started_at == row_["started_at"]
        session.rollback()


def as_floats(value: Any) -> Any:
    """`value` with its numbers as floats: PostgreSQL gives 1e308 back as a whole number."""
    match value:
        case dict():
            return {key: as_floats(one) for key, one in value.items()}
        case list():
            return [as_floats(one) for one in value]
        case bool():
            return value
        case int() | float():
            return float(value)
    return value


# ---- new runs ----


class Provider:
    """RunsProvider's two halves on a pretended source."""

    def __init__(self, database: Database, config: Config) -> None:
        self.database = database
        self.new, self.rows = (
            NewRuns(config, database, "daq"),
            InsertedRows(config, database, "daq", timedelta(seconds=60)),
        )
        self.lane = Lane("daq", "RunsProvider")

    def find(self, source: Source) -> int:
        return self.new.step(self.lane, source, Work())

    def take(self, source: Source) -> int:
        return self.rows.step(self.lane, source, Work())

    def run(self, name: str) -> Run:
        with self.database.read() as session:
            return session.scalars(select(Run).where(Run.name == name)).one()

    def statuses(self) -> dict[str, str]:
        with self.database.read() as session:
            return dict(session.execute(select(Run.name, Run.status)).all())


@pytest.fixture
def provider(database: Database, config: Config) -> Iterator[Provider]:
    return Provider(database, config)


def test_a_new_run_is_taken_by_its_listener(provider: Provider) -> None:
    source = Pretend(found("r1", **PHYSICS))
    assert provider.find(source) == 1
    run = provider.run("r1")
    assert (run.status, run.listener, run.to_archive, run.number, run.events, run.nbytes) == (
        *("acquired", "physics", True, 7, 10, 1000),
    )  # fmt: skip
    assert history(provider.database, "runs", run.id)[0].reason == "listener physics takes it"
    with provider.database.read() as session:
        copy = session.scalars(select(Copy)).one()
        assert (copy.storage, copy.path, copy.status, copy.nbytes) == ("daq", "r1", "writing", 1000)
        state = session.get_one(SourceState, "daq")
        assert (state.adopted, state.left_out, state.error) == ("all", [], None)
    assert provider.find(source) == 0


def test_a_listener_without_an_archive_asks_for_none(provider: Provider) -> None:
    provider.find(Pretend(found("r1", run_type="physics", number=5000)))
    assert (provider.run("r1").listener, provider.run("r1").to_archive) == ("long", False)


def test_what_no_listener_takes_is_looked_at_once(provider: Provider) -> None:
    source = Pretend(found("r1", run_type="pedestal"), found("r2", **PHYSICS))
    assert provider.find(source) == 1
    assert provider.find(source) == 0
    assert provider.statuses() == {"r2": "acquired"}
    assert source.asked == [["r1", "r2"]]


def test_what_is_refused_becomes_a_failed_row_and_a_message(provider: Provider) -> None:
    source = Pretend(found("x; touch pwned", **PHYSICS), found("r2", number="seven"), found("r3", **PHYSICS))
    assert provider.find(source) == 3
    assert provider.statuses() == {"x; touch pwned": "failed", "r2": "failed", "r3": "acquired"}
    run = provider.run("r2")
    assert (run.failed_from, run.listener) == ("acquired", None)
    assert "a whole number" in (run.reason or "")
    with provider.database.read() as session:
        assert len(session.scalars(select(Outbox).where(Outbox.sink == "mail")).all()) == 2
    assert provider.find(source) == 0, "once"


def test_a_row_that_is_there_is_left_alone(provider: Provider) -> None:
    make_one(provider.database, "runs", "archived", name="r1")
    assert provider.find(Pretend(found("r1", **PHYSICS))) == 0
    assert provider.run("r1").status == "archived"


def test_two_providers_at_once_make_one_row(provider: Provider, config: Config) -> None:
    source = Pretend(found("r1", **PHYSICS))
    other = Provider(provider.database, config)
    names, _ = other.new.new(["r1"])
    assert names == ["r1"]
    assert provider.find(source) == 1
    assert other.find(source) == 0
    assert len(history(provider.database, "runs", provider.run("r1").id)) == 1


def test_more_than_one_batch_is_taken_in_turns(provider: Provider, config: Config) -> None:
    with provider.database.write() as session:
        begin_at(session, "daq", "all", [])
    source = Pretend(*(found(f"r{n}", **PHYSICS) for n in range(250)))
    assert provider.find(source) == 201
    assert provider.find(source) == 50
    assert provider.find(source) == 0


def test_a_run_that_vanishes_is_no_trouble(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    source = Pretend(found("r1", **PHYSICS))
    source.complete = lambda work: ["r1", "gone"]  # type: ignore[method-assign]
    assert provider.find(source) == 1
    assert "vanished" in caplog.text


# ---- where a source begins ----


def many(count: int = ASK_ABOVE + 1) -> Pretend:
    return Pretend(*(found(f"r{n}", **PHYSICS) for n in range(count)))


def test_a_first_look_at_many_asks_once_and_takes_none(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    source = many()
    for _ in range(3):
        assert provider.find(source) == 0
    assert provider.statuses() == {}
    with provider.database.read() as session:
        state = session.get_one(SourceState, "daq")
        assert state.adopted is None
        assert "ondeck adopt daq --from-now | --after RUN | --all" in (state.error or "")
        assert f"{ASK_ABOVE + 1} runs" in (state.error or "")
        assert len(session.scalars(select(Outbox)).all()) == 2
    assert caplog.text.count("ondeck adopt") == 1


def test_a_first_look_at_few_takes_all(provider: Provider) -> None:
    assert provider.find(many(ASK_ABOVE)) == ASK_ABOVE


@pytest.mark.parametrize(
    ("begin", "left", "taken"),
    [("all", 0, ASK_ABOVE + 1), ("now", ASK_ABOVE + 1, 0), ("after:r40", 41, ASK_ABOVE - 40)],
)
def test_what_a_person_said(provider: Provider, begin: str, left: int, taken: int) -> None:
    source = many()
    provider.find(source)
    with provider.database.write() as session:
        begin_at(session, "daq", begin, left_out(begin, source.complete(Work())))
    assert provider.find(source) == taken
    source.runs["later"] = found("later", **PHYSICS)
    assert provider.find(source) == 1
    with provider.database.read() as session:
        state = session.get_one(SourceState, "daq")
        assert (state.adopted, len(state.left_out), state.error) == (begin, left, None)


def test_it_is_said_once(database: Database) -> None:
    with database.write() as session:
        begin_at(session, "daq", "now", ["a"])
    with pytest.raises(AdoptedAlready, match="begins at 'now' already"), database.write() as session:
        begin_at(session, "daq", "all", [])
    with database.write() as session:
        begin_at(session, "daq", "all", [], again=True)
        assert session.get_one(SourceState, "daq").left_out == []


def test_the_configuration_may_say_it(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = make_config(tmp_path_factory.mktemp("begin"))
    source = config.sources["daq"].model_copy(update={"begin": "after:r49"})
    provider = Provider(database, config.model_copy(update={"sources": {"daq": source}}))
    assert provider.find(many()) == 1
    assert provider.statuses() == {"r50": "acquired"}
    missing = config.sources["daq"].model_copy(update={"begin": "after:none"})
    other = NewRuns(config.model_copy(update={"sources": {"other": missing}}), database, "other")
    with pytest.raises(NoSuchRun, match="the last one there is r50"):
        other.new(many().complete(Work()))


# ---- rows that were inserted ----


def insert(provider: Provider, name: str, **values: Any) -> int:
    return make_one(provider.database, "runs", values.pop("status", "acquired"), name=name, **values)


def test_a_row_that_a_daq_has_inserted_gets_its_listener(provider: Provider) -> None:
    execute(provider.database, "INSERT INTO runs (name, status) VALUES ('r1', 'acquired')")
    assert provider.take(Pretend(found("r1", **PHYSICS))) == 1
    run = provider.run("r1")
    assert (run.status, run.listener, run.to_archive, run.number, run.lease_until) == (
        "acquired",
        "physics",
        True,
        7,
        None,
    )
    check_history(provider.database, "runs", run.id)
    assert provider.take(Pretend(found("r1", **PHYSICS))) == 0
    with provider.database.read() as session:
        assert session.scalars(select(Copy)).one().path == "r1"


def test_what_stands_in_the_row_comes_before_what_the_source_says(provider: Provider) -> None:
    insert(provider, "r1", events=0, run_type="physics", params={"a": 1}, number=3)
    provider.take(Pretend(found("r1", run_type="pedestal", events=99, number=4, b=2, a=5)))
    run = provider.run("r1")
    assert (run.events, run.run_type, run.number) == (0, "physics", 3)
    assert run.params == {"run_type": "pedestal", "events": 99, "number": 4, "b": 2, "a": 1}


def test_its_own_columns_will_do(provider: Provider) -> None:
    """No file of parameters: what was inserted says enough."""
    insert(provider, "r1", run_type="physics", number=5)
    bare = Found("r1", "r1", 5, error="r1 has no run.json: its parameters are unknown", bare=True)
    assert provider.take(Pretend(bare)) == 1
    assert provider.run("r1").listener == "physics"


def test_a_row_without_its_directory_waits_however_long(provider: Provider) -> None:
    run = insert(provider, "r1", tries=10_000)
    assert provider.take(Pretend()) == 0
    there = row(provider.database, "runs", run)
    assert (there.status, there.tries, there.lease_until) == ("acquired", 10_001, None)
    assert "no directory r1" in there.reason
    assert there.not_before is not None


def test_a_source_that_is_away_delays_them(provider: Provider) -> None:
    run = insert(provider, "r1")
    source = Pretend()
    source.away = True
    assert provider.take(source) == 0
    assert row(provider.database, "runs", run).tries == 1


@pytest.mark.parametrize(
    ("name", "columns_", "why"),
    [
        ("bad name", {}, "can't be a run's name"),
        ("r1", {"run_type": "pedestal"}, "no listener takes it"),
    ],
)
def test_a_row_that_can_not_be_taken_is_failed(
    provider: Provider, name: str, columns_: dict[str, Any], why: str
) -> None:
    run = insert(provider, name, **columns_)
    assert provider.take(Pretend(Found("r1", "r1", 5, {}))) == 1
    there = row(provider.database, "runs", run)
    assert (there.status, there.failed_from) == ("failed", "acquired")
    assert why in there.reason


def test_a_row_of_an_unknown_source_is_failed_with_the_known_ones(provider: Provider) -> None:
    run = insert(provider, "r1", source="nonsense")
    assert provider.take(Pretend()) == 1
    assert "the sources are: daq" in row(provider.database, "runs", run).reason


def test_rows_that_have_a_listener_are_left_alone(provider: Provider) -> None:
    run = insert(provider, "r1", listener="physics")
    assert provider.take(Pretend(found("r1", **PHYSICS))) == 0
    assert row(provider.database, "runs", run).epoch == 0


def test_one_garbled_run_does_not_stop_the_others(provider: Provider) -> None:
    for name in ("r1", "r2", "r3"):
        insert(provider, name)
    source = Pretend(found("r1", **PHYSICS), found("r2", number="x"), found("r3", **PHYSICS))
    assert provider.take(source) == 3
    assert provider.statuses() == {"r1": "acquired", "r2": "failed", "r3": "acquired"}


def test_who_was_overtaken_takes_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person cancels the run while the source is asked."""
    run = insert(provider, "r1")
    source = Pretend(found("r1", **PHYSICS))
    asked: Callable[..., list[Found]] = source.details

    def details(names: Sequence[str], work: Work) -> list[Found]:
        execute(provider.database, "UPDATE runs SET status = 'cancelled', epoch = epoch + 1")
        return asked(names, work)

    monkeypatch.setattr(source, "details", details)
    assert provider.take(source) == 0
    assert row(provider.database, "runs", run).listener is None
    with provider.database.read() as session:
        assert session.scalars(select(Copy)).all() == []
