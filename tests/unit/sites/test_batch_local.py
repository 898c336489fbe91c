"""The batch system "local" as text: commands, answers, and what may be concluded from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ondeck.config import plugins
from ondeck.sites.attemptbulk import WrongName
from ondeck.sites.attemptfiles import BadToken, ClaimFile
from ondeck.sites.batch import (
    BatchSystem,
    JobSpec,
    JobState,
    Rejected,
    Seen,
    Snapshot,
    Submitted,
    Unknown,
    Verdict,
)
from ondeck.sites.batch.local import LocalBatch, LocalOptions, LocalSnapshot
from ondeck.sites.command import Command, Result

A, B = "dtst0000000aa", "dtst0000000bb"
HEAD = [
    b"ondeck-local 1",
    b"ticks 500",
    b"at 1700000000",
    b"host h",
    b"boot_id b1",
    b"pidns pid:[1]",
    b"machine m",
]
CANARY = b"/proc/self/environ:ONDECK_CANARY=1"
TAIL = [b"tokens 2", b"p self R 9 499", b"stats 2", b"end", b""]


def answer(*middle: bytes, code: int = 0) -> Result:
    return Result(code, b"\0".join([*HEAD, CANARY, *middle, *TAIL]), b"", 0.1)


def carrier(pid: int, token: str, batch_id: str = "") -> list[bytes]:
    found = [f"/proc/{pid}/environ:ONDECK_TOKEN={token}".encode()]
    return found + ([f"/proc/{pid}/environ:ONDECK_BATCH_ID={batch_id}".encode()] if batch_id else [])


def process(pid: int, session: int, ticks: int, state: str = "S") -> bytes:
    return f"p {pid} {state} {session} {ticks}".encode()


def parse(*middle: bytes) -> LocalSnapshot:
    return LocalBatch().parse_poll(answer(*middle))


def test_it_is_found_by_name() -> None:
    assert plugins.find("ondeck.batch", "local") is LocalBatch
    assert LocalBatch(LocalOptions(kill_after=timedelta(seconds=3))).cancel([(A, None)]).argv[-2:] == (
        "3.000",
        A,
    )
    with pytest.raises(ValidationError):
        LocalOptions.model_validate({"queue": "x"})


def test_submit_says_how_long_a_job_may_run() -> None:
    system = LocalBatch(LocalOptions(kill_after=timedelta(seconds=1.2)))
    command = system.submit(JobSpec(A, "/a", walltime=timedelta(minutes=90)))
    assert command.argv[-2:] == ("ONDECK_WALLTIME=5400.000", "ONDECK_KILL_AFTER=2")


def test_submit_gives_data_as_words() -> None:
    spec = JobSpec(A, "/a/x; touch pwned", env={"NAME": "it's\n$(x)"})
    command = LocalBatch().submit(spec)
    times = ("ONDECK_WALLTIME=", "ONDECK_KILL_AFTER=10")
    assert command.argv[3:] == ("ondeck-local-submit", "/a/x; touch pwned", A, "NAME=it's\n$(x)", *times)
    for env in ({"A=B": ""}, {"": ""}, {"ONDECK_TOKEN": "x"}, {"A": "\0"}):
        with pytest.raises(WrongName):
            LocalBatch().submit(replace(spec, env=env))
    for token in ("", "x; y", "dtst0000000a", "dtst0000000aaa", "1tst0000000aa", f"{A}\n"):
        with pytest.raises(BadToken):
            LocalBatch().submit(replace(spec, token=token))
        with pytest.raises(BadToken):
            LocalBatch().cancel([(token, None)])


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Result(0, b"12.345\n", b"", 0), Submitted("12.345")),
        (Result(65, b"", b"there is no wrapper\n", 0), Rejected("there is no wrapper")),
        (Result(0, b"", b"", 0), Unknown("exit code 0, ''")),
        (Result(0, b"12.345", b"", 0), Unknown("exit code 0, '12.345'")),
        (Result(0, b"Welcome!\n12.345\n", b"", 0), Unknown("exit code 0, 'Welcome!\\\\n12.345\\\\n'")),
        (Result(1, b"12.345\n", b"oh", 0), Unknown("oh")),
        (Result(137, b"", b"", 0), Unknown("exit code 137, ''")),
        (Result(127, b"", b"sh: not found", 0), Unknown("sh: not found")),
    ],
)
def test_what_became_of_a_submission(result: Result, expected: object) -> None:
    assert LocalBatch().parse_submit(result) == expected


def test_an_empty_listing() -> None:
    snapshot = parse()
    assert (snapshot.ok, snapshot.complete, snapshot.jobs, snapshot.words) == (True, True, {}, "")
    assert (snapshot.host, snapshot.boot_id, snapshot.pidns, snapshot.machine) == ("h", "b1", "pid:[1]", "m")
    assert (snapshot.ticks, snapshot.at) == (500, 1700000000)


def test_jobs_and_their_processes() -> None:
    snapshot = parse(
        *carrier(10, A, "10.70"),
        *carrier(11, A, "10.70"),
        *carrier(12, A),
        *carrier(20, B),
        *carrier(30, "dtst0000000cc"),
        process(10, 10, 70),
        process(11, 10, 71),
        process(12, 12, 72),
        process(20, 20, 80, "T"),
        process(30, 30, 90, "Z"),
    )
    assert snapshot.jobs == {
        A: (Seen(A, "10.70", JobState.RUNNING, "S"),),  # one job, though it has two sessions
        B: (Seen(B, "20.80", JobState.SUSPENDED, "T"),),  # not come to the wrapper yet
    }
    assert snapshot.processes == {10: (10, 70), 11: (10, 71), 12: (12, 72), 20: (20, 80)}
    twice = parse(*carrier(10, A, "10.70"), *carrier(20, A, "20.80"), process(10, 10, 70, "T"), process(20, 20, 80))
    assert [s.batch_id for s in twice.jobs[A]] == ["10.70", "20.80"]
    only = LocalBatch().parse_poll(answer(*carrier(10, A, "1.1"), *carrier(11, B, "2.2")), [B])
    assert set(only.jobs) == {B}
    assert set(LocalBatch().parse_find(answer(*carrier(10, A, "1.1"), *carrier(11, B, "2.2")), A).jobs) == {A}
    vanished_meanwhile = parse(*carrier(10, A, "10.70"))
    assert vanished_meanwhile.jobs[A][0].state is JobState.RUNNING


def test_an_answer_that_is_not_whole() -> None:
    whole = answer(*carrier(10, A, "10.70"), process(10, 10, 70))
    system = LocalBatch()
    assert system.parse_poll(whole).complete
    for code in (1, 2, 124, 137, 255):
        broken = system.parse_poll(whole._replace(code=code))
        assert (broken.ok, broken.complete, broken.jobs) == (False, False, {})
    for cut in range(len(whole.out) - 1):
        assert not system.parse_poll(whole._replace(out=whole.out[:cut])).complete or whole.out[:cut].endswith(b"\0end")
    assert not system.parse_poll(whole._replace(out=b"Welcome!\n" + whole.out)).ok
    for part in (b"ticks 500", b"at 1700000000", b"host h", CANARY, b"p self R 9 499", b"end"):
        less = system.parse_poll(whole._replace(out=b"\0".join(r for r in whole.out.split(b"\0") if r != part)))
        assert not less.complete, part
        assert less.words


RECORDS = st.lists(
    st.sampled_from(
        [
            *HEAD,
            CANARY,
            *TAIL,
            *carrier(10, A, "10.70"),
            process(10, 10, 70),
            process(10, 10, 70, "Z"),
            b"ticks x",
            b"p -1 S 1 1",
            b"p 1 \xff 1 1",
            b"ticks " + b"9" * 5000,
            b"/proc/1/environ:ONDECK_TOKEN=" + b"a" * 40,
        ]
    )
    | st.binary(max_size=20)
)


@given(
    st.binary(max_size=200) | RECORDS.map(b"\0".join) | RECORDS.map(lambda r: b"\0".join([*HEAD, *r])),
    st.integers(0, 255),
)
def test_no_answer_raises_or_ends_a_job(out: bytes, code: int) -> None:
    system = LocalBatch()
    result = Result(code, out, b"", 0)
    snapshot = system.parse_poll(result)
    assert not snapshot.complete or snapshot.ok
    assert all(seen.state is not JobState.ENDED for jobs in snapshot.jobs.values() for seen in jobs)
    if not (CANARY in out and b"end" in out and code == 0):
        assert system.verdict(CLAIM, snapshot) is None
    assert isinstance(system.parse_submit(result), Submitted | Rejected | Unknown)
    assert isinstance(system.parse_cancel(result), str)


CLAIM = ClaimFile("job", A, "batch job 10.70", "h", 1699999990.0, "10.70", 0, "b1", "pid:[1]", "m", 10, 70)
VANISHED = "its processes are gone and left no exit file"


def test_the_verdict_on_a_start_that_is_gone() -> None:
    assert LocalBatch().verdict(CLAIM, parse()) == Verdict("vanished", words=VANISHED)
    assert LocalBatch().verdict(CLAIM, parse(process(10, 10, 71))) == Verdict(
        "vanished", words=VANISHED
    )  # number reused
    assert LocalBatch().verdict(CLAIM, parse(process(10, 10, 70, "Z"))) == Verdict("vanished", words=VANISHED)
    assert LocalBatch().verdict(CLAIM, parse(*carrier(11, B))) == Verdict("vanished", words=VANISHED)


@pytest.mark.parametrize(
    "snapshot",
    [
        parse(*carrier(10, A, "10.70"), process(10, 10, 70)),
        parse(*carrier(11, A)),  # a child of a wrapper that was killed
        parse(process(10, 10, 70)),  # it has cleaned its environment
        parse(process(11, 10, 99)),  # a child that did so
        replace(parse(), complete=False),
        replace(parse(), ok=False),
        replace(parse(), pidns="pid:[2]"),
        replace(parse(), ticks=70),  # the look began when the job had not begun for certain
        replace(parse(), boot_id="-"),
        replace(parse(), boot_id="b2", host="other"),
        replace(parse(), boot_id="b2", machine="m2"),
        replace(parse(), boot_id="b2", at=1699999980),  # a claim after a look before a restart
        Snapshot(True, True),
    ],
)
def test_no_verdict_where_it_may_still_run(snapshot: Snapshot) -> None:
    assert LocalBatch().verdict(CLAIM, snapshot) is None


def test_the_verdict_on_a_restarted_machine() -> None:
    verdict = LocalBatch().verdict(CLAIM, replace(parse(process(10, 10, 70)), boot_id="b2"))
    assert verdict is not None
    assert verdict.kind == "node"
    assert "h was started again" in verdict.words


def test_no_verdict_on_other_claims() -> None:
    for claim in (
        replace(CLAIM, by="process"),
        replace(CLAIM, ticks=None),
        replace(CLAIM, pid=None),
        replace(CLAIM, boot_id=None),
        replace(CLAIM, pidns=None),
    ):
        assert LocalBatch().verdict(claim, parse()) is None


class Queue(BatchSystem):
    """A system with a queue and restarts, to test what all of them share."""

    name = "queue"

    def submit(self, spec: JobSpec) -> Command:
        return Command(("submit", spec.token))

    def parse_submit(self, result: Result) -> Unknown:
        return Unknown("")

    def poll(self, user: str = "") -> Command:
        return Command(("poll", user))

    def parse_poll(self, result: Result, tokens: object = None) -> Snapshot:
        return Snapshot(True, True)

    def cancel(self, jobs: object) -> Command:
        return Command(("cancel",))


ENDED = Seen(A, "7", JobState.ENDED, "F", "", 0, Verdict("walltime"))
QUEUED = replace(CLAIM, batch_id="7", start_count=0)


@pytest.mark.parametrize(
    ("claim", "seen", "known"),
    [
        (QUEUED, ENDED, True),
        (replace(QUEUED, start_count=None), ENDED, True),
        (replace(QUEUED, start_count=1), replace(ENDED, start_count=1), True),
        (QUEUED, replace(ENDED, start_count=1), False),
        (replace(QUEUED, start_count=None), replace(ENDED, start_count=1), False),
        (replace(QUEUED, start_count=1), ENDED, False),
        (QUEUED, replace(ENDED, start_count=None), False),
        (replace(QUEUED, batch_id="8"), ENDED, False),
        (replace(QUEUED, batch_id=None), replace(ENDED, batch_id=None), False),
        (replace(QUEUED, by="process"), ENDED, False),
        (replace(QUEUED, token=B), ENDED, False),
        (QUEUED, replace(ENDED, state=JobState.UNKNOWN), False),
        (QUEUED, replace(ENDED, state=JobState.RUNNING, verdict=None), False),
    ],
)
def test_a_verdict_is_about_the_very_start(claim: ClaimFile, seen: Seen, known: bool) -> None:
    verdict = Queue().verdict(claim, Snapshot(True, True, {A: (seen,)}))
    assert verdict == (Verdict("walltime") if known else None)


def test_history_adds_to_a_snapshot() -> None:
    live = Seen(A, "7", JobState.RUNNING, "R", "", 1)
    snapshot = Snapshot(True, True, {A: (live,)})
    assert snapshot.and_also([ENDED, replace(ENDED, token=B), replace(live, word="?")]).jobs == {
        A: (live, ENDED), B: (replace(ENDED, token=B),)
    }  # fmt: skip
    assert snapshot.jobs == {A: (live,)}
    assert Queue().history(["7"]) is None
    assert not Queue().parse_history(Result(0, b"", b"", 0)).ok
