from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from ondeck.daemons import leases
from ondeck.daemons.leases import Keeper
from ondeck.db import actor as actors
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.steps import Claim, advance, claim
from ondeck.sites.work import Work

LONG, SHORT = timedelta(minutes=5), timedelta(seconds=1)


@pytest.fixture
def keeper(database: Database) -> Keeper:
    return Keeper(database, lambda: LONG, lambda: SHORT)


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    before = actors._actor
    actors.set_actor(f"Transfer@{socket.gethostname()}:4711")
    yield
    actors._actor = before


def claims_of(database: Database, count: int = 2) -> list[Claim]:
    with database.write() as session:
        for number in range(count):
            session.execute(insert(Run).values(name=f"r{number}", status="acquired"))
    with database.write() as session:
        return claim(session, Run, "acquired", count, lease=SHORT)


def runs(database: Database) -> list[Run]:
    with database.read() as session:
        return list(session.scalars(select(Run).order_by(Run.id)))


def test_all_worked_tables_are_known() -> None:
    assert {"runs", "jobs", "copies", "bundles", "inbox", "outbox"} <= set(leases.worked_models())
    assert leases.worked_models()["runs"] is Run
    assert "transitions" not in leases.worked_models()


def test_leases_are_renewed_while_work_gets_on(database: Database, keeper: Keeper) -> None:
    claims = claims_of(database)
    before = [run.lease_until for run in runs(database)]
    work = Work("w")
    with keeper.guard(work, claims):
        keeper.look()
    after = [run.lease_until for run in runs(database)]
    assert all(b and a and (a - b).total_seconds() > 200 for a, b in zip(after, before, strict=True))
    assert not work.cancelled
    keeper.look()  # nothing is held any more
    assert [run.lease_until for run in runs(database)] == after


def test_a_lost_lease_cancels_the_work_and_no_other(database: Database, keeper: Keeper) -> None:
    first, second = claims_of(database)
    mine, other = Work("mine"), Work("other")
    with keeper.guard(mine, [first]), keeper.guard(other, [second]):
        with database.write() as session:
            session.execute(update(Run).where(Run.id == first.id).values(epoch=Run.epoch + 1))
        keeper.look()
        assert mine.cancelled
        assert not other.cancelled


def test_a_row_that_was_taken_by_a_person_is_lost_too(database: Database, keeper: Keeper) -> None:
    claims = claims_of(database)
    work = Work("w")
    with keeper.guard(work, claims):
        with database.write() as session:
            advance(session, claims[:1], "failed", "a verb", fence=True)
        keeper.look()
    assert work.cancelled


def test_a_row_that_its_holder_has_finished_is_not_lost(database: Database, keeper: Keeper) -> None:
    claims = claims_of(database)
    work = Work("w")
    with keeper.guard(work, claims):
        with database.write() as session:
            advance(session, claims[:1], "transferring", "done with this one")
        for _ in range(2):
            keeper.look()
            assert not work.cancelled
    first, second = runs(database)
    assert first.lease_until is None
    assert second.lease_until is not None


def test_claims_can_be_exchanged(database: Database, keeper: Keeper) -> None:
    claims = claims_of(database)
    work = Work("w")
    with keeper.guard(work, claims):
        with database.write() as session:
            moved = advance(session, claims, "transferring", "go", keep=True, fence=True)
        keeper.keep(work, moved)
        keeper.look()
        assert not work.cancelled
    assert all(run.lease_until for run in runs(database))


def test_work_without_progress_loses_its_lease(database: Database, keeper: Keeper) -> None:
    claims = claims_of(database)
    lazy, busy = Work("lazy"), Work("busy")
    with keeper.guard(lazy, claims[:1]), keeper.guard(busy, claims[1:]):
        for _ in range(4):
            keeper._last -= 0.5  # half a second passes
            busy.touch()
            keeper.look()
        assert lazy.cancelled
        assert not busy.cancelled
        stopped = runs(database)[0].lease_until
        keeper.look()
        assert runs(database)[0].lease_until == stopped


def test_time_in_which_the_process_was_stopped_is_not_held_against_the_work(database: Database) -> None:
    keeper = Keeper(database, lambda: timedelta(seconds=1), lambda: timedelta(seconds=5))
    claims = claims_of(database)
    work = Work("w")
    with keeper.guard(work, claims):
        keeper._last -= 3600
        keeper.look()
    assert not work.cancelled


def test_its_thread_survives_a_database_that_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(database, lambda: timedelta(seconds=0.2), lambda: LONG)
    looked, calls = threading.Event(), []

    def look() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("away")
        looked.set()

    monkeypatch.setattr(keeper, "look", look)
    keeper.start()
    assert looked.wait(10)
    keeper.stop()
    keeper._thread.join(5)
    assert not keeper._thread.is_alive()


def test_leases_of_the_dead_are_given_back(database: Database) -> None:
    host = socket.gethostname()
    holders = {
        f"Transfer@{host}:11": True,  # dead
        f"Transfer@{host}:12": False,  # lives
        f"Transfer@{host}:4711": True,  # had the pid that we have now
        f"Transfer@{host}.else:11": False,
        f"Process@{host}:11": False,
        f"Transfer@{host}:11x": False,
        "alice": False,
    }
    claims = claims_of(database, len(holders))
    with database.write() as session:
        for one, holder in zip(claims, holders, strict=True):
            session.execute(update(Run).where(Run.id == one.id).values(leased_by=holder))
    assert leases.release_dead(database, "Transfer", alive=lambda pid: pid == 12) == 2
    for run, one, given_back in zip(runs(database), claims, holders.values(), strict=True):
        assert (run.lease_until is None) is given_back, run.leased_by
        assert (run.epoch > one.epoch) is given_back


def test_what_this_process_holds_is_given_back_at_the_end(database: Database) -> None:
    claims_of(database)
    assert leases.release_own(database) == 2
    assert leases.release_own(database) == 0
    assert all(run.lease_until is None for run in runs(database))
