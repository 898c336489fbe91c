"""When a run is done: what its jobs have come to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from support.rows import attempt, check_history, history, make_one, new, row, status
from support.smallconfig import make_config

from ondeck.config import Config
from ondeck.daemons import concluding
from ondeck.daemons.base import Lane
from ondeck.daemons.concluding import Concluder
from ondeck.daemons.places import Places
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Job, Run
from ondeck.db.steps import advance, look
from ondeck.db.tables import Outbox
from ondeck.sites.errors import Machinery

LEASE = timedelta(seconds=60)


class Away(Machinery):
    """The site {site} is away."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("concluding"))


@pytest.fixture
def conclude(database: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """One step of the lane; nothing is published outside."""
    monkeypatch.setattr(Concluder, "_publish", lambda *_: None)
    concluder = Concluder(config, database, LEASE)
    lane = Lane("(runs)", "Process")
    return lambda: concluder.step(lane, Places(config, database))


def run_with(database: Database, *jobs: str | tuple[str, dict[str, Any]], **columns: Any) -> int:
    """A processing run whose jobs have these statuses, some with further columns."""
    with database.write() as session:
        run = new(session, "runs", "processing", **columns)
        for job in jobs:
            now, more = job if isinstance(job, tuple) else (job, {})
            tried = more.pop("attempt", None)
            made = new(session, "jobs", now, run_id=run, **more)
            if tried is not None:
                attempt(session, made, **tried)
    return run


def ended(database: Database) -> dict[str, Any]:
    with database.read() as session:
        return {"ended_at": database_time(session)}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (("done",), "processed"),
        (("done", "cancelled"), "processed"),
        (("cancelled",), "processed"),
        ((), "processed"),
        (("done", "waiting"), "processed"),
        (("done", "failed"), "failed"),
        (("waiting", "failed"), "failed"),
        (("cancelled", "failed"), "failed"),
        (("failed", "blocked"), "processing"),
        (("failed", "new"), "processing"),
        (("done", "submitting"), "processing"),
        (("failed", "pending"), "processing"),
        (("failed", "running"), "processing"),
        (("waiting", "blocked"), "processing"),
    ],
)
def test_what_a_run_has_come_to(
    database: Database, conclude: Callable[[], int], jobs: tuple[str, ...], expected: str
) -> None:
    run = run_with(database, *jobs)
    assert conclude() == (0 if expected == "processing" else 1)
    there = row(database, "runs", run)
    assert there.status == expected
    assert there.lease_until is None
    assert there.failed_from == ("ondeck" if expected == "failed" else None)
    check_history(database, "runs", run)


def test_an_optional_jobs_failure_does_not_count(database: Database, conclude: Callable[[], int]) -> None:
    optional = {"settings": {"optional": True}}
    run = run_with(database, "done", ("failed", optional))
    both = run_with(database, "failed", ("failed", dict(optional)))
    conclude()
    assert (status(database, "runs", run), status(database, "runs", both)) == ("processed", "failed")


def test_an_optional_job_must_have_ended_too(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, "done", ("running", {"settings": {"optional": True}}))
    assert conclude() == 0
    assert status(database, "runs", run) == "processing"


def test_the_reason_names_what_failed(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(
        database,
        ("failed", {"module": "sums", "reason": "exit code 3"}),
        ("waiting", {"module": "plots", "reason": "refused: no such queue",
                     "attempt": {"verdict": "refused", **ended(database)}}),
        "done",
    )  # fmt: skip
    conclude()
    reason = row(database, "runs", run).reason
    assert reason == "sums is failed: exit code 3; plots is waiting: refused: no such queue"
    with database.read() as session:
        messages = session.scalars(select(Outbox)).all()
    assert [m.sink for m in messages] == ["mail", "shift"]
    assert all("exit code 3" in m.body for m in messages)


def test_a_refused_job_alone_fails_its_run(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, ("waiting", {"attempt": {"verdict": "refused", **ended(database)}}))
    conclude()
    assert status(database, "runs", run) == "failed"


def test_the_modules_that_wait_for_a_person_are_named(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, ("waiting", {"module": "sums"}), "done")
    conclude()
    assert row(database, "runs", run).reason == "waiting for a person: sums"


def test_what_may_still_run_keeps_the_run(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, "done", ("waiting", {"attempt": {}}))
    assert conclude() == 0
    with database.write() as session:
        session.query(Attempt).one().ended_at = database_time(session)
    assert conclude() == 1
    assert status(database, "runs", run) == "processed"


# ---- cancel was wanted ----


def test_a_run_is_cancelled_when_its_last_live_job_has_ended(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, "running", "blocked", "new", "waiting", "done", wanted="cancel")
    assert conclude() == 0
    with database.write() as session:
        job = session.scalar(select(Job).where(Job.run_id == run, Job.status == "running"))
        assert job is not None
        advance(session, look(session, Job, [job.id]), "done", "its end was seen")
    assert conclude() == 1
    there = row(database, "runs", run)
    assert (there.status, there.wanted, there.failed_from) == ("cancelled", "", "ondeck")
    with database.read() as session:
        assert sorted(session.scalars(select(Job.status))) == ["cancelled", "cancelled", "cancelled", "done", "done"]


def test_cancel_wins_over_failed(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, "failed", wanted="cancel")
    conclude()
    assert status(database, "runs", run) == "cancelled"


def test_what_may_still_run_delays_a_cancel_too(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, ("waiting", {"attempt": {}}), wanted="cancel")
    assert conclude() == 0
    assert status(database, "runs", run) == "processing"


# ---- around it ----


def test_a_run_that_fails_twice_is_told_twice(database: Database, conclude: Callable[[], int]) -> None:
    run = run_with(database, "failed")
    for count in (1, 2):
        conclude()
        with database.write() as session:
            assert len(session.scalars(select(Outbox).where(Outbox.sink == "mail")).all()) == count
            advance(session, look(session, Run, [run]), "processing", "reset", fence=True)


def test_only_processing_runs_are_looked_at(database: Database, conclude: Callable[[], int]) -> None:
    for one in ("acquired", "transferring", "ondeck", "processed", "archived", "failed", "cancelled"):
        make_one(database, "jobs", "done", run_id=make_one(database, "runs", one))
    assert conclude() == 0


def test_a_job_that_is_reopened_meanwhile_keeps_the_run(
    database: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look was before the claim: under the lock everything is asked once more."""
    run = run_with(database, ("done", {"site": "here", "published_attempt": 1}))

    def reopen(*_: object) -> None:
        with database.write() as session:
            job = session.scalar(select(Job.id).where(Job.run_id == run))
            advance(session, look(session, Job, [job or 0]), "blocked", "reset", fence=True)

    monkeypatch.setattr(Concluder, "_publish", reopen)
    assert Concluder(config, database, LEASE).step(Lane("(runs)"), Places(config, database)) == 0
    there = row(database, "runs", run)
    assert (there.status, there.lease_until) == ("processing", None)
    assert len(history(database, "runs", run)) == 1


def test_a_site_that_is_away_holds_up_its_own_runs_only(
    database: Database, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = run_with(database, ("done", {"site": "here", "published_attempt": 1}))
    others = [run_with(database, "done") for _ in range(3)]

    def publish(_self: object, jobs: list[Job], *_: object) -> None:
        if first in [job.run_id for job in jobs]:
            raise Away(site="here")

    monkeypatch.setattr(Concluder, "_publish", publish)
    concluder, lane, places = Concluder(config, database, LEASE), Lane("(runs)"), Places(config, database)
    with caplog.at_level(logging.WARNING):
        assert concluder.step(lane, places) == 3
    assert {status(database, "runs", r) for r in others} == {"processed"}
    assert (status(database, "runs", first), row(database, "runs", first).lease_until) == ("processing", None)
    assert "can't be published" in caplog.text
    assert concluder.step(lane, places) == 0, "it is left alone for a while"

    monkeypatch.setattr(Concluder, "_publish", lambda *_: None)
    monkeypatch.setattr(concluding, "_AGAIN", timedelta(0))
    with database.write() as session:
        session.get_one(Run, first).not_before = None
    assert concluder.step(lane, places) == 1


def test_what_is_ready_is_said_without_touching_anything(database: Database, config: Config) -> None:
    done, failed = run_with(database, "done"), run_with(database, "failed")
    run_with(database, "running")
    with database.read() as session:
        found = {run.id: str(to) for run, to, _ in Concluder(config, database, LEASE).ready(session)}
    assert found == {done: "processed", failed: "failed"}
    assert {row(database, "runs", r).epoch for r in (done, failed)} == {0}
