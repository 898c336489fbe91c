"""Claims: who gets which rows, for how long, and what becomes of a holder who was overtaken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from support.rows import LEASE, execute, history, make, make_one, row, seen, status, take

from ondeck.db import actor as actors
from ondeck.db import clock
from ondeck.db.clock import NOW, database_time
from ondeck.db.engine import Database
from ondeck.db.models import Job, Run
from ondeck.db.steps import Claim, advance, claim, look, release, renew

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    before = actors._actor
    actors.set_actor("Tester@here:1")
    yield
    actors._actor = before
    clock.set_offset(0)


def test_the_highest_priority_first_then_the_oldest(database: Database) -> None:
    ids = [make_one(database, "runs", "acquired", priority=p) for p in (0, 5, -3, 5, 0)]
    order = [ids[1], ids[3], ids[0], ids[4], ids[2]]
    assert [c.id for c in take(database, "runs", "acquired", 3)] == order[:3]
    assert [c.id for c in take(database, "runs", "acquired", 3)] == order[3:]
    assert take(database, "runs", "acquired", 3) == []


@pytest.mark.parametrize("table", ["jobs", "copies", "bundles", "inbox", "outbox"])
def test_priority_counts_in_every_table(database: Database, table: str) -> None:
    first = {"jobs": "new", "copies": "absent", "bundles": "open", "inbox": "new", "outbox": "queued"}[table]
    low, high = (make_one(database, table, first, priority=p) for p in (1, 2))
    assert [c.id for c in take(database, table, first, 2)] == [high, low]


def test_a_claim_leases_names_and_raises_the_epoch_but_takes_no_step(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    with database.write() as session:
        held = claim(session, Run, "acquired", 1, lease=timedelta(seconds=90))
        now = database_time(session)
    there = row(database, "runs", run)
    assert held == [Claim("runs", run, "acquired", 1)]
    assert (there.epoch, there.leased_by, there.steps, there.status) == (1, "Tester@here:1", 0, "acquired")
    assert abs(there.lease_until - now - timedelta(seconds=90)) < timedelta(seconds=5)
    assert len(history(database, "runs", run)) == 1


def test_limit_zero_takes_nothing(database: Database) -> None:
    make_one(database, "runs", "acquired")
    assert take(database, "runs", "acquired", 0) == []
    assert len(take(database, "runs", "acquired", 1)) == 1


def test_only_the_status_that_was_asked_for(database: Database) -> None:
    for one in ("acquired", "transferring", "archived", "failed"):
        make_one(database, "runs", one)
    held = take(database, "runs", "transferring", 10)
    assert [c.status for c in held] == ["transferring"]


def test_further_conditions_with_their_values(database: Database) -> None:
    here = make_one(database, "jobs", "new", site="here")
    make_one(database, "jobs", "new", site="x' OR '1'='1")
    assert [c.id for c in take(database, "jobs", "new", 5, where="site = :site", site="here")] == [here]
    condition = "site = 'here' OR site LIKE 'x%'"
    assert len(take(database, "jobs", "new", 5, where=condition)) == 1, "the first one's lease still holds"


def test_a_row_that_backs_off_is_passed_over_until_its_time(database: Database) -> None:
    waiting, ready = make(database, "runs", "acquired", 2)
    with database.write() as session:
        advance(session, look(session, Run, [waiting]), "acquired", "later", delay=HOUR)
    assert [c.id for c in take(database, "runs", "acquired", 5)] == [ready]
    clock.set_offset(3601)
    assert waiting in [c.id for c in take(database, "runs", "acquired", 5)]


def test_an_expired_lease_is_taken_with_a_higher_epoch_and_its_holder_is_shut_out(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    old = take(database, "runs", "acquired", lease=HOUR)
    assert take(database, "runs", "acquired") == []
    clock.set_offset(3601)
    actors.set_actor("Tester@there:2")
    new = take(database, "runs", "acquired", lease=HOUR)
    assert new == [Claim("runs", run, "acquired", 2)]
    before = row(database, "runs", run)

    actors.set_actor("Tester@here:1")
    with database.write() as session:
        assert advance(session, old, "transferring", "from sleep", tries=9, nbytes=1, started_at=NOW) == []
        assert renew(session, old, HOUR) == []
        assert release(session, old) == []
    there = row(database, "runs", run)
    for column in ("status", "epoch", "lease_until", "leased_by", "tries", "nbytes", "started_at", "actor", "steps"):
        assert getattr(there, column) == getattr(before, column), column
    assert there.leased_by == "Tester@there:2"

    with database.write() as session:
        assert [c.epoch for c in advance(session, new, "transferring", "mine")] == [2]


def test_a_holder_whose_lease_ran_out_unnoticed_still_is_the_holder(database: Database) -> None:
    """Nobody has taken the row: then nothing is lost by letting him finish."""
    run = make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired", lease=timedelta(seconds=0))
    with database.write() as session:
        assert len(advance(session, held, "transferring", "late")) == 1
    assert status(database, "runs", run) == "transferring"


def test_a_verb_shuts_the_holder_out(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    held = take(database, "runs", "acquired")
    with database.write() as session:
        advance(session, look(session, Run, [run]), "cancelled", "cancel", fence=True)
    with database.write() as session:
        assert advance(session, held, "transferring", "too late") == []
        assert renew(session, held, LEASE) == []
        assert release(session, held) == []
    assert status(database, "runs", run) == "cancelled"


def test_a_claim_that_is_rolled_back_was_never_made(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    with database.write() as session:
        assert claim(session, Run, "acquired", 1, lease=LEASE)
        session.rollback()
    there = row(database, "runs", run)
    assert (there.epoch, there.lease_until, there.leased_by) == (0, None, None)


def test_the_clock_decides_to_the_millisecond(database: Database) -> None:
    make_one(database, "runs", "acquired")
    clock.set_offset(1000)
    take(database, "runs", "acquired", lease=timedelta(seconds=100))
    clock.set_offset(1000 + 99)
    assert take(database, "runs", "acquired") == []
    clock.set_offset(1000 + 100.001)
    assert len(take(database, "runs", "acquired")) == 1


def test_two_claimers_at_once_get_each_row_once_and_each_some(database: Database) -> None:
    ids = make(database, "runs", "acquired", 200)
    barrier = threading.Barrier(2)
    got: dict[int, list[Claim]] = {0: [], 1: []}
    errors: list[BaseException] = []

    def work(me: int) -> None:
        try:
            barrier.wait(10)
            while True:
                with database.write() as session:
                    found = claim(session, Run, "acquired", 10, lease=LEASE)
                    moved = advance(session, found, "transferring", "mine")
                assert len(moved) == len(found)
                got[me] += found
                if not found:
                    return
                if len(got[me]) == 10:
                    barrier.wait(10)  # neither is so slow that the other has all
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(me,)) for me in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors
    assert sorted(c.id for claims in got.values() for c in claims) == ids
    assert all(got.values())
    assert {c.status for c in seen(database, "runs", ids)} == {"transferring"}
    assert all(len(history(database, "runs", run)) == 2 for run in ids[::20])


def test_rows_that_another_claims_at_this_moment_are_passed_over(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    ids = make(database, "runs", "acquired", 5)
    with database.write() as first:
        mine = claim(first, Run, "acquired", 3, lease=LEASE)
        with database.write() as second:  # does not wait for the first
            theirs = claim(second, Run, "acquired", 3, lease=LEASE)
    database.dispose()
    assert [c.id for c in mine] == ids[:3]
    assert [c.id for c in theirs] == ids[3:]


def test_on_sqlite_the_second_claimer_waits_for_the_first(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    ids = make(database, "runs", "acquired", 5)
    began = threading.Event()
    theirs: list[Claim] = []

    def second() -> None:
        began.set()
        with database.write() as session:
            theirs.extend(claim(session, Run, "acquired", 3, lease=LEASE))

    with database.write() as session:
        mine = claim(session, Run, "acquired", 3, lease=LEASE)
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(10)
        thread.join(0.1)
        assert thread.is_alive()
        assert not theirs
    thread.join(30)
    database.dispose()
    assert [c.id for c in mine] == ids[:3]
    assert [c.id for c in theirs] == ids[3:]


def test_a_claim_on_postgresql_that_met_a_changed_row_leaves_it(postgresql_url: str) -> None:
    """A verb commits between the claimer's look and his lock: the row is judged as it is then."""
    database = Database(postgresql_url)
    run = make_one(database, "runs", "acquired")
    with database.write() as verb:
        advance(verb, look(verb, Run, [run]), "cancelled", "cancel", fence=True)
        assert take(database, "runs", "acquired") == []
    assert take(database, "runs", "acquired") == []
    database.dispose()


def test_jobs_of_two_sites_do_not_mix(database: Database) -> None:
    run = make_one(database, "runs", "processing")
    ids = [make_one(database, "jobs", "new", run_id=run, module=f"m{i}", site="ab"[i % 2]) for i in range(6)]
    with database.write() as session:
        held = claim(session, Job, "new", 10, lease=LEASE, where="site = :site", site="b")
    assert [c.id for c in held] == ids[1::2]
    execute(database, "UPDATE jobs SET site = 'b'")
    assert len(take(database, "jobs", "new", 10, where="site = :site", site="b")) == 3
