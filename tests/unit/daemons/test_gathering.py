"""What is gathered for the archive, when a bundle is written, and when a run counts as archived."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from support.rows import check_history, execute, make_one, new, row, status
from support.smallconfig import make_config

from ondeck.config import Config
from ondeck.daemons import gathering
from ondeck.daemons.archiving import Archiver
from ondeck.daemons.base import Lane
from ondeck.daemons.gathering import Gatherer, NothingToRead
from ondeck.db import clock
from ondeck.db.engine import Database
from ondeck.db.models import Bundle, Copy, Run
from ondeck.db.steps import advance, look

LATER = """
[listeners.later]
match = { run_type = "later" }
storage = "disk"
archive = "tape"
archive_when = "processed"
[storages.tape.bundle]
count = 3
size = "1000"
age = "1h"
"""
LEASE = timedelta(seconds=60)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("gathering"), LATER)


@pytest.fixture(autouse=True)
def _offset() -> Iterator[None]:
    yield
    clock.set_offset(0)


@pytest.fixture
def gatherer(database: Database, config: Config) -> Gatherer:
    return Gatherer(config, database, "tape")


@pytest.fixture
def archiver(database: Database, config: Config) -> Archiver:
    return Archiver(config, database, "tape", LEASE)


def run_for(
    database: Database, now: str = "ondeck", listener: str = "physics", on_disk: str = "verified", **columns: Any
) -> int:
    """A run with its copy on disk, wanted in the archive."""
    with database.write() as session:
        run = new(session, "runs", now, listener=listener, to_archive=True, **{"nbytes": 10, **columns})
        path = f"daq/{session.get_one(Run, run).name}"
        new(session, "copies", on_disk, run_id=run, storage="disk", path=path)
        new(session, "copies", "absent", run_id=run, storage="tape", form="bundled", path="", nbytes=10)
    return run


def wanted(database: Database, run: int) -> Copy:
    """The run's copy in the archive."""
    with database.read() as session:
        return session.scalars(select(Copy).where(Copy.run_id == run, Copy.storage == "tape")).one()


def waiting(gatherer: Gatherer) -> list[int]:
    with gatherer.db.read() as session:
        return [run.id for _, run, _ in gatherer.waiting(session)]


def bundles(database: Database) -> list[int]:
    with database.read() as session:
        return list(session.scalars(select(Bundle.id).order_by(Bundle.id)))


@pytest.mark.parametrize(
    ("listener", "ready"),
    [
        ("physics", {"ondeck", "processing", "processed", "failed", "archived"}),
        ("later", {"processed", "archived"}),
        ("dropped", set()),
    ],
)
def test_when_a_run_may_be_archived(gatherer: Gatherer, listener: str, ready: set[str]) -> None:
    statuses = ["acquired", "transferring", "ondeck", "processing", "processed", "archived", "failed", "cancelled"]
    runs = {run_for(gatherer.db, one, listener): one for one in statuses}
    assert {runs[i] for i in waiting(gatherer)} == ready


@pytest.mark.parametrize("on_disk", ["absent", "writing", "suspect", "deleting"])
def test_only_from_a_verified_copy(gatherer: Gatherer, on_disk: str) -> None:
    run_for(gatherer.db, on_disk=on_disk)
    assert waiting(gatherer) == []


def test_not_from_one_that_is_to_be_removed(gatherer: Gatherer) -> None:
    run_for(gatherer.db)
    execute(gatherer.db, "UPDATE copies SET wanted = false WHERE storage = 'disk'")
    assert waiting(gatherer) == []


def test_runs_that_are_not_ready_do_not_stand_in_the_way(gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_BATCH", 3)
    for _ in range(4):
        run_for(gatherer.db, "cancelled")
        run_for(gatherer.db, "processing", "later")
    ready = run_for(gatherer.db)
    assert waiting(gatherer) == [ready]


def test_the_copy_of_the_listeners_own_storage_is_preferred(gatherer: Gatherer) -> None:
    run = run_for(gatherer.db)
    make_one(gatherer.db, "copies", "verified", run_id=run, storage="daq", path="r")
    with gatherer.db.read() as session:
        assert [there.storage for _, _, there in gatherer.waiting(session)] == ["disk"]
        assert gatherer.source_of(session, session.get_one(Run, run)).storage == "disk"


def test_bundles_fill_up_by_count(gatherer: Gatherer) -> None:
    runs = [run_for(gatherer.db) for _ in range(7)]
    assert gatherer.gather() == 7
    assert gatherer.gather() == 0
    first, second, third = bundles(gatherer.db)
    assert [wanted(gatherer.db, r).bundle_id for r in runs] == [first] * 3 + [second] * 3 + [third]
    assert wanted(gatherer.db, runs[0]).path.startswith("daq/run")
    with gatherer.db.read() as session:
        assert gatherer.due(session) == [first, second]


def test_bundles_fill_up_by_size(gatherer: Gatherer) -> None:
    runs = [run_for(gatherer.db, nbytes=n) for n in (600, 500, 10)]
    gatherer.gather()
    assert [wanted(gatherer.db, r).bundle_id for r in runs] == [1, 1, 2]
    with gatherer.db.read() as session:
        assert gatherer.due(session) == [1]


def test_a_bundle_that_is_old_enough_is_written(gatherer: Gatherer) -> None:
    run_for(gatherer.db)
    gatherer.gather()
    with gatherer.db.read() as session:
        assert gatherer.due(session) == []
        due = gatherer.next_due(session)
    assert due is not None
    assert 3500 < due <= 3600
    clock.set_offset(3601)
    with gatherer.db.read() as session:
        assert gatherer.due(session) == [1]
        assert gatherer.next_due(session) == 0.0


def test_an_empty_bundle_is_never_due(gatherer: Gatherer) -> None:
    """Two instances may each have made one; the empty one must not be looked at twice a second for ever."""
    make_one(gatherer.db, "bundles", "open")
    clock.set_offset(7200)
    with gatherer.db.read() as session:
        assert gatherer.due(session) == []
        assert gatherer.next_due(session) is None
    clock.set_offset(0)
    run = run_for(gatherer.db)
    gatherer.gather()
    assert wanted(gatherer.db, run).bundle_id == 1, "it is used"


def test_a_bundle_that_backs_off_is_not_due(gatherer: Gatherer) -> None:
    for _ in range(3):
        run_for(gatherer.db)
    gatherer.gather()
    with gatherer.db.write() as session:
        advance(session, look(session, Bundle, [1]), "open", "disk full", delay=timedelta(hours=5))
    clock.set_offset(3601)
    with gatherer.db.read() as session:
        assert gatherer.due(session) == []
        due = gatherer.next_due(session)
    assert due is not None
    assert due > 3 * 3600


def test_a_member_that_can_not_be_read_any_more_does_not_stop_the_gathering(gatherer: Gatherer) -> None:
    broken = run_for(gatherer.db)
    gatherer.gather()
    execute(gatherer.db, "UPDATE copies SET status = 'suspect' WHERE storage = 'disk'")
    fine = run_for(gatherer.db)
    assert gatherer.gather() == 1
    assert wanted(gatherer.db, fine).bundle_id is not None
    assert wanted(gatherer.db, broken).bundle_id is None, "it waits for another"
    execute(gatherer.db, "UPDATE copies SET status = 'verified' WHERE status = 'suspect'")
    assert gatherer.gather() == 1
    with gatherer.db.read() as session, pytest.raises(NothingToRead):
        gatherer.source_of(session, session.get_one(Run, make_one(gatherer.db, "runs", "ondeck", name="none")))


# ---- the bundle's first steps ----


def test_a_due_bundle_is_begun_with_its_copies(archiver: Archiver) -> None:
    db = archiver.db
    runs = [run_for(db) for _ in range(3)]
    archiver.gatherer.gather()
    one = archiver._begin()
    assert one is not None
    assert (one.table, one.status) == ("bundles", "writing")
    bundle = row(db, "bundles", one.id)
    assert bundle.path.startswith("small-000001-")
    assert bundle.lease_until is not None
    assert [wanted(db, r).status for r in runs] == ["writing"] * 3
    assert archiver._begin() is None
    assert archiver._take_up() is None, "somebody works on it"
    clock.set_offset(61)
    again = archiver._take_up()
    assert again is not None
    assert (again.id, again.epoch) == (one.id, one.epoch + 1)
    archiver._give_back(one, "too late")
    assert status(db, "bundles", one.id) == "writing", "who was overtaken gives nothing back"
    archiver._give_back(again, "the tape is away")
    there = row(db, "bundles", one.id)
    assert (there.status, there.path, there.tries) == ("open", None, 1)
    assert [wanted(db, r).status for r in runs] == ["absent"] * 3
    check_history(db, "bundles", one.id)


def test_members_that_can_not_be_read_leave_the_bundle(archiver: Archiver) -> None:
    db = archiver.db
    first, *others = [run_for(db) for _ in range(3)]
    archiver.gatherer.gather()
    execute(db, f"UPDATE copies SET status = 'suspect' WHERE run_id = {first} AND storage = 'disk'")
    assert archiver._begin() is not None
    assert (wanted(db, first).status, wanted(db, first).bundle_id) == ("absent", None)
    assert [wanted(db, r).status for r in others] == ["writing"] * 2


# ---- archived ----


@pytest.mark.parametrize(
    ("now", "tape", "to_archive", "expected"),
    [
        ("processed", "verified", True, "archived"),
        ("processed", "writing", True, "processed"),
        ("processed", "suspect", True, "processed"),
        ("processed", "verified", False, "processed"),
        ("processed", "verified", None, "processed"),
        ("processing", "verified", True, "processing"),
        ("failed", "verified", True, "failed"),
        ("ondeck", "verified", True, "ondeck"),
    ],
)
def test_when_a_run_is_archived(
    archiver: Archiver, now: str, tape: str, to_archive: bool | None, expected: str
) -> None:
    db = archiver.db
    run = make_one(db, "runs", now, listener="physics", to_archive=to_archive)
    make_one(db, "copies", tape, run_id=run, storage="tape", form="bundled")
    make_one(db, "copies", "absent", run_id=run, storage="disk", wanted=False)
    assert archiver.archived(Lane("tape")) == (expected == "archived")
    there = row(db, "runs", run)
    assert (there.status, there.lease_until) == (expected, None)
    check_history(db, "runs", run)


def test_every_archive_copy_that_is_wanted_must_be_verified(archiver: Archiver) -> None:
    db = archiver.db
    run = make_one(db, "runs", "processed", to_archive=True)
    make_one(db, "copies", "verified", run_id=run, storage="tape", form="bundled")
    second = make_one(db, "copies", "absent", run_id=run, storage="tape2", form="bundled")
    assert archiver.archived(Lane("tape")) == 0
    execute(db, f"UPDATE copies SET wanted = false WHERE id = {second}")
    assert archiver.archived(Lane("tape")) == 1


def test_a_run_that_wants_no_archive_rests_in_processed(archiver: Archiver) -> None:
    run = make_one(archiver.db, "runs", "processed", to_archive=True)
    assert archiver.archived(Lane("tape")) == 0
    assert status(archiver.db, "runs", run) == "processed"
