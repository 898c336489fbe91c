"""Jobs as detached processes: they outlive whoever started them, and how each ended is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.attempting import until

from ondeck.sites import attempts
from ondeck.sites.attempts import Preparation, make_token
from ondeck.sites.batch import JobSpec, JobState, Rejected, Submitted
from ondeck.sites.batch.local import LocalBatch, LocalOptions, LocalSnapshot
from ondeck.sites.command import Result
from ondeck.sites.transport import LocalTransport

SYSTEM = LocalBatch(LocalOptions(kill_after=timedelta(seconds=1)))


class Site:
    """This machine, and the tokens that were given out."""

    def __init__(self, root: Path) -> None:
        self.root, self.transport, self.tokens = root, LocalTransport("here"), list[str]()

    def prepare(self, *payloads: str) -> list[Preparation]:
        made = []
        for payload in payloads:
            token, directory = make_token("dtst"), f"{self.root}/it's run {len(self.tokens)}/0"
            self.tokens.append(token)
            files = {"wrapper.sh": attempts.wrapper(directory, token), "payload.sh": payload.encode()}
            made.append(Preparation(directory, token, files))
        assert all(p.outcome == "made" for p in attempts.prepare(self.transport, made))
        return made

    def submit(self, *payloads: str) -> list[Preparation]:
        made = self.prepare(*payloads)
        commands = [SYSTEM.submit(JobSpec(p.token, p.directory)) for p in made]
        for result in self.transport.run_many(commands, timeout=60):
            assert result is not None
            assert isinstance(SYSTEM.parse_submit(result), Submitted), result
        return made

    def poll(self) -> LocalSnapshot:
        snapshot = SYSTEM.parse_poll(self.transport.run(SYSTEM.poll(), timeout=30), self.tokens)
        assert snapshot.complete, snapshot.words
        return snapshot

    def look(self, job: Preparation) -> attempts.Look:
        return attempts.look(self.transport, [job.directory])[0]

    def cancel(self, *jobs: Preparation) -> None:
        result = self.transport.run(SYSTEM.cancel([(job.token, None) for job in jobs]), timeout=30)
        assert SYSTEM.parse_cancel(result) == "", result


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    if made.tokens:
        made.transport.run(SYSTEM.cancel([(token, None) for token in made.tokens]), timeout=30)
        until(lambda: not made.poll().jobs)


def carriers(token: str) -> list[int]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"ONDECK_TOKEN={token}".encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def test_fifty_jobs_in_one_round_trip(site: Site) -> None:
    jobs = site.submit(*(f"echo {n} >>'{site.root}/counter'; sleep 0.5; exit {n}" for n in range(50)))
    seen: set[str] = set()
    while True:
        snapshot = site.poll()
        seen |= snapshot.jobs.keys()
        assert all(len(of_token) == 1 for of_token in snapshot.jobs.values())
        looks = attempts.look(site.transport, [job.directory for job in jobs])
        for found, job in zip(looks, jobs, strict=True):
            if found.claim and not found.exit:
                assert SYSTEM.verdict(found.claim, snapshot) is None, job
        if not snapshot.jobs:
            break
    assert seen
    ends = [found.exit for found in attempts.look(site.transport, [job.directory for job in jobs])]
    assert [end.code if end else None for end in ends] == list(range(50))
    assert sorted(map(int, (site.root / "counter").read_text().split())) == list(range(50))
    snapshot = site.poll()
    for found in looks:
        assert found.claim is not None
        verdict = SYSTEM.verdict(found.claim, snapshot)
        assert verdict is not None
        assert verdict.kind == "vanished"


def test_how_a_job_stands(site: Site) -> None:
    (job,) = site.submit("echo ready; sleep 30 & wait")
    until(lambda: (Path(job.directory) / "stdout").exists() and (Path(job.directory) / "stdout").read_text())
    ((seen,),) = site.poll().jobs.values()
    claim = site.look(job).claim
    assert claim is not None
    assert seen.batch_id == claim.batch_id == f"{claim.pid}.{claim.ticks}"
    pid = int(seen.batch_id.partition(".")[0])
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert (fields[2], fields[3]) == (str(pid), str(pid))  # a session of its own
    assert Path(f"/proc/{fields[1]}/comm").read_text().strip() not in ("sh", "setpriv", "pytest")
    assert fields[4] == "0"  # no terminal
    assert {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)} == {
        "/dev/null",
        f"{job.directory}/batch.out",
    }
    title = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    assert title.strip() == f"sh {job.directory}/wrapper.sh {job.token}"
    os.killpg(pid, signal.SIGSTOP)
    until(lambda: site.poll().jobs[job.token][0].state is JobState.SUSPENDED)
    os.killpg(pid, signal.SIGCONT)
    until(lambda: site.poll().jobs[job.token][0].state is JobState.RUNNING)
    found = SYSTEM.parse_find(site.transport.run(SYSTEM.find(job.token), timeout=30), job.token)
    assert [s.batch_id for s in found.jobs[job.token]] == [seen.batch_id]


CHILD = """
import sys
from ondeck.sites.batch import JobSpec
from ondeck.sites.batch.local import LocalBatch
from ondeck.sites.transport import LocalTransport
t, b = LocalTransport("here"), LocalBatch()
pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
t.run_many([b.submit(JobSpec(token, directory)) for token, directory in pairs], timeout=60)
print("submitted", flush=True)
sys.stdin.read()
"""


def start_child(jobs: list[Preparation]) -> subprocess.Popen[str]:
    words = [word for job in jobs for word in (job.token, job.directory)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def close(child: subprocess.Popen[str]) -> None:
    child.wait()
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()


def test_a_job_survives_the_death_of_who_started_it(site: Site) -> None:
    jobs = site.prepare("sleep 1.5; exit 7")
    child = start_child(jobs)
    assert child.stdout is not None
    assert child.stdout.readline() == "submitted\n"
    os.killpg(child.pid, signal.SIGKILL)
    close(child)
    assert list(site.poll().jobs) == [jobs[0].token]
    until(lambda: not site.poll().jobs)
    end = site.look(jobs[0]).exit
    assert end is not None
    assert end.code == 7


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_killed_while_it_submits(site: Site, delay: float) -> None:
    """Each job was started once or not at all, and revoking tells which; none starts after that."""
    jobs = site.prepare(*(f"echo {n} >>'{site.root}/counter'; sleep 0.2" for n in range(8)))
    child = start_child(jobs)
    until(lambda: any((Path(job.directory) / "batch.out").exists() for job in jobs))
    time.sleep(delay)
    os.killpg(child.pid, signal.SIGKILL)
    close(child)
    revoked = attempts.revoke(site.transport, [job.directory for job in jobs], "Process@test:1")
    until(lambda: not site.poll().jobs)
    counter = site.root / "counter"
    ran = sorted(map(int, counter.read_text().split())) if counter.exists() else []
    assert ran == [n for n, r in enumerate(revoked) if r.outcome == "job"]
    assert {r.outcome for r in revoked} <= {"job", "taken"}
    ends = [found.exit for found in attempts.look(site.transport, [job.directory for job in jobs])]
    assert [end.code for end in ends if end] == [0] * len(ran)


def test_a_killed_wrapper_is_seen_while_its_payload_lives(site: Site) -> None:
    (job,) = site.submit("echo ready; setsid -w sh -c 'sleep 1.5; echo late'")
    until(lambda: (Path(job.directory) / "stdout").exists() and (Path(job.directory) / "stdout").read_text())
    claim = site.look(job).claim
    assert claim is not None
    assert claim.pid is not None
    os.kill(claim.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{claim.pid}/cwd").exists())
    snapshot = site.poll()
    assert snapshot.jobs[job.token][0].batch_id == claim.batch_id
    assert SYSTEM.verdict(claim, snapshot) is None
    until(lambda: not site.poll().jobs)
    verdict = SYSTEM.verdict(claim, site.poll())
    assert verdict is not None
    assert verdict.kind == "vanished"
    assert (Path(job.directory) / "stdout").read_text() == "ready\nlate\n"
    assert site.look(job).exit is None


def test_a_payload_that_hides_its_token_is_not_taken_for_gone(site: Site) -> None:
    (job,) = site.submit("echo ready; exec env -i /bin/sleep 1.5")
    until(lambda: (Path(job.directory) / "stdout").exists() and (Path(job.directory) / "stdout").read_text())
    claim = site.look(job).claim
    assert claim is not None
    assert claim.pid is not None
    until(lambda: len(carriers(job.token)) == 1)
    os.kill(claim.pid, signal.SIGKILL)
    until(lambda: not carriers(job.token))
    snapshot = site.poll()
    assert not snapshot.jobs
    assert SYSTEM.verdict(claim, snapshot) is None
    until(lambda: SYSTEM.verdict(claim, site.poll()) is not None)


def test_cancel(site: Site) -> None:
    kind, deaf, hidden, other = site.submit(
        "echo ready; trap 'echo asked; exit 9' TERM; while :; do sleep 0.05; done",
        "trap '' TERM; echo ready; while :; do sleep 0.05; done",
        "echo ready; env -i /bin/sleep 300",
        "echo ready; sleep 300",
    )
    for job in (kind, deaf, hidden, other):
        until(
            lambda job=job: (Path(job.directory) / "stdout").exists() and (Path(job.directory) / "stdout").read_text()
        )
    begin = time.monotonic()
    site.cancel(kind, deaf, hidden)
    assert time.monotonic() - begin < 10
    until(lambda: set(site.poll().jobs) == {other.token})
    assert (Path(kind.directory) / "stdout").read_text() == "ready\nasked\n"
    end = site.look(kind).exit
    assert end is not None
    assert end.code == 9
    end = site.look(hidden).exit
    assert end is not None
    assert end.signal == signal.SIGTERM
    claim = site.look(deaf).claim
    assert claim is not None
    assert site.look(deaf).exit is None
    assert SYSTEM.verdict(claim, site.poll()) is not None
    assert site.look(other).exit is None
    site.cancel(kind, deaf)  # gone already
    assert set(site.poll().jobs) == {other.token}


def test_cancel_kills_no_session_of_others(site: Site) -> None:
    """Somebody looks after a job by hand: his session is not the job's, though he carries its token."""
    token = make_token("dtst")
    site.tokens.append(token)
    person = subprocess.Popen(
        ["sh", "-c", f"ONDECK_TOKEN={token} sleep 300 & echo ready; wait; sleep 0.5; echo alive"],
        start_new_session=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert person.stdout is not None
    assert person.stdout.readline() == "ready\n"
    until(lambda: carriers(token))
    result = site.transport.run(SYSTEM.cancel([(token, None)]), timeout=30)
    assert result.code == 0
    assert person.stdout.read() == "alive\n"
    person.wait()
    person.stdout.close()


def test_what_can_not_be_submitted(site: Site) -> None:
    (job,) = site.prepare("true")
    for directory in (f"{site.root}/none", "/"):
        result = site.transport.run(SYSTEM.submit(JobSpec(job.token, directory)), timeout=30)
        outcome = SYSTEM.parse_submit(result)
        assert isinstance(outcome, Rejected)
        assert "wrapper.sh" in outcome.words
    assert not site.poll().jobs


def test_variables_of_a_submission(site: Site) -> None:
    (job,) = site.prepare('printf "%s|" "$GREETING" "$ONDECK_START_COUNT"; echo "$ONDECK_BATCH_ID"')
    spec = JobSpec(job.token, job.directory, env={"GREETING": "it's\n$(touch pwned)"})
    outcome = SYSTEM.parse_submit(site.transport.run(SYSTEM.submit(spec), timeout=30))
    assert isinstance(outcome, Submitted)
    until(lambda: site.look(job).exit)
    assert (Path(job.directory) / "stdout").read_text() == f"it's\n$(touch pwned)|0|{outcome.batch_id}\n"
    assert (Path(job.directory) / "batch.out").read_text() == ""


def test_the_question_does_not_see_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token("dtst")
    site.tokens.append(token)
    monkeypatch.setenv("ONDECK_TOKEN", token)
    assert not site.poll().jobs


def test_other_machines_do_not_judge(site: Site) -> None:
    """Seen from another process space the job is not there, and nothing is concluded from that."""
    (job,) = site.submit("echo ready; sleep 30")
    until(lambda: site.look(job).claim)
    command = SYSTEM.poll()
    away = subprocess.run(
        ["unshare", "-p", "-m", "--fork", "--mount-proc", *command.argv], capture_output=True, check=False
    )
    if away.returncode:
        pytest.skip("no other process space can be made here")
    snapshot = SYSTEM.parse_poll(Result(0, away.stdout, away.stderr, 0))
    assert snapshot.complete
    assert not snapshot.jobs
    claim = site.look(job).claim
    assert claim is not None
    assert claim.boot_id == snapshot.boot_id
    assert SYSTEM.verdict(claim, snapshot) is None


def submit_for(site: Site, seconds: float, payload: str) -> Preparation:
    """Submit one job with a walltime."""
    (job,) = site.prepare(payload)
    spec = JobSpec(job.token, job.directory, walltime=timedelta(seconds=seconds))
    result = site.transport.run(SYSTEM.submit(spec), timeout=60)
    assert isinstance(SYSTEM.parse_submit(result), Submitted), result
    return job


def end_of(site: Site, job: Preparation) -> attempts.ExitFile:
    """How the job ended, once it has."""
    until((Path(job.directory) / "exit").exists)
    end = site.look(job).exit
    assert end is not None
    return end


def watchers(job: Preparation) -> list[int]:
    """Who waits for the end of the job's walltime."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ondeck-walltime" in words and job.token.encode() in words:
            found.append(int(line.parent.name))
    return found


@pytest.mark.parametrize(
    ("payload", "code", "sign"),
    [
        ("exec sleep 60", 143, 15),
        ("sleep 60 & sleep 60", 143, 15),
        ("trap 'exit 0' TERM; while :; do sleep 0.05; done", 124, None),  # a success it is not
        ("trap '' TERM; while :; do sleep 0.05; done", 137, 9),
        ("(trap '' TERM; sleep 60; sleep 60) & sleep 60", 143, 15),
        ("env -i sh -c 'exec sleep 60'", 143, 15),  # shows no token, but belongs to the session
        ("setsid sleep 60 & sleep 60", 143, 15),  # left the session, but shows the token
    ],
)
def test_a_payload_that_exceeds_its_walltime_is_ended_with_all_that_it_started(
    site: Site, payload: str, code: int, sign: int | None
) -> None:
    job = submit_for(site, 0.5, payload)
    end = end_of(site, job)
    assert (end.code, end.signal, end.reason) == (code, sign, "walltime")
    assert 0.4 < end.ended - end.started < 15
    until(lambda: not carriers(job.token))
    until(lambda: not watchers(job))


def test_a_payload_within_its_walltime_is_left_alone_and_nobody_waits_for_it_any_more(site: Site) -> None:
    job = submit_for(site, 300, "sleep 0.5; exit 3")
    until(lambda: watchers(job))
    end = end_of(site, job)
    assert (end.code, end.reason) == (3, None)
    until(lambda: not watchers(job))
    until(lambda: not carriers(job.token))


def test_without_a_walltime_nobody_waits(site: Site) -> None:
    (job,) = site.submit("sleep 0.5; env | grep -c '^ONDECK_WALLTIME\\|^ONDECK_KILL'")
    until((Path(job.directory) / "start").exists)
    assert watchers(job) == []
    assert end_of(site, job).reason is None
    assert (Path(job.directory) / "stdout").read_text() == "0\n"


def test_a_payload_whose_wrapper_was_killed_is_ended_at_its_walltime_all_the_same(site: Site) -> None:
    job = submit_for(site, 1.5, "echo ready; exec sleep 60")
    until(lambda: (Path(job.directory) / "stdout").exists() and (Path(job.directory) / "stdout").read_text())
    claim = site.look(job).claim
    assert claim is not None
    assert claim.pid is not None
    os.kill(claim.pid, signal.SIGKILL)
    until(lambda: not carriers(job.token))
    assert site.look(job).exit is None
    verdict = SYSTEM.verdict(claim, site.poll())
    assert verdict is not None
    assert verdict.kind == "vanished"


def test_a_cancelled_job_leaves_nobody_waiting_for_its_walltime(site: Site) -> None:
    job = submit_for(site, 300, "exec sleep 60")
    until(lambda: watchers(job))
    site.cancel(job)
    assert end_of(site, job).signal == 15
    assert end_of(site, job).reason is None
    until(lambda: not watchers(job))
