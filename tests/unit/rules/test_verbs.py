"""The verbs, row by row of their tables: on each status of jobs and runs, and what they leave alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from support.rows import LEASE, attempt, check_history, history, make_one, new, row, seen, status, take

from ondeck.config import Config
from ondeck.db import actor as actors
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Copy, Job, Receipt, Run
from ondeck.db.states import LIVE_JOBS, STATUSES, JobStatus, RunStatus
from ondeck.db.steps import advance, look, release, renew
from ondeck.db.tables import Site
from ondeck.rules import gates, verbs
from ondeck.rules.choose import JobRow
from ondeck.rules.verbs import Done, NotThere, RunIsCancelled

JOBS: dict[str, Callable[..., list[Done]]] = {
    "hold": verbs.hold_jobs,
    "reset": verbs.reset_jobs,
    "start": verbs.start_jobs,
    "cancel": verbs.cancel_jobs,
}
RESTING = [s for s in STATUSES["jobs"] if s not in LIVE_JOBS]

# verb -> job's status -> its status afterwards ("" = nothing is done to it); live ones are tested apart
TABLE = {
    "hold": {
        "waiting": "waiting", "blocked": "waiting", "new": "waiting",
        "done": "waiting", "failed": "waiting", "cancelled": "waiting",
    },
    "reset": {
        "waiting": "blocked", "blocked": "blocked", "new": "blocked",
        "done": "blocked", "failed": "blocked", "cancelled": "blocked",
    },
    "start": {
        "waiting": "blocked", "blocked": "blocked", "new": "new",
        "done": "done", "failed": "failed", "cancelled": "cancelled",
    },
    "cancel": {
        "waiting": "cancelled", "blocked": "cancelled", "new": "cancelled",
        "done": "", "failed": "cancelled", "cancelled": "",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    before = actors._actor
    actors.set_actor("alice")
    yield
    actors._actor = before


def on_jobs(database: Database, config: Config, verb: str, *ids: int, **options: Any) -> list[Done]:
    """A verb on jobs, in a transaction of its own."""
    with database.write() as session:
        jobs = [session.get_one(Job, i) for i in ids]
        rows = [JobRow(job, session.get_one(Run, job.run_id)) for job in jobs]
        return JOBS[verb](session, config, rows, "because", **options)


def on_runs(database: Database, config: Config, verb: Callable[..., list[Done]], *ids: int) -> list[Done]:
    """A verb on runs, in a transaction of its own."""
    with database.write() as session:
        return verb(session, config, [session.get_one(Run, i) for i in ids], "because")


def open_attempt(database: Database, job: int, **columns: Any) -> int:
    with database.write() as session:
        return attempt(session, job, **columns)


# ---- jobs that are not live ----


@pytest.mark.parametrize("verb", TABLE)
def test_a_verb_on_jobs_that_are_not_live(database: Database, config: Config, verb: str) -> None:
    for source in RESTING:
        check_verb(database, config, verb, source)


def check_verb(database: Database, config: Config, verb: str, source: str) -> None:
    """One field of the table."""
    run = make_one(database, "runs", "processing")
    job = make_one(
        database, "jobs", source, run_id=run, tries=2, failures=1, blocked_by="data", wanted="", result="FAILED"
    )
    done = on_jobs(database, config, verb, job)
    there, to = row(database, "jobs", job), TABLE[verb][source]
    check_history(database, "jobs", job)
    assert status(database, "runs", run) == "processing"
    if not to:
        assert done == []
        assert (there.status, there.steps, there.epoch) == (source, 0, 0)
        return
    module = there.module
    assert [(d.what.split()[1], d.source, d.to) for d in done] == [(module, source, to)]
    assert (there.status, there.steps, there.epoch, there.actor) == (to, 1, 1, "alice")
    assert history(database, "jobs", job)[-1] == (source, to, "alice", "because")
    expected = {"hold": "WAITING", "start": "YES"}.get(verb, "NONE")
    assert there.validation == expected
    if (to in ("blocked", "new") and verb != "start") or (verb, source) == ("start", "waiting"):
        assert (there.tries, there.not_before, there.blocked_by) == (0, None, None)
    if verb == "reset":
        assert (there.failures, there.result) == (0, "")


def test_what_is_held_already_is_left_alone(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "waiting", validation="WAITING")
    assert on_jobs(database, config, "hold", job) == []
    assert row(database, "jobs", job).steps == 0


def test_a_job_that_waits_for_validation_waits_after_a_reset_too(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "failed", validation="WAITING")
    on_jobs(database, config, "reset", job)
    assert status(database, "jobs", job) == "waiting"
    on_jobs(database, config, "start", job)
    assert (status(database, "jobs", job), row(database, "jobs", job).validation) == ("blocked", "YES")


def test_hold_and_start_again(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "new")
    on_jobs(database, config, "hold", job)
    on_jobs(database, config, "start", job)
    assert [e.to for e in history(database, "jobs", job)] == ["new", "waiting", "blocked"]


# ---- live jobs ----


@pytest.mark.parametrize("verb", ["hold", "reset", "cancel"])
def test_on_a_live_job_only_wanted_is_written_and_the_epoch_raised(
    database: Database, config: Config, verb: str
) -> None:
    for live in LIVE_JOBS:
        check_wish(database, config, verb, live)


def check_wish(database: Database, config: Config, verb: str, live: str) -> None:
    """A verb on a job that somebody works on."""
    run = make_one(database, "runs", "processing")
    job = make_one(database, "jobs", live, run_id=run, tries=2, failures=1)
    held = take(database, "jobs", live)
    before = {c.name: getattr(row(database, "jobs", job), c.key) for c in Job.__table__.columns if c.name != "pass"}
    done = on_jobs(database, config, verb, job)
    there = row(database, "jobs", job)
    changed = {name for name, value in before.items() if getattr(there, name) != value}
    assert changed == {"wanted", "epoch", "steps", "actor", "reason", "lease_until", "leased_by"}
    assert (there.wanted, there.epoch, there.status) == (verb, 2, live)
    assert [(d.source, d.to) for d in done] == [(live, live)]
    assert f"{verb} is wanted" in done[0].words
    assert history(database, "jobs", job)[-1] == (live, live, "alice", f"{verb} is wanted: because")
    with database.write() as session:
        assert advance(session, held, "done", "too late") == []
        assert renew(session, held, LEASE) == release(session, held) == []


def test_the_last_wish_counts(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "running")
    for verb in ("hold", "cancel", "reset"):
        on_jobs(database, config, verb, job)
        assert row(database, "jobs", job).wanted == verb


def test_start_does_not_move_a_live_job(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "running", failures=1, tries=2)
    on_jobs(database, config, "start", job)
    there = row(database, "jobs", job)
    assert (there.status, there.wanted, there.validation, there.failures, there.tries) == ("running", "", "YES", 1, 2)


# ---- jobs that may still run ----


@pytest.mark.parametrize("verb", ["hold", "reset", "cancel"])
def test_a_waiting_job_that_may_still_run_is_not_moved(database: Database, config: Config, verb: str) -> None:
    job = make_one(database, "jobs", "waiting")
    open_attempt(database, job)
    on_jobs(database, config, verb, job)
    there = row(database, "jobs", job)
    assert (there.status, there.wanted, there.epoch) == ("waiting", verb, 1)


def test_start_of_what_may_still_run_is_refused(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "waiting")
    open_attempt(database, job)
    with pytest.raises(NotThere, match="--ended"):
        on_jobs(database, config, "start", job)
    assert row(database, "jobs", job).steps == 0


def test_with_ended_a_person_vouches_that_nothing_runs(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "waiting", wanted="reset")
    opened = open_attempt(database, job)
    on_jobs(database, config, "reset", job, ended=True)
    there = row(database, "jobs", job)
    assert (there.status, there.wanted) == ("blocked", "")
    with database.read() as session:
        found = session.get_one(Attempt, opened)
        assert found.ended_at is not None
        assert (found.verdict, found.words) == ("vouched", "alice vouches that nothing runs")


def test_ended_changes_nothing_for_live_jobs(database: Database, config: Config) -> None:
    job = make_one(database, "jobs", "running")
    opened = open_attempt(database, job)
    on_jobs(database, config, "reset", job, ended=True)
    assert (status(database, "jobs", job), row(database, "jobs", job).wanted) == ("running", "reset")
    with database.read() as session:
        assert session.get_one(Attempt, opened).ended_at is None


# ---- the job's run ----


@pytest.mark.parametrize("verb", sorted(JOBS))
def test_jobs_of_a_cancelled_run_are_refused(database: Database, config: Config, verb: str) -> None:
    run = make_one(database, "runs", "cancelled", name="gone")
    job = make_one(database, "jobs", "cancelled", run_id=run)
    with pytest.raises(RunIsCancelled, match="gone"):
        on_jobs(database, config, verb, job)
    assert row(database, "jobs", job).steps == 0


@pytest.mark.parametrize("verb", sorted(JOBS))
def test_so_are_those_of_a_run_that_is_being_cancelled(database: Database, config: Config, verb: str) -> None:
    run = make_one(database, "runs", "processing", wanted="cancel")
    live, resting = (make_one(database, "jobs", s, run_id=run) for s in ("running", "new"))
    for job in (live, resting):
        with pytest.raises(RunIsCancelled):
            on_jobs(database, config, verb, job)
    assert row(database, "jobs", live).wanted == ""


def test_one_refusal_takes_all_back(database: Database, config: Config) -> None:
    fine = make_one(database, "jobs", "new")
    bad = make_one(database, "jobs", "new", run_id=make_one(database, "runs", "cancelled"))
    with pytest.raises(RunIsCancelled):
        on_jobs(database, config, "hold", fine, bad)
    assert status(database, "jobs", fine) == "new"


@pytest.mark.parametrize("rest", ["processed", "archived", "failed"])
def test_a_job_that_is_reset_takes_its_run_back_to_processing(database: Database, config: Config, rest: str) -> None:
    run = make_one(database, "runs", rest, failed_from="ondeck" if rest == "failed" else None)
    job = make_one(database, "jobs", "done", run_id=run)
    held = take(database, "runs", rest)
    on_jobs(database, config, "reset", job)
    there = row(database, "runs", run)
    assert (there.status, there.failed_from) == ("processing", None)
    with database.write() as session:
        assert advance(session, held, "archived", "too late") == []
    check_history(database, "runs", run)


def test_a_start_takes_a_processed_run_back_too(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processed")
    on_jobs(database, config, "start", make_one(database, "jobs", "waiting", run_id=run))
    assert status(database, "runs", run) == "processing"


@pytest.mark.parametrize(("verb", "source"), [("start", "failed"), ("start", "done"), ("start", "cancelled")])
def test_a_verb_that_moves_nothing_does_not_wake_the_run(
    database: Database, config: Config, verb: str, source: str
) -> None:
    run = make_one(database, "runs", "failed")
    on_jobs(database, config, verb, make_one(database, "jobs", source, run_id=run))
    assert status(database, "runs", run) == "failed"


def test_to_cancel_what_has_failed_takes_a_failed_run_back(database: Database, config: Config) -> None:
    """With nothing failed left, Process will find it processed."""
    run = make_one(database, "runs", "failed")
    job = make_one(database, "jobs", "failed", run_id=run)
    on_jobs(database, config, "cancel", job)
    assert (status(database, "runs", run), status(database, "jobs", job)) == ("processing", "cancelled")


def test_to_cancel_a_failed_optional_job_leaves_an_archived_run_at_rest(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "archived")
    job = make_one(database, "jobs", "failed", run_id=run)
    on_jobs(database, config, "cancel", job)
    assert (status(database, "runs", run), status(database, "jobs", job)) == ("archived", "cancelled")


def test_hold_of_a_done_job_leaves_the_run_at_rest(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "archived")
    on_jobs(database, config, "hold", make_one(database, "jobs", "done", run_id=run))
    assert status(database, "runs", run) == "archived"


def test_a_run_that_is_processed_again_wants_its_data_again(database: Database, config: Config) -> None:
    """A removal that was decided on but not proved yet is called off: its worker is shut out."""
    run = make_one(database, "runs", "archived")
    job = make_one(database, "jobs", "done", run_id=run)
    copy = make_one(database, "copies", "verified", run_id=run, storage="disk", wanted=False)
    gone = make_one(database, "copies", "absent", run_id=run, storage="daq", wanted=False)
    held = take(database, "copies", "verified")
    on_jobs(database, config, "reset", job)
    there = row(database, "copies", copy)
    assert (there.wanted, there.epoch, there.lease_until) == (True, 2, None)
    assert not row(database, "copies", gone).wanted
    with database.write() as session:
        assert advance(session, held, "deleting", "too late") == []


# ---- dependants ----


def chain(database: Database, run: int, *statuses: str) -> list[int]:
    """Jobs each of which needs the one before."""
    ids: list[int] = []
    for one in statuses:
        ids.append(make_one(database, "jobs", one, run_id=run, prerequisite_id=ids[-1] if ids else None))
    return ids


def test_a_reset_resets_done_and_live_dependants_too(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    first, done, blocked, live, last = chain(database, run, "done", "done", "blocked", "running", "done")
    beside = make_one(database, "jobs", "done", run_id=run)
    changed = on_jobs(database, config, "reset", first)
    assert [d.what for d in changed] == [f"{row(database, 'runs', run).name} {row(database, 'jobs', j).module}" for j in
                                         (first, done, live, last)]  # fmt: skip
    now = {
        j: (row(database, "jobs", j).status, row(database, "jobs", j).wanted)
        for j in (first, done, blocked, live, last)
    }
    assert now == {
        first: ("blocked", ""), done: ("blocked", ""), blocked: ("blocked", ""), live: ("running", "reset"),
        last: ("blocked", ""),
    }  # fmt: skip
    assert status(database, "jobs", beside) == "done"
    assert row(database, "jobs", blocked).steps == 0
    assert "needs a job that was reset" in (row(database, "jobs", done).reason or "")
    assert "needs a job" not in (row(database, "jobs", first).reason or "")


def test_only_leaves_them(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    first, second = chain(database, run, "done", "done")
    assert len(on_jobs(database, config, "reset", first, only=True)) == 1
    assert status(database, "jobs", second) == "done"


@pytest.mark.parametrize("verb", ["hold", "cancel", "start"])
def test_other_verbs_leave_dependants_alone(database: Database, config: Config, verb: str) -> None:
    run = make_one(database, "runs", "processing")
    first, second = chain(database, run, "new", "done")
    on_jobs(database, config, verb, first)
    assert row(database, "jobs", second).steps == 0


def test_jobs_that_need_each_other_in_a_circle_end(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    first, second, third = chain(database, run, "done", "blocked", "blocked")
    with database.write() as session:
        session.get_one(Job, first).prerequisite_id = third
        session.get_one(Job, second).prerequisite_id = third
        session.get_one(Job, third).prerequisite_id = second
    with database.write() as session:
        rows = [JobRow(session.get_one(Job, third), session.get_one(Run, run))]
        found = verbs.dependants(session, rows)
    assert {d.job.id for d in found} == {first}


# ---- races ----


@pytest.mark.parametrize("verb", ["hold", "reset", "cancel", "run"])
def test_a_job_that_ends_while_the_verb_waits_is_taken_as_it_then_is(
    postgresql_url: str, config: Config, verb: str
) -> None:
    """Process moves a job (it locks no run for that): the verb waits for it, and looks again."""
    database = Database(postgresql_url)
    run = make_one(database, "runs", "processing")
    job = make_one(database, "jobs", "running", run_id=run)
    errors: list[BaseException] = []

    def person() -> None:
        try:
            if verb == "run":
                on_runs(database, config, verbs.cancel_runs, run)
            else:
                on_jobs(database, config, verb, job)
        except BaseException as error:
            errors.append(error)

    with database.write() as session:
        advance(session, look(session, Job, [job]), "done", "its end was seen")
        thread = threading.Thread(target=person)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(20)
    assert not errors
    expected = {"hold": "waiting", "reset": "blocked", "cancel": "done", "run": "done"}[verb]
    assert (status(database, "jobs", job), row(database, "jobs", job).wanted) == (expected, "")
    assert status(database, "runs", run) == ("cancelled" if verb == "run" else "processing")
    check_history(database, "jobs", job)
    database.dispose()


# ---- runs ----


def test_cancel_of_a_run_where_nothing_is_live(database: Database, config: Config) -> None:
    for source in set(RunStatus) - {RunStatus.ARCHIVED, RunStatus.CANCELLED}:
        check_cancel(database, config, source)


def check_cancel(database: Database, config: Config, source: str) -> None:
    """At once, with all that it has."""
    run = make_one(database, "runs", source, blocked_by="space", failed_from="ondeck" if source == "failed" else None)
    held = take(database, "runs", source)
    jobs = [make_one(database, "jobs", s, run_id=run) for s in RESTING]
    done = on_runs(database, config, verbs.cancel_runs, run)
    there = row(database, "runs", run)
    assert (there.status, there.wanted, there.blocked_by, there.epoch) == ("cancelled", "", None, 2)
    assert there.failed_from == ("acquired" if source in ("acquired", "transferring") else "ondeck")
    ended = dict.fromkeys(("done", "failed", "cancelled"))
    after = [status(database, "jobs", j) for j in jobs]
    assert after == [s if s in ended else "cancelled" for s in RESTING]
    assert done[-1].to == "cancelled"
    with database.write() as session:
        assert advance(session, held, source, "too late") == []
    check_history(database, "runs", run)


def test_cancel_of_a_run_with_a_live_job_is_a_wish(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    live, resting, done = (make_one(database, "jobs", s, run_id=run) for s in ("pending", "new", "done"))
    said = on_runs(database, config, verbs.cancel_runs, run)
    there = row(database, "runs", run)
    assert (there.status, there.wanted, there.epoch) == ("processing", "cancel", 1)
    assert (status(database, "jobs", live), row(database, "jobs", live).wanted) == ("pending", "cancel")
    assert (status(database, "jobs", resting), status(database, "jobs", done)) == ("cancelled", "done")
    assert said[-1].words.startswith("cancel is wanted")
    on_runs(database, config, verbs.cancel_runs, run)  # again does no harm
    assert status(database, "runs", run) == "processing"


def test_a_job_that_may_still_run_counts_as_live(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    job = make_one(database, "jobs", "waiting", run_id=run)
    open_attempt(database, job)
    on_runs(database, config, verbs.cancel_runs, run)
    assert (row(database, "runs", run).wanted, row(database, "jobs", job).wanted) == ("cancel", "cancel")
    assert (status(database, "runs", run), status(database, "jobs", job)) == ("processing", "waiting")


def test_an_archived_run_can_not_be_cancelled_and_a_cancelled_one_need_not(database: Database, config: Config) -> None:
    with pytest.raises(NotThere, match="archived"):
        on_runs(database, config, verbs.cancel_runs, make_one(database, "runs", "archived"))
    assert on_runs(database, config, verbs.cancel_runs, make_one(database, "runs", "cancelled")) == []


def test_a_copy_that_was_being_written_is_absent_then(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "transferring")
    with database.write() as session:
        new(session, "copies", "writing", run_id=run, storage="daq", reason="written by the DAQ")
        new(session, "copies", "writing", run_id=run, storage="disk", reason="being copied")
    on_runs(database, config, verbs.cancel_runs, run)
    with database.read() as session:
        copies = dict(session.execute(select(Copy.storage, Copy.status)).all())
    assert copies == {"daq": "writing", "disk": "absent"}


@pytest.mark.parametrize("source", ["failed", "cancelled"])
def test_reset_of_a_run_without_jobs(database: Database, config: Config, source: str) -> None:
    for origin in ("acquired", "ondeck", None):
        check_reset(database, config, source, origin)


def check_reset(database: Database, config: Config, source: str, origin: str | None) -> None:
    """Back to where it was at rest."""
    run = make_one(
        database, "runs", source, failed_from=origin, tries=5, failures=2, blocked_by="space", reason="bad",
    )  # fmt: skip
    done = on_runs(database, config, verbs.reset_runs, run)
    there = row(database, "runs", run)
    assert (there.status, there.failed_from, there.tries, there.failures) == (origin or "acquired", None, 0, 0)
    assert (there.blocked_by, there.not_before, there.epoch) == (None, None, 1)
    assert [(d.source, d.to) for d in done] == [(source, origin or "acquired")]


@pytest.mark.parametrize("source", ["failed", "cancelled"])
def test_reset_of_a_run_reopens_its_failed_and_cancelled_jobs(database: Database, config: Config, source: str) -> None:
    run = make_one(database, "runs", source, failed_from="ondeck")
    ids = {s: make_one(database, "jobs", s, run_id=run, failures=3) for s in RESTING}
    refused = make_one(database, "jobs", "waiting", run_id=run)
    with database.write() as session:
        attempt(session, refused, verdict="refused", ended_at=database_time(session))
    on_runs(database, config, verbs.reset_runs, run)
    assert status(database, "runs", run) == "processing"
    after = {s: status(database, "jobs", j) for s, j in ids.items()}
    assert after == {s: "blocked" if s in ("failed", "cancelled", "blocked") else s for s in RESTING}
    assert status(database, "jobs", refused) == "blocked"
    assert row(database, "jobs", ids["failed"]).failures == 0
    for job in (*ids.values(), refused):
        check_history(database, "jobs", job)
    check_history(database, "runs", run)


def test_reset_of_other_runs_is_refused(database: Database, config: Config) -> None:
    for source in set(RunStatus) - {RunStatus.FAILED, RunStatus.CANCELLED}:
        run = make_one(database, "runs", source)
        with pytest.raises(NotThere, match="only a failed or cancelled run"):
            on_runs(database, config, verbs.reset_runs, run)
        assert row(database, "runs", run).steps == 0


def test_cancelled_by_a_person_and_reset_by_another(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processing")
    first, second = chain(database, run, "done", "new")
    on_runs(database, config, verbs.cancel_runs, run)
    on_runs(database, config, verbs.reset_runs, run)
    assert status(database, "runs", run) == "processing"
    assert (status(database, "jobs", first), status(database, "jobs", second)) == ("done", "blocked")


def test_comments_and_tags_move_nothing_and_shut_nobody_out(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "acquired", tags=["a"])
    held = take(database, "runs", "acquired")
    with database.write() as session:
        found = [session.get_one(Run, run)]
        verbs.comment(session, found, "first\nline")
        verbs.comment(session, found, "second")
        verbs.tag(session, found, ["b", "a", "c"], ["c"])
    there = row(database, "runs", run)
    assert (there.comments, there.tags, there.status) == ("first line\nsecond", ["a", "b"], "acquired")
    assert there.lease_until is not None
    assert [e.reason for e in history(database, "runs", run)[1:]] == [
        "comment: first line",
        "comment: second",
        "tags: a, b",
    ]
    with database.write() as session:
        assert len(advance(session, held, "transferring", "mine")) == 1


# ---- previews ----


def test_a_preview_leaves_nothing(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "failed")
    jobs = [make_one(database, "jobs", s, run_id=run) for s in STATUSES["jobs"]]
    with database.write() as session:
        rows = [JobRow(session.get_one(Job, j), session.get_one(Run, run)) for j in jobs]
        said = verbs.reset_jobs(session, config, rows, "because")
        assert len(said) == len(jobs)
        session.rollback()
    assert status(database, "runs", run) == "failed"
    for job in jobs:
        there = row(database, "jobs", job)
        assert (there.epoch, there.steps, there.wanted) == (0, 0, "")
        assert len(history(database, "jobs", job)) == 1
    assert [s.source for s in said] == list(STATUSES["jobs"])


def test_a_preview_says_what_then_happens(database: Database, config: Config) -> None:
    run = make_one(database, "runs", "processed")
    first, *_ = chain(database, run, "done", "done", "running")
    with database.write() as session:
        rows = [JobRow(session.get_one(Job, first), session.get_one(Run, run))]
        preview = verbs.reset_jobs(session, config, rows, "because")
        session.rollback()
    assert on_jobs(database, config, "reset", first) == preview


# ---- sites and messages ----


def test_pause_and_resume_of_a_site(database: Database, config: Config) -> None:
    with database.write() as session:
        until = database_time(session) + timedelta(hours=1)
        assert verbs.pause_site(session, "here", "maintenance\0", until).source == "open"
        assert verbs.pause_site(session, "here", "longer").source == "paused"
    with database.read() as session:
        site = session.get_one(Site, "here")
        assert (site.paused_by, site.pause_reason, site.paused_until) == ("alice", "longer", None)
    with database.write() as session:
        verbs.resume_site(session, "here")
        assert session.get_one(Site, "here").paused_at is None
        with pytest.raises(NotThere, match="not paused"):
            verbs.resume_site(session, "here")
        with pytest.raises(NotThere, match="not paused"):
            verbs.resume_site(session, "nowhere")


def test_failed_messages_are_sent_again(database: Database) -> None:
    failed, sent = (make_one(database, "outbox", s, tries=5) for s in ("failed", "sent"))
    with database.write() as session:
        done = verbs.resend(session, [failed, sent, 10**9])
    assert [(d.source, d.to) for d in done] == [("failed", "queued")]
    assert (row(database, "outbox", failed).tries, status(database, "outbox", sent)) == (0, "sent")


def test_the_receipt_of_a_removal_that_was_called_off_keeps_the_data_gate_closed(
    database: Database, config: Config
) -> None:
    run = make_one(database, "runs", "archived")
    job = make_one(database, "jobs", "done", run_id=run)
    copy = make_one(database, "copies", "verified", run_id=run, storage="disk", wanted=False)
    with database.write() as session:
        session.add(Receipt(copy_id=copy, opened_at=database_time(session), rule="full", actor="x"))
    on_jobs(database, config, "reset", job)
    with database.write() as session:
        closed = gates.data(session, run, "disk")
        assert closed is not None
        assert "removal" in closed.reason
        session.query(Receipt).one().closed_at = database_time(session)
        session.flush()
        assert gates.data(session, run, "disk") is None
    assert JobStatus(status(database, "jobs", job)) == JobStatus.BLOCKED
    assert seen(database, "runs", [run])[0].status == "processing"
