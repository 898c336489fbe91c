"""What becomes of a job when its attempt has ended: each way to end, wished for or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from support.rows import attempt, check_history, history, make_one, row, take
from support.smallconfig import make_config

from ondeck.config import Config
from ondeck.daemons.attemptrows import OpenAttempt, open_attempts, set_columns
from ondeck.daemons.settling import Settler
from ondeck.db.clock import database_time
from ondeck.db.engine import Database
from ondeck.db.models import Attempt, Job, Run
from ondeck.db.states import LIVE_JOBS
from ondeck.db.steps import Claim, advance, look
from ondeck.sites.attempts import ExitFile
from ondeck.sites.batch import Verdict

GOOD = ExitFile("t", 0, None, "node1", 1_700_000_000.0, 1_700_000_060.0, 12.5)
BAD = ExitFile("t", 3, None, "node1", 1_700_000_000.0, 1_700_000_060.0, None)
KILLED = ExitFile("t", 137, 9, "node1", 1_700_000_000.0, 1_700_000_060.0, None)
WANTED = {"reset": "new", "hold": "waiting", "cancel": "cancelled"}


class Case(NamedTuple):
    """A job whose attempt is open, claimed."""

    database: Database
    settler: Settler
    job: int
    claim: Claim
    one: OpenAttempt

    def row(self) -> Any:
        return row(self.database, "jobs", self.job)

    def attempt(self) -> Attempt:
        with self.database.read() as session:
            return session.get_one(Attempt, self.one.attempt.id)

    def ended(self, exit_file: ExitFile | None, verdict: Verdict | None = None, said: str = "") -> str | None:
        with self.database.write() as session:
            status = self.settler.ended(session, self.claim, self.one, exit_file, verdict, said)
            return None if status is None else str(status)

    def given_up(self, words: str = "the batch system does not know it") -> int:
        with self.database.write() as session:
            return self.settler.given_up(session, self.claim, self.one, words, None)

    def lost(self) -> int:
        with self.database.write() as session:
            return self.settler.lost(session, self.claim, self.one, "nothing says how it ended")

    def overtake(self) -> None:
        with self.database.write() as session:
            status = self.claim.status
            advance(session, look(session, Job, [self.job]), status, "a verb", fence=True, wanted="cancel")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("settling"))


class Maker:
    """Makes cases."""

    def __init__(self, database: Database, config: Config) -> None:
        self.database, self.settler = database, Settler(config)

    def __call__(self, status: str = "running", **columns: Any) -> Case:
        settings = {"max_failures": 2, **columns.pop("settings", {})}
        job = make_one(self.database, "jobs", status, site="here", settings=settings, tries=1, **columns)
        with self.database.write() as session:
            number = attempt(session, job, number=4, host="node1")
        (claim,) = take(self.database, "jobs", status, where=f"id = {job}")
        with self.database.read() as session:
            (one,) = open_attempts(session, "here", ids=[number], held=True)
        return Case(self.database, self.settler, job, claim, one)


@pytest.fixture
def case(database: Database, config: Config) -> Iterator[Maker]:
    return Maker(database, config)


# ---- it has ended well ----


@pytest.mark.parametrize("status", [*LIVE_JOBS, "waiting"])
def test_exit_code_0_is_done_and_published(case: Maker, status: str) -> None:
    one = case(status, failures=1)
    assert one.ended(GOOD) == "done"
    job, tried = one.row(), one.attempt()
    assert (job.status, job.result, job.published_attempt, job.failures, job.tries) == ("done", "OK", 4, 0, 0)
    assert (job.lease_until, job.reason) == (None, "attempt 4 ended with exit code 0")
    assert (tried.exit_code, tried.signal, tried.verdict, tried.host, tried.cpu_seconds) == (
        0,
        None,
        "exited",
        "node1",
        12.5,
    )
    assert tried.started_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert tried.ended_at == datetime.fromtimestamp(1_700_000_060, UTC)
    check_history(case.database, "jobs", one.job)


@pytest.mark.parametrize("wanted", WANTED)
def test_what_ended_well_though_it_was_not_wanted_is_not_published(case: Maker, wanted: str) -> None:
    one = case(wanted=wanted, published_attempt=2)
    assert one.ended(GOOD) == WANTED[wanted]
    job = one.row()
    assert (job.status, job.wanted, job.published_attempt, job.result) == (WANTED[wanted], "", 2, "")
    assert job.validation == ("WAITING" if wanted == "hold" else "NONE")
    assert "not to be published" in job.reason
    assert one.attempt().exit_code == 0


# ---- the payload failed ----


def test_a_failure_is_used_up_and_then_the_job_is_failed(case: Maker) -> None:
    one = case()
    assert one.ended(BAD, said="disk full\nno output") == "new"
    job = one.row()
    assert (job.status, job.failures, job.tries, job.result, job.published_attempt) == ("new", 1, 1, "", None)
    assert job.not_before is not None
    assert job.reason == "attempt 4 failed (1 of 2): exit code 3 on node1\ndisk full\nno output"
    last = case(failures=1)
    assert last.ended(BAD) == "failed"
    job = last.row()
    assert (job.status, job.failures, job.result) == ("failed", 2, "FAILED")
    assert "no failure is left (2 of 2)" in job.reason


def test_a_signal_is_named(case: Maker) -> None:
    one = case(settings={"max_failures": 1})
    assert one.ended(KILLED) == "failed"
    tried = one.attempt()
    assert (tried.exit_code, tried.signal, tried.verdict) == (137, 9, "signalled")
    assert "killed by signal 9 on node1" in one.row().reason


@pytest.mark.parametrize("kind", ["walltime", "memory", "node", "vanished"])
def test_a_verdict_without_an_exit_file_is_a_failure(case: Maker, kind: Any) -> None:
    one = case(settings={"max_failures": 1})
    assert one.ended(None, Verdict(kind, code=None, signal=15, words=f"ended by {kind}")) == "failed"
    tried = one.attempt()
    assert (tried.verdict, tried.signal, tried.exit_code) == (kind, 15, None)
    assert tried.ended_at is not None
    assert f"ended by {kind}" in one.row().reason


def test_exit_code_0_in_a_verdict_alone_is_never_done(case: Maker) -> None:
    """The exit file says that the payload ended; without it a job is never done."""
    one = case(settings={"max_failures": 1})
    assert one.ended(None, Verdict("exited", code=0, words="COMPLETED")) == "failed"
    assert one.row().published_attempt is None


@pytest.mark.parametrize("wanted", WANTED)
def test_a_failure_that_was_wanted_uses_nothing_up(case: Maker, wanted: str) -> None:
    one = case(wanted=wanted, failures=1)
    assert one.ended(KILLED) == WANTED[wanted]
    job = one.row()
    assert (job.status, job.wanted, job.failures, job.tries) == (WANTED[wanted], "", 0, 0)
    assert job.reason.startswith(f"{wanted} was wanted; attempt 4: killed by signal 9")


def test_impossible_times_in_an_exit_file_are_passed_over(case: Maker) -> None:
    one = case()
    odd = ExitFile("t", 0, None, "node1", 1e300, -1e300, None)
    assert one.ended(odd) == "done"
    assert one.attempt().ended_at is not None


# ---- it never started ----


def test_what_never_started_is_machinerys_fault(case: Maker) -> None:
    one = case("submitting")
    assert one.given_up() == 1
    job, tried = one.row(), one.attempt()
    assert (job.status, job.tries, job.failures) == ("new", 2, 0)
    assert job.not_before is not None
    assert (tried.verdict, tried.words) == ("revoked", "the batch system does not know it")
    assert tried.ended_at is not None


def test_until_the_tries_are_used_up(case: Maker) -> None:
    one = case(
        "pending",
    )
    with case.database.write() as session:
        session.get_one(Job, one.job).tries = 2
    assert one.given_up() == 1
    assert (one.row().status, one.row().result, one.row().tries) == ("failed", "FAILED", 3)


@pytest.mark.parametrize("wanted", WANTED)
def test_a_wish_is_done_when_it_can_not_start_any_more(case: Maker, wanted: str) -> None:
    one = case("pending", wanted=wanted)
    assert one.given_up(f"{wanted} is wanted") == 1
    assert (one.row().status, one.row().wanted, one.row().tries) == (WANTED[wanted], "", 0)
    assert one.attempt().ended_at is not None


# ---- nothing says how it ended ----


def test_what_may_still_run_waits_for_a_person(case: Maker) -> None:
    one = case()
    assert one.lost() == 1
    job = one.row()
    assert (job.status, job.failures) == ("waiting", 0)
    assert job.reason == "attempt 4 may still run on node1: nothing says how it ended"
    assert one.attempt().ended_at is None, "it goes on being followed"


def test_the_wish_stays_on_what_may_still_run(case: Maker) -> None:
    one = case(wanted="cancel")
    one.lost()
    assert (one.row().status, one.row().wanted) == ("waiting", "cancel")
    (claim,) = take(case.database, "jobs", "waiting", where=f"id = {one.job}")
    again = one._replace(claim=claim)
    with case.database.read() as session:
        (fresh,) = open_attempts(session, "here", ids=[one.one.attempt.id], held=True)
    assert again._replace(one=fresh).ended(GOOD) == "cancelled"


def test_what_may_run_twice_is_done_again_within_its_tries(case: Maker) -> None:
    one = case(settings={"idempotent": True})
    assert one.lost() == 1
    job = one.row()
    assert (job.status, job.tries) == ("new", 2)
    assert "may run twice" in job.reason
    assert (one.attempt().verdict, one.attempt().ended_at is None) == ("lost", False)
    last = case(settings={"idempotent": True})
    with case.database.write() as session:
        session.get_one(Job, last.job).tries = 2
    last.lost()
    assert last.row().status == "failed"


@pytest.mark.parametrize("wanted", WANTED)
def test_what_may_run_twice_but_is_not_wanted_is_not_done_again(case: Maker, wanted: str) -> None:
    one = case(settings={"idempotent": True}, wanted=wanted)
    one.lost()
    assert (one.row().status, one.row().wanted) == (WANTED[wanted], "")


# ---- overtaken ----


def test_who_was_overtaken_changes_nothing(case: Maker) -> None:
    for act in ("ended", "given_up", "lost"):
        one = case()
        one.overtake()
        before = history(case.database, "jobs", one.job)
        result = one.ended(GOOD) if act == "ended" else one.given_up() if act == "given_up" else one.lost()
        assert not result
        assert history(case.database, "jobs", one.job) == before
        tried = one.attempt()
        assert (tried.ended_at, tried.verdict, tried.words, tried.exit_code) == (None, None, None, None)


# ---- rows of attempts ----


def test_open_attempts_are_those_of_the_site_that_nobody_holds(database: Database) -> None:
    with database.write() as session:
        run = Run(name="r", status="processing")
        session.add(run)
        session.flush()
        jobs = []
        for site, ended in (("here", False), ("here", True), ("there", False), ("here", False)):
            job = Job(run_id=run.id, module=f"m{len(jobs)}", status="running", site=site)
            session.add(job)
            session.flush()
            jobs.append(job.id)
            attempt(session, job.id, ended_at=database_time(session) if ended else None)
    take(database, "jobs", "running", where=f"id = {jobs[3]}")
    with database.read() as session:
        assert [o.job.id for o in open_attempts(session, "here")] == [jobs[0]]
        assert [o.job.id for o in open_attempts(session, "here", held=True)] == [jobs[0], jobs[3]]
        assert open_attempts(session, "here", ids=[]) == []


def test_columns_of_an_attempt_are_written_in_the_transaction(database: Database) -> None:
    job = make_one(database, "jobs", "running")
    with database.write() as session:
        number = attempt(session, job)
    with database.write() as session:
        set_columns(session, number, state="R", misses=2)
        session.rollback()
    with database.write() as session:
        assert session.get_one(Attempt, number).state is None
        set_columns(session, number, state="R", misses=2)
    with database.read() as session:
        found = session.get_one(Attempt, number)
        assert (found.state, found.misses) == ("R", 2)


@pytest.mark.parametrize(
    ("walltime", "words"), [(5400, "exceeded its walltime of 90m"), (None, "exceeded its walltime")]
)
def test_a_payload_that_exceeded_its_walltime_has_failed_and_the_row_says_so(
    case: Maker, walltime: int | None, words: str
) -> None:
    late = replace(KILLED, reason="walltime")
    one = case(walltime=walltime)
    assert one.ended(late, said="last words") == "new"
    job, tried = one.row(), one.attempt()
    assert job.failures == 1
    assert job.reason == f"attempt 4 failed (1 of 2): {words} on node1\nlast words"
    assert (tried.verdict, tried.exit_code, tried.signal) == ("walltime", 137, 9)
