"""Which rows Transfer, JobOrganizer and Process take up, which gates hold them back, and what is written for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from support.rows import LEASE, check_history, execute, history, make_one, new, row, status, take
from support.smallconfig import make_config

from ondeck.config import Config
from ondeck.daemons import choosing, joborganizer
from ondeck.daemons.base import Lane
from ondeck.daemons.blocking import block, unblock
from ondeck.daemons.copies import begin_copies, load_manifest, raw_copy, store_manifests, want_in_archive
from ondeck.daemons.joborganizer import JobOrganizer
from ondeck.daemons.places import NotInitialised
from ondeck.daemons.submission import Submitter
from ondeck.daemons.transfer import Transfer
from ondeck.db import clock
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Copy, Job, Run
from ondeck.db.steps import claim
from ondeck.db.tables import Site, StorageState
from ondeck.rules import probes
from ondeck.rules.gates import Closed
from ondeck.sites.attempts import token_prefix
from ondeck.sites.storage import Entry, Manifest

MORE = """
[storages.other]
site = "here"
path = "other"
[listeners.other]
match = { run_type = "other" }
modules = ["sums", "plots"]
storage = "other"
min_events = 10
[modules.plots]
template = "sums.sh"
site = "here"
validate = true
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("waiting"), MORE)


@pytest.fixture(autouse=True)
def _offset() -> Iterator[None]:
    yield
    clock.set_offset(0)


def pause(database: Database, site: str = "here") -> None:
    with database.write() as session:
        session.merge(Site(name=site, paused_at=database_time(session), paused_by="alice"))


def resume(database: Database) -> None:
    execute(database, "UPDATE sites SET paused_at = NULL")


def room(database: Database, storage: str, free: int) -> None:
    with database.write() as session:
        probes.record(session, "space", storage, {"free": free}, timedelta(hours=1))


def initialised(database: Database, *storages: str) -> None:
    with database.write() as session:
        for name in storages:
            session.add(StorageState(name=name, uuid=f"uuid-{name}", initialised_at=database_time(session), actor="x"))


# ---- Transfer ----


@pytest.fixture
def lane() -> Lane:
    return Lane("daq", "Transfer")


@pytest.fixture
def mover(database: Database, config: Config) -> Transfer:
    initialised(database, "daq", "disk")
    return Transfer(config, database)


def test_a_run_is_begun_with_its_copy(mover: Transfer, lane: Lane) -> None:
    db = mover.db
    room(db, "disk", 10**9)
    low = make_one(db, "runs", "acquired", listener="physics", nbytes=5)
    high = make_one(db, "runs", "acquired", listener="physics", nbytes=5, priority=1)
    errands = mover._begin(lane)
    assert [e.run.id for e in errands] == [high, low], "small runs go together"
    for errand in errands:
        assert (errand.claim.status, errand.path) == ("transferring", f"daq/{errand.run.name}")
        assert f".{errand.claim.epoch}.part" in errand.part
    with db.read() as session:
        copies = session.scalars(select(Copy)).all()
        assert {(c.run_id, c.storage, c.status, c.nbytes) for c in copies} == {
            (high, "disk", "writing", 5),
            (low, "disk", "writing", 5),
        }
    check_history(db, "runs", high)
    assert mover._begin(lane) == []


def test_what_was_broken_off_comes_first(mover: Transfer, lane: Lane) -> None:
    """Also when it alone fills the room that is left: its own copy is not counted twice."""
    db = mover.db
    room(db, "disk", 1000)
    make_one(db, "runs", "acquired", listener="physics", nbytes=300, priority=9)
    broken = make_one(db, "runs", "transferring", listener="physics", nbytes=800)
    make_one(db, "copies", "writing", run_id=broken, storage="disk", nbytes=800)
    (errand,) = mover._begin(lane)
    assert (errand.run.id, errand.claim.status) == (broken, "transferring")


def test_a_closed_gate_is_written_on_the_row_once_and_taken_away(mover: Transfer, lane: Lane) -> None:
    db = mover.db
    run = make_one(db, "runs", "acquired", listener="physics", nbytes=5)
    assert mover._begin(lane) == []
    there = row(db, "runs", run)
    assert (there.blocked_by, there.epoch, there.steps) == ("space", 0, 0)
    since = there.blocked_since
    assert mover._begin(lane) == []
    assert row(db, "runs", run).blocked_since == since
    pause(db)
    mover._begin(lane)
    assert row(db, "runs", run).blocked_by == "pause"
    resume(db)
    room(db, "disk", 10**9)
    assert len(mover._begin(lane)) == 1
    assert (row(db, "runs", run).blocked_by, row(db, "runs", run).blocked_since) == (None, None)


def test_rows_that_are_held_back_off_or_not_ours_are_left(mover: Transfer, lane: Lane) -> None:
    db = mover.db
    room(db, "disk", 10**9)
    make_one(db, "runs", "acquired")
    make_one(db, "runs", "acquired", listener="physics", source="elsewhere")
    make_one(db, "runs", "ondeck", listener="physics")
    held = make_one(db, "runs", "acquired", listener="physics")
    take(db, "runs", "acquired", where=f"id = {held}")
    with db.write() as session:
        new(session, "runs", "acquired", listener="physics", not_before=database_time(session) + timedelta(hours=1))
    assert mover._begin(lane) == []


def test_a_listener_that_was_dropped_fails_its_run(mover: Transfer, lane: Lane) -> None:
    run = make_one(mover.db, "runs", "acquired", listener="gone")
    assert mover._begin(lane) == []
    there = row(mover.db, "runs", run)
    assert (there.status, there.failed_from) == ("failed", "acquired")
    assert "gone is not in ondeck.toml" in there.reason


def test_one_storage_that_is_not_there_delays_the_runs_of_no_other(mover: Transfer, lane: Lane) -> None:
    db = mover.db
    room(db, "disk", 10**9)
    room(db, "other", 10**9)
    stuck = make_one(db, "runs", "acquired", listener="other", priority=5)
    fine = make_one(db, "runs", "acquired", listener="physics")
    (errand,) = mover._begin(lane)
    assert errand.run.id == fine
    with pytest.raises(NotInitialised, match="other"):
        mover._begin(lane)
    there = row(db, "runs", stuck)
    assert (there.status, there.epoch, there.lease_until) == ("acquired", 0, None)


def test_many_runs_for_a_full_storage_delay_no_other(
    mover: Transfer, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = mover.db
    monkeypatch.setattr(choosing, "LOOK_AHEAD", 3)
    room(db, "disk", 10**9)
    room(db, "other", 0)
    for _ in range(3):
        make_one(db, "runs", "acquired", listener="other")
    make_one(db, "runs", "acquired", listener="physics")
    assert any(mover._begin(lane) for _ in range(3))


# ---- copies ----


def test_a_manifest_is_kept_once(database: Database) -> None:
    manifest = Manifest((Entry("a", "f", 3, 0, "0" * 64),))
    with database.write() as session:
        store_manifests(session, [manifest, manifest])
        store_manifests(session, [manifest])
        assert load_manifest(session, manifest.digest).content_equal(manifest)


def test_a_copy_is_begun_whatever_it_was_before(database: Database) -> None:
    with database.write() as session:
        run = session.get_one(Run, new(session, "runs", "transferring"))
        made = begin_copies(session, [run], "disk", "x")
        assert begin_copies(session, [run], "disk", "x") == made
        assert made[run.id].status == "writing"
        for source in ("absent", "suspect"):
            storage = f"s-{source}"
            new(session, "copies", source, run_id=run.id, storage=storage)
            assert begin_copies(session, [run], storage, "again")[run.id].status == "writing"
        new(session, "copies", "verified", run_id=run.id, storage="there")
        assert begin_copies(session, [run], "there", "x")[run.id].status == "verified"
        new(session, "copies", "deleting", run_id=run.id, storage="going")
        assert begin_copies(session, [run], "going", "x") == {}, "it can't be written while it is being removed"
        want_in_archive(session, [run], "tape")
        want_in_archive(session, [run], "tape")
        copy = raw_copy(session, run.id, "tape", "bundled")
        assert copy is not None
        assert (copy.status, copy.wanted) == ("absent", True)
        assert raw_copy(session, run.id, "tape") is None


def test_blocked_by_is_written_from_a_gates_answer(database: Database) -> None:
    job = make_one(database, "jobs", "blocked")
    with database.write() as session:
        found = session.get_one(Job, job)
        since = database_time(session) - timedelta(hours=1)
        block(session, found, Closed("data", "gone", "soon", since))
        block(session, found, Closed("data", "gone", "soon"))
    assert (row(database, "jobs", job).blocked_by, row(database, "jobs", job).blocked_since) == ("data", since)
    with database.write() as session:
        unblock(session, session.get_one(Job, job))
    assert row(database, "jobs", job).blocked_by is None
    assert len(history(database, "jobs", job)) == 1


# ---- JobOrganizer ----


@pytest.fixture
def organizer(database: Database, config: Config) -> JobOrganizer:
    return JobOrganizer(config, database)


RUNS = Lane("runs", "JobOrganizer")


def jobs_of(database: Database, run: int) -> list[Job]:
    with database.read() as session:
        return list(session.scalars(select(Job).where(Job.run_id == run).order_by(Job.id)))


def test_a_run_on_deck_gets_its_jobs(organizer: JobOrganizer) -> None:
    db = organizer.db
    run = make_one(db, "runs", "ondeck", listener="physics", priority=4)
    assert organizer.step(RUNS) == 1
    assert status(db, "runs", run) == "processing"
    (job,) = jobs_of(db, run)
    assert (job.module, job.status, job.site, job.priority, job.pass_, job.part) == ("sums", "blocked", "here", 4, 0, 0)
    assert (job.settings["max_failures"], job.options, job.walltime) == (3, "true\n", 3600)
    assert job.blocked_by == "data"
    assert organizer.step(RUNS) == 0


def test_no_module_wants_it(organizer: JobOrganizer) -> None:
    run = make_one(organizer.db, "runs", "ondeck", listener="long")
    organizer.step(RUNS)
    assert status(organizer.db, "runs", run) == "processed"


@pytest.mark.parametrize(("events", "expected"), [(9, "waiting"), (10, "blocked"), (None, "waiting")])
def test_too_few_events_need_a_persons_go(organizer: JobOrganizer, events: int | None, expected: str) -> None:
    run = make_one(organizer.db, "runs", "ondeck", listener="other", events=events)
    organizer.step(RUNS)
    sums, plots = jobs_of(organizer.db, run)
    assert (sums.status, sums.validation) == (expected, "WAITING" if expected == "waiting" else "NONE")
    assert (plots.status, plots.validation) == ("waiting", "WAITING")


def test_jobs_that_exist_are_kept(organizer: JobOrganizer) -> None:
    """A run that was reset comes here again."""
    db = organizer.db
    run = make_one(db, "runs", "ondeck", listener="physics")
    make_one(db, "jobs", "done", run_id=run, module="sums")
    organizer.step(RUNS)
    assert [j.status for j in jobs_of(db, run)] == ["done"]


@pytest.mark.parametrize("listener", ["gone"])
def test_what_can_not_be_organised_is_failed(organizer: JobOrganizer, listener: str) -> None:
    run = make_one(organizer.db, "runs", "ondeck", listener=listener)
    organizer.step(RUNS)
    there = row(organizer.db, "runs", run)
    assert (there.status, there.failed_from) == ("failed", "ondeck")


def test_blocked_jobs_open_with_their_gates(organizer: JobOrganizer) -> None:
    db = organizer.db
    run = make_one(db, "runs", "processing", listener="physics")
    job = make_one(db, "jobs", "blocked", run_id=run, site="here")
    resting = make_one(db, "jobs", "blocked", run_id=make_one(db, "runs", "processed", listener="physics"), site="here")
    assert organizer.step(RUNS) == 0
    assert row(db, "jobs", job).blocked_by == "data"
    make_one(db, "copies", "verified", run_id=run, storage="disk")
    pause(db)
    assert organizer.step(RUNS) == 0
    assert row(db, "jobs", job).blocked_by == "pause"
    resume(db)
    assert organizer.step(RUNS) == 1
    there = row(db, "jobs", job)
    assert (there.status, there.blocked_by, there.lease_until) == ("new", None, None)
    assert status(db, "jobs", resting) == "blocked", "jobs move only while their run is processing"
    check_history(db, "jobs", job)


def test_many_jobs_of_a_paused_site_delay_no_other(organizer: JobOrganizer, monkeypatch: pytest.MonkeyPatch) -> None:
    db = organizer.db
    monkeypatch.setattr(joborganizer, "_LOOK_AHEAD", 3)
    pause(db, "bare")
    run = make_one(db, "runs", "processing", listener="physics")
    make_one(db, "copies", "verified", run_id=run, storage="disk")
    for number in range(3):
        make_one(db, "jobs", "blocked", run_id=run, module=f"m{number}", site="bare")
    job = make_one(db, "jobs", "blocked", run_id=run, module="free", site="here")
    for _ in range(3):
        organizer.step(RUNS)
    assert status(db, "jobs", job) == "new"


# ---- Process: the attempt is written ----


@pytest.fixture
def submitter(database: Database, config: Config) -> Submitter:
    return Submitter(config, database, "here", None, LEASE)  # type: ignore[arg-type]


def ready_job(database: Database, **columns: Any) -> int:
    """A new job whose gates are open."""
    with database.write() as session:
        run = new(session, "runs", columns.pop("run_status", "processing"), listener="physics",
                  wanted=columns.pop("run_wanted", ""))  # fmt: skip
        new(session, "copies", columns.pop("data", "verified"), run_id=run, storage="disk")
        return new(session, "jobs", "new", **{"run_id": run, "site": "here", **columns})


def test_an_attempt_is_written_before_anything_is_done(submitter: Submitter) -> None:
    db = submitter.db
    job = ready_job(db)
    with db.write() as session:
        fresh, blocked = submitter._write_attempts(session)
    assert (len(fresh), blocked) == (1, 0)
    assert fresh[0].claim.status == "submitting"
    with db.read() as session:
        tried = session.scalars(select(Attempt)).one()
    assert (tried.job_id, tried.number, tried.site, tried.ended_at) == (job, 1, "here", None)
    prefix = token_prefix(submitter.config.name, str(submitter.config.state_dir))
    assert tried.token.startswith(prefix)
    assert len(tried.token) == 13
    assert tried.directory.endswith("/1")
    there = row(db, "jobs", job)
    assert (there.status, there.lease_until is not None) == ("submitting", True)
    assert tried.token in history(db, "jobs", job)[-1].reason  # type: ignore[operator]


def test_no_more_than_there_are_slots(submitter: Submitter) -> None:
    db = submitter.db
    jobs = [ready_job(db, priority=p) for p in (0, 5, 1)]
    with db.write() as session:
        fresh, _ = submitter._write_attempts(session)
    assert {f.job.id for f in fresh} == {jobs[1], jobs[2]}
    with db.write() as session:
        assert submitter._write_attempts(session) == ([], 0)


@pytest.mark.parametrize(
    "columns",
    [
        {"run_status": "processed"},
        {"run_status": "cancelled"},
        {"run_wanted": "cancel"},
        {"site": "elsewhere"},
        {"lease_until": "later", "leased_by": "x"},
        {"not_before": "later"},
    ],
)
def test_jobs_that_are_no_candidates(submitter: Submitter, columns: dict[str, Any]) -> None:
    with submitter.db.read() as session:
        later = database_time(session) + timedelta(hours=1)
    ready_job(submitter.db, **{k: later if v == "later" else v for k, v in columns.items()})
    with submitter.db.write() as session:
        assert submitter.candidates(session, 10) == []
        assert submitter._write_attempts(session) == ([], 0)


def test_a_gate_that_has_closed_blocks_the_job_in_the_same_transaction(submitter: Submitter) -> None:
    db = submitter.db
    job = ready_job(db, data="suspect")
    with db.write() as session:
        assert submitter._write_attempts(session) == ([], 1)
    there = row(db, "jobs", job)
    assert (there.status, there.blocked_by, there.lease_until) == ("blocked", "data", None)
    with db.read() as session:
        assert session.scalars(select(Attempt)).all() == []


def test_nothing_begins_at_a_paused_site(submitter: Submitter) -> None:
    job = ready_job(submitter.db)
    pause(submitter.db)
    with submitter.db.write() as session:
        assert submitter._write_attempts(session) == ([], 0)
    assert status(submitter.db, "jobs", job) == "new"


def test_two_submitters_at_once_do_not_pass_the_limit(postgresql_url: str, config: Config) -> None:
    """The slots are counted under the site's lock."""
    database = Database(postgresql_url)
    for _ in range(4):
        ready_job(database)
    submitters = [Submitter(config, database, "here", None, LEASE) for _ in range(2)]  # type: ignore[arg-type]
    barrier, counts, errors = threading.Barrier(2), list[int](), list[BaseException]()

    def work(one: Submitter) -> None:
        try:
            barrier.wait(10)
            with database.write() as session:
                counts.append(len(one._write_attempts(session)[0]))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in submitters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert sum(counts) == 2
    database.dispose()


def test_a_verb_that_holds_the_run_is_not_waited_for(postgresql_url: str, config: Config) -> None:
    database = Database(postgresql_url)
    ready_job(database)
    submitter = Submitter(config, database, "here", None, LEASE)  # type: ignore[arg-type]
    with database.write() as verb:
        claim(verb, Run, "processing", 1, lease=LEASE)
        with database.write() as session:
            assert submitter._write_attempts(session) == ([], 0)
    database.dispose()
