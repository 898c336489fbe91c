"""A database that was restored: how it is noticed, what jumps ahead, what is held back, and that it is done once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, text
from support.rows import attempt, execute, history, make_one, row, take

from ondeck.config import Config
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Transition
from ondeck.db.steps import advance, renew
from ondeck.db.tables import Outbox
from ondeck.rules.adopting import Ended, There, adopt_attempts
from ondeck.rules.gates import job_gates, restored
from ondeck.rules.restored import JUMP, Seen, declare, last, lift, lost, newest
from ondeck.rules.verbs import RunIsCancelled


def seen(database: Database) -> Seen:
    with database.read() as session:
        return newest(session)


def notice(database: Database, config: Config | None, mark: Seen) -> Seen:
    """What a daemon does at each beat."""
    with database.write() as session:
        why = lost(session, mark)
        return newest(session) if why is None else declare(session, config, mark, why)


def test_the_same_database_is_not_noticed(database: Database) -> None:
    assert notice(database, None, Seen()) == Seen()
    make_one(database, "runs", "acquired")
    mark = seen(database)
    make_one(database, "runs", "acquired")
    assert notice(database, None, mark) == seen(database) != mark
    with database.read() as session:
        assert last(session) is None
        assert restored(session) is None


@pytest.mark.parametrize("other", ["gone", "another"])
def test_a_transition_that_is_gone_or_another_is_noticed(database: Database, config: Config, other: str) -> None:
    run = make_one(database, "runs", "acquired")
    (held,) = take(database, "runs", "acquired")
    end = seen(database)
    mark = Seen(end.id + 7, "some words") if other == "gone" else end._replace(words="2026-01-01 jobs 1 new")
    after = notice(database, config, mark)
    assert after.id >= mark.id + JUMP
    with database.read() as session:
        closed = restored(session)
        messages = session.scalars(select(Outbox.subject)).all()
    assert closed is not None
    assert "`ondeck fsck`" in closed.words()
    assert len(messages) == len(config.sinks)
    now = row(database, "runs", run)
    assert now.epoch > JUMP
    assert now.lease_until is None
    with database.write() as session:
        assert advance(session, [held], "transferring", "from before") == []
        assert renew(session, [held], config.daemon("Transfer").lease) == []
    assert make_one(database, "runs", "acquired") > JUMP
    assert history(database, "runs", run)[-1].to == "acquired"


def test_it_is_noticed_once_by_however_many(database: Database, config: Config) -> None:
    make_one(database, "runs", "acquired")
    marks = [Seen(1000 + n, f"words {n}") for n in range(6)]
    threads = [threading.Thread(target=notice, args=(database, config, mark)) for mark in marks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        found = session.scalars(select(Transition.to).where(Transition.table_name == "database")).all()
        epoch = session.execute(text("SELECT max(epoch) FROM runs")).scalar_one()
    assert found == ["restored"]
    assert epoch < 2 * JUMP
    assert notice(database, config, marks[0]) == seen(database), "a late one knows it as well"


def test_each_restore_jumps_above_the_one_before(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "acquired")
    first = notice(database, config, Seen(50, "x"))
    epoch = row(database, "runs", run).epoch
    second = notice(database, config, Seen(first.id + 9, "y"))
    assert second.id > first.id + JUMP
    assert row(database, "runs", run).epoch > epoch + JUMP


def test_only_what_was_in_the_backup_is_held_back(database: Database, config: Config) -> None:
    old = make_one(database, "runs", "processing")
    notice(database, config, Seen(50, "x"))
    new = make_one(database, "runs", "acquired")
    with database.read() as session:
        assert restored(session, old) is not None
        assert restored(session, new) is None
        assert restored(session) is not None


def test_a_job_says_what_holds_it_until_it_was_compared(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "blocked", site="here")
    notice(database, config, Seen(50, "x"))
    with database.write() as session:
        one = row(database, "jobs", job)
        closed = job_gates(session, config, one, row(database, "runs", one.run_id))
        assert closed is not None
        assert closed.gate == "restored"
        assert lift(session, "compared")
        assert not lift(session, "twice")
    with database.read() as session:
        assert job_gates(session, config, one, row(database, "runs", one.run_id)) is None
        words = session.scalars(select(Transition.to).where(Transition.table_name == "database")).all()
    assert words == ["restored", "compared"]


def test_it_wakes_who_sleeps(database: Database, config: Config) -> None:
    notice(database, config, Seen(50, "x"))
    waiter = database.waiter()
    try:
        while waiter.wait(0.3):
            pass
        with database.write() as session:
            lift(session, "compared")
        assert waiter.wait(5)
    finally:
        waiter.close()


# ---- attempts that were lost ----


def there(number: int, ended: Ended | None = None) -> There:
    return There(number, f"a{number:012d}", f"/work/r/{number}", "7.7", ended)


ENDED = Ended(3, None, "node1", None, None, 0.5)


@pytest.mark.parametrize("status", ["blocked", "new", "waiting", "failed", "done", "submitting", "pending", "running"])
def test_the_newest_attempt_is_followed_whatever_its_job_was(database: Database, status: str) -> None:
    run = make_one(database, "runs", "processed" if status == "done" else "processing")
    job = make_one(database, "jobs", status, site="here", run_id=run)
    with database.write() as session:
        known = attempt(session, job, 1)
    with database.write() as session:
        said = adopt_attempts(session, job, [there(3), there(2, ENDED)])
    assert "attempt 3, token a000000000003" in said
    with database.read() as session:
        rows = session.scalars(select(Attempt).where(Attempt.job_id == job).order_by(Attempt.number)).all()
    assert [(a.number, a.ended_at is None, a.verdict) for a in rows] == [
        (1, False, "superseded"), (2, False, "exited"), (3, True, None),
    ]  # fmt: skip
    assert rows[0].id == known
    assert (rows[1].exit_code, rows[1].host, rows[1].cpu_seconds) == (3, "node1", 0.5)
    live = status in ("submitting", "pending", "running")
    assert row(database, "jobs", job).status == (status if live else "submitting")
    assert row(database, "runs", run).status == "processing"
    with database.write() as session:
        assert adopt_attempts(session, job, [there(3), there(2)]) == "is known already"


def test_adopting_shuts_out_who_works_on_the_job(database: Database) -> None:
    job = make_one(database, "jobs", "running", site="here")
    (held,) = take(database, "jobs", "running")
    with database.write() as session:
        adopt_attempts(session, job, [there(1)])
        assert advance(session, [held], "done", "too late") == []


def test_a_cancelled_run_is_left_alone(database: Database) -> None:
    run = make_one(database, "runs", "cancelled")
    job = make_one(database, "jobs", "cancelled", site="here", run_id=run)
    with database.write() as session, pytest.raises(RunIsCancelled):
        adopt_attempts(session, job, [there(1)])


def test_the_sequences_go_on_where_a_table_was_empty(database: Database, config: Config) -> None:
    notice(database, config, Seen(50, "x"))
    ids = [make_one(database, table, "acquired" if table == "runs" else "open") for table in ("runs", "bundles")]
    assert min(ids) > JUMP
    execute(database, "UPDATE runs SET status = 'failed'")
    with database.read() as session:
        assert database_time(session) is not None
