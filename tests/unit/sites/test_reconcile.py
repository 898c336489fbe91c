"""What is concluded about an attempt, from the batch system's answer and the attempt's own files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ondeck.sites.attemptfiles import ClaimFile, ExitFile
from ondeck.sites.batch import BatchSystem, JobState, Seen, Snapshot, Verdict
from ondeck.sites.batch.reconcile import MISSES, Files, Open, Patience, What, conclude

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PATIENCE = Patience(grace=timedelta(minutes=1), lost_after=timedelta(hours=1))
TOKEN = "t000000000001"
JOB = ClaimFile("job", TOKEN, "17/0", "node1", 0.0, batch_id="17", start_count=0)
OURS = ClaimFile("process", TOKEN, "Process", "here", 0.0)
EXIT = ExitFile(TOKEN, 0, None, "node1", 0.0, 1.0, None)
FAILED = Verdict("exited", code=1, words="exit code 1")


class System(BatchSystem):
    """Only its way to read verdicts is needed."""

    identity = ""
    submit = poll = parse_submit = parse_poll = cancel = parse_cancel = find = parse_find = None  # type: ignore[assignment]


def seen(state: JobState, verdict: Verdict | None = None, start_count: int | None = 0) -> Seen:
    return Seen(TOKEN, "17", state, start_count=start_count, verdict=verdict)


def told(*jobs: Seen, ok: bool = True, complete: bool = True) -> Snapshot:
    return Snapshot(ok, complete, {TOKEN: jobs} if jobs else {}, words="" if ok else "no answer")


def attempt(**changes: Any) -> Open:
    return Open(**{"token": TOKEN, "batch_id": "17", "since": NOW - timedelta(hours=3), **changes})


def what(one: Open, files: Files, snapshot: Snapshot) -> What:
    return conclude(one, files, snapshot, System(None), NOW, PATIENCE).what


GONE_LONG: dict[str, Any] = {"misses": MISSES, "missed_since": NOW - timedelta(hours=2)}
GONE_SHORT: dict[str, Any] = {"misses": MISSES, "missed_since": NOW - timedelta(minutes=5)}
QUIET = told(ok=False)
PART = told(complete=False)
PENDING, RUNNING, ENDED = told(seen(JobState.PENDING)), told(seen(JobState.RUNNING)), told(seen(JobState.ENDED, FAILED))
OTHER_START = told(seen(JobState.ENDED, FAILED, start_count=1))


@pytest.mark.parametrize(
    ("changes", "files", "snapshot", "expected"),
    [
        # the token in the directory comes before anything else
        ({}, Files("t000000000002", JOB, EXIT), RUNNING, What.ADOPT),
        ({"wanted": "cancel"}, Files("t000000000002"), told(), What.ADOPT),
        # the exit file decides, whatever else is said
        ({}, Files(TOKEN, JOB, EXIT), RUNNING, What.ENDED),
        ({"wanted": "reset"}, Files(TOKEN, JOB, EXIT), QUIET, What.ENDED),
        ({"may_run": True, **GONE_LONG}, Files(TOKEN, JOB, EXIT), told(), What.ENDED),
        # our claim: it can't start any more
        ({}, Files(TOKEN, OURS), RUNNING, What.GIVE_UP),
        ({}, Files(TOKEN, OURS), QUIET, What.GIVE_UP),
        ({"wanted": "hold"}, Files(TOKEN, OURS), told(), What.GIVE_UP),
        # a verdict on the very start that holds the claim
        ({}, Files(TOKEN, JOB), ENDED, What.DIED),
        ({"wanted": "cancel"}, Files(TOKEN, JOB), ENDED, What.DIED),
        ({"may_run": True}, Files(TOKEN, JOB), ENDED, What.DIED),
        # a verdict on another start says nothing about the payload
        ({}, Files(TOKEN, JOB), OTHER_START, What.MISSED),
        (GONE_SHORT, Files(TOKEN, JOB), OTHER_START, What.NOTHING),
        # it is seen
        ({}, Files(TOKEN), PENDING, What.FOLLOW),
        ({}, Files(TOKEN, JOB), PENDING, What.FOLLOW),
        ({"may_run": True}, Files(TOKEN, JOB), RUNNING, What.FOLLOW),
        # a wish about what is seen, or has not started
        ({"wanted": "reset"}, Files(TOKEN), PENDING, What.CANCEL),
        ({"wanted": "cancel"}, Files(TOKEN, JOB), RUNNING, What.CANCEL),
        ({"wanted": "cancel", "may_run": True}, Files(TOKEN, JOB), RUNNING, What.CANCEL),
        ({"wanted": "hold"}, Files(), told(), What.CANCEL),
        ({"wanted": "hold"}, Files(TOKEN), QUIET, What.CANCEL),
        # a wish about what has started and is not seen: nothing can be cancelled, and in the end it is lost
        ({"wanted": "cancel"}, Files(TOKEN, JOB), QUIET, What.NOTHING),
        ({"wanted": "cancel"}, Files(TOKEN, JOB), told(), What.MISSED),
        ({"wanted": "cancel", **GONE_SHORT}, Files(TOKEN, JOB), told(), What.NOTHING),
        ({"wanted": "cancel", **GONE_LONG}, Files(TOKEN, JOB), told(), What.LOST),
        ({"wanted": "cancel", "may_run": True, **GONE_LONG}, Files(TOKEN, JOB), told(), What.NOTHING),
        # the batch system has ended it before it started
        ({}, Files(TOKEN), ENDED, What.REVOKE),
        ({}, Files(), ENDED, What.REVOKE),
        # absence is a verdict never, and nothing at all where the answer is not whole
        ({}, Files(TOKEN), QUIET, What.NOTHING),
        (GONE_LONG, Files(TOKEN), PART, What.NOTHING),
        (GONE_LONG, Files(TOKEN, JOB), QUIET, What.NOTHING),
        ({}, Files(TOKEN), told(), What.MISSED),
        ({"misses": MISSES - 1}, Files(TOKEN), told(), What.MISSED),
        (GONE_LONG, Files(TOKEN), told(), What.REVOKE),
        ({"since": NOW - timedelta(seconds=30), **GONE_SHORT}, Files(TOKEN), told(), What.NOTHING),
        (GONE_SHORT, Files(TOKEN, JOB), told(), What.NOTHING),
        (GONE_LONG, Files(TOKEN, JOB), told(), What.LOST),
        ({"may_run": True, **GONE_LONG}, Files(TOKEN, JOB), told(), What.NOTHING),
    ],
)
def test_what_is_concluded(changes: dict[str, Any], files: Files, snapshot: Snapshot, expected: What) -> None:
    assert what(attempt(**changes), files, snapshot) is expected


def test_what_holds_the_claim_runs_whatever_the_listing_says() -> None:
    found = conclude(attempt(), Files(TOKEN, JOB), PENDING, System(None), NOW, PATIENCE)
    assert (found.what, found.running) == (What.FOLLOW, True)
    found = conclude(attempt(), Files(TOKEN), PENDING, System(None), NOW, PATIENCE)
    assert not found.running


def test_of_two_under_one_token_the_live_one_counts() -> None:
    both = told(seen(JobState.ENDED, FAILED, start_count=None), seen(JobState.RUNNING))
    found = conclude(attempt(), Files(TOKEN), both, System(None), NOW, PATIENCE)
    assert found.what is What.FOLLOW
    assert found.seen is not None
    assert found.seen.state is JobState.RUNNING
