"""The gates: each closed and open, in words that say what would open it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session
from support.rows import new

from ondeck.config import Config
from ondeck.db import clock
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Copy, Job, Receipt, Run
from ondeck.db.tables import Probe, Site
from ondeck.rules import gates, probes
from ondeck.rules.gates import Closed

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _offset() -> Iterator[None]:
    yield
    clock.set_offset(0)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """One transaction, taken back."""
    with database.write() as session:
        yield session
        session.rollback()


def words(closed: Closed | None) -> str:
    assert closed is not None
    said = closed.words()
    assert closed.gate in said
    assert "\n" not in said
    return said


# ---- back-off ----


def test_backoff(session: Session) -> None:
    run = session.get_one(Run, new(session, "runs", "acquired", tries=3, reason="disk full"))
    assert gates.backoff(session, run) is None
    run.not_before = database_time(session) + HOUR
    session.flush()
    said = words(gates.backoff(session, run))
    assert "try 3: disk full" in said
    assert f"tried again after {run.not_before:%Y-%m-%d %H:%M:%S} UTC" in said
    clock.set_offset(3601)
    assert gates.backoff(session, run) is None


# ---- pause ----


def test_a_site_nobody_has_touched_is_open(session: Session) -> None:
    assert gates.pause(session, "here") is None
    session.add(Site(name="here"))
    session.flush()
    assert gates.pause(session, "here") is None


def test_a_paused_site(session: Session) -> None:
    session.add(Site(name="here", paused_at=database_time(session), paused_by="alice", pause_reason="new disks"))
    session.flush()
    closed = gates.pause(session, "here")
    said = words(closed)
    assert "site here is paused by alice: new disks" in said
    assert "ondeck site resume here" in said
    assert closed is not None
    assert closed.since is not None
    assert gates.pause(session, "there") is None


def test_a_pause_ends_by_itself(session: Session) -> None:
    now = database_time(session)
    session.add(Site(name="here", paused_at=now, paused_until=now + HOUR, paused_by="alice"))
    session.flush()
    assert f"opens at {now + HOUR:%Y-%m-%d %H:%M} UTC" in words(gates.pause(session, "here"))
    clock.set_offset(3601)
    assert gates.pause(session, "here") is None


def test_an_open_breaker(session: Session) -> None:
    session.add(Site(name="here", breaker_opened_at=database_time(session), breaker_reason="no route to host"))
    session.flush()
    said = words(gates.pause(session, "here"))
    assert "no route to host" in said
    assert "opens by itself when a trial succeeds" in said


# ---- slots ----


def test_slots_are_counted_over_all_live_jobs_of_the_site(session: Session, config: Config) -> None:
    assert gates.free_slots(session, config, "here") == 2
    for status in ("new", "blocked", "waiting", "done", "failed", "cancelled"):
        new(session, "jobs", status, site="here")
    new(session, "jobs", "running", site="there")
    assert (gates.live_jobs(session, "here"), gates.free_slots(session, config, "here")) == (0, 2)
    assert gates.slots(session, config, "here") is None
    new(session, "jobs", "submitting", site="here")
    assert gates.free_slots(session, config, "here") == 1
    new(session, "jobs", "pending", site="here")
    assert "all slots of site here are taken" in words(gates.slots(session, config, "here"))
    new(session, "jobs", "running", site="here")
    assert (gates.live_jobs(session, "here"), gates.free_slots(session, config, "here")) == (3, 0)


def test_without_a_limit_there_are_always_slots(session: Session, config: Config) -> None:
    """(A batch system with a queue of its own; `local` always has a limit.)"""
    site = config.sites["here"]
    assert site.batch is not None
    queue = site.model_copy(update={"batch": site.batch.model_copy(update={"slots": None})})
    config = config.model_copy(update={"sites": {**config.sites, "endless": queue}})
    for _ in range(3):
        new(session, "jobs", "running", site="endless")
    assert gates.free_slots(session, config, "endless") is None
    assert gates.slots(session, config, "endless") is None


@pytest.mark.parametrize("site", ["bare", "unknown"])
def test_a_site_without_a_batch_system_has_none(session: Session, config: Config, site: str) -> None:
    said = words(gates.slots(session, config, site))
    assert f"site {site} has no batch system" in said
    if site in config.sites:
        assert gates.free_slots(session, config, site) == 0


# ---- space ----


def seen(session: Session, free: int, holds: timedelta = HOUR, error: str | None = None) -> None:
    probes.record(session, "space", "disk", {} if error else {"free": free}, holds, error)


def test_space_that_was_never_seen(session: Session, config: Config) -> None:
    assert "was not seen yet; DiskMonitor measures it" in words(gates.space(session, config, "disk", 1))


def test_space_to_the_byte(session: Session, config: Config) -> None:
    seen(session, 1000)
    assert gates.space(session, config, "disk", 900) is None, "the reserve is 100"
    said = words(gates.space(session, config, "disk", 901))
    assert "storage disk has" in said
    assert "opens when room is made there" in said


def test_what_is_on_its_way_takes_space(session: Session, config: Config) -> None:
    seen(session, 1000)
    new(session, "copies", "writing", storage="disk", nbytes=500)
    new(session, "copies", "writing", storage="disk", nbytes=None)
    new(session, "copies", "verified", storage="disk", nbytes=10**9)
    new(session, "copies", "writing", storage="tape", nbytes=10**9)
    assert gates.space(session, config, "disk", 400) is None
    assert gates.space(session, config, "disk", 401) is not None


def test_a_runs_own_broken_off_copy_is_not_counted_twice(session: Session, config: Config) -> None:
    """Else a run that was broken off when more than half of the room was its own could never go on."""
    seen(session, 1000)
    run = new(session, "runs", "transferring", nbytes=800)
    new(session, "copies", "writing", run_id=run, storage="disk", nbytes=800)
    assert gates.space(session, config, "disk", 800) is not None
    assert gates.space(session, config, "disk", 800, runs=[run]) is None


def test_an_expired_probe_is_a_closed_gate_that_says_so(session: Session, config: Config) -> None:
    seen(session, 10**12, timedelta(seconds=30))
    assert gates.space(session, config, "disk", 1) is None
    clock.set_offset(31)
    closed = gates.space(session, config, "disk", 1)
    said = words(closed)
    assert "was last seen at" in said
    assert "DiskMonitor measures it again" in said


def test_a_storage_that_could_not_be_seen(session: Session, config: Config) -> None:
    seen(session, 0, error="storage disk is not mounted")
    assert "not mounted" in words(gates.space(session, config, "disk", 1))
    seen(session, 10**6)
    assert gates.space(session, config, "disk", 1) is None


# ---- data ----


def test_data(session: Session) -> None:
    run = new(session, "runs", "processing")
    assert gates.data(session, run, None) is None
    assert "copy on storage disk is not there" in words(gates.data(session, run, "disk"))
    session.get_one(Copy, new(session, "copies", "verified", run_id=run, storage="disk"))
    assert gates.data(session, run, "disk") is None
    assert gates.data(session, run, "tape") is not None


@pytest.mark.parametrize("status", ["absent", "writing", "suspect", "deleting"])
def test_data_that_are_not_verified(session: Session, status: str) -> None:
    run = new(session, "runs", "processing")
    new(session, "copies", status, run_id=run, storage="disk")
    assert f"is {status}" in words(gates.data(session, run, "disk"))


def test_data_that_are_to_be_removed(session: Session) -> None:
    run = new(session, "runs", "processing")
    new(session, "copies", "verified", run_id=run, storage="disk", wanted=False)
    assert "being removed" in words(gates.data(session, run, "disk"))


@pytest.mark.parametrize("columns", [{"form": "bundled"}, {"form": "compressed"}])
def test_another_form_is_no_data(session: Session, columns: dict[str, Any]) -> None:
    run = new(session, "runs", "processing")
    new(session, "copies", "verified", run_id=run, storage="disk", **columns)
    assert "not there" in words(gates.data(session, run, "disk"))


def test_a_jobs_outputs_are_no_data_of_its_run(session: Session) -> None:
    run = new(session, "runs", "processing")
    job = new(session, "jobs", "done", run_id=run)
    new(session, "copies", "verified", run_id=run, job_id=job, storage="disk")
    assert "not there" in words(gates.data(session, run, "disk"))


def test_data_under_an_open_receipt_may_bear_another_name(session: Session) -> None:
    run = new(session, "runs", "processing")
    copy = new(session, "copies", "verified", run_id=run, storage="disk")
    receipt = Receipt(copy_id=copy, opened_at=database_time(session), rule="full", actor="x")
    session.add(receipt)
    session.flush()
    assert "removal" in words(gates.data(session, run, "disk"))
    receipt.closed_at = database_time(session)
    session.flush()
    assert gates.data(session, run, "disk") is None


# ---- together ----


def test_a_job_asks_pause_and_data(session: Session, config: Config) -> None:
    run = session.get_one(Run, new(session, "runs", "processing", listener="physics"))
    job = session.get_one(Job, new(session, "jobs", "blocked", run_id=run.id, site="here"))
    closed = gates.job_gates(session, config, job, run)
    assert closed is not None
    assert closed.gate == "data"
    new(session, "copies", "verified", run_id=run.id, storage="disk")
    assert gates.job_gates(session, config, job, run) is None
    session.add(Site(name="here", paused_at=database_time(session), paused_by="alice"))
    session.flush()
    closed = gates.job_gates(session, config, job, run)
    assert closed is not None
    assert closed.gate == "pause"


def test_the_first_closed_gate_is_the_answer() -> None:
    first, second = Closed("a", "x", "y"), Closed("b", "x", "y")
    assert gates.first_closed([None, first, second]) is first
    assert gates.first_closed([None, None]) is None
    assert gates.first_closed([]) is None


# ---- probes ----


def test_a_probe_is_kept_up_to_date(session: Session) -> None:
    assert probes.last(session, "space", "disk") is None
    seen(session, 5)
    first = probes.last(session, "space", "disk")
    assert first is not None
    assert (first.value, first.error) == ({"free": 5}, None)
    assert first.valid_until - first.seen_at == HOUR
    seen(session, 6)
    assert session.query(Probe).count() == 1
    again = probes.last(session, "space", "disk")
    assert again is not None
    assert again.value == {"free": 6}


def test_only_another_answer_wakes_the_daemons(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    waiter = database.waiter()

    def woken_by(free: int, error: str | None = None, holds: timedelta = HOUR) -> bool:
        with database.write() as session:
            seen(session, free, holds, error)
        return waiter.wait(0.3)

    assert woken_by(5), "the first"
    assert not woken_by(6)
    assert woken_by(0, "away")
    assert not woken_by(0, "away still")
    assert woken_by(5, holds=timedelta(0))
    assert woken_by(5), "it was out of date"
    waiter.close()
    database.dispose()
