"""The wrapper: one payload however often it is started, and the truth about its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.attempting import SHELLS, TOKEN, kill_session, look, make, start, until

from ondeck.sites import attempts
from ondeck.sites.transport import LocalTransport


@pytest.fixture
def here() -> LocalTransport:
    return LocalTransport("here")


def counted(tmp_path: Path, rest: str = "") -> str:
    """A payload that leaves a line outside each time it runs."""
    return f"echo run >>'{tmp_path}/counter'\n{rest}"


def runs(tmp_path: Path) -> int:
    counter = tmp_path / "counter"
    return len(counter.read_text().splitlines()) if counter.exists() else 0


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("payload", "code", "sign"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("exit 137", 137, 9),
        ("kill -9 $$", 137, 9),
        ("kill -SEGV $$", 139, 11),
        ("exit 255", 255, None),
        ("exit 75", 75, None),
        ("no-such-command", 127, None),
        ("if", 2, None),
    ],
)
def test_the_end_is_told(
    here: LocalTransport, tmp_path: Path, shell: str, payload: str, code: int, sign: int | None
) -> None:
    directory = make(here, tmp_path / "a b'c\nd" / "0", payload)
    before = time.time()
    child = start(directory, shell)
    assert child.wait(20) == code
    found = look(here, directory)
    assert found.exit is not None
    assert (found.exit.token, found.exit.code, found.exit.signal) == (TOKEN, code, sign)
    assert before - 1 < found.exit.started <= found.exit.ended < time.time() + 1
    assert found.exit.host == os.uname().nodename
    assert found.start is not None
    assert found.claim is not None
    assert (found.claim.by, found.claim.token, found.claim.batch_id, found.claim.start_count) == (
        "job",
        TOKEN,
        "7.7",
        0,
    )
    assert (found.claim.pid, found.start.pid) == (child.pid, child.pid)
    assert sorted(p.name for p in directory.iterdir()) == [
        "claim", "exit", "output", "payload.sh", "start", "stderr", "stdout", "token", "work", "wrapper.sh"
    ]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_payload_is_given(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    names = "$ONDECK_ATTEMPT_DIR $ONDECK_OUTPUT $ONDECK_TOKEN $ONDECK_BATCH_ID"
    payload = f'pwd; echo "{names}"; echo no >&2; cat; touch "$ONDECK_OUTPUT/x"'
    directory = make(here, tmp_path / "job" / "0", payload)
    assert start(directory, shell, CDPATH="/:/tmp").wait(20) == 0
    assert (directory / "stdout").read_text() == f"{directory}/work\n{directory} {directory}/output {TOKEN} 7.7\n"
    assert (directory / "stderr").read_text() == "no\n"
    assert (directory / "output" / "x").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["exit", "claim", "start", "token", "stdout", ".exit", "payload.sh"])
def test_a_payload_works_beside_the_attempts_own_files(
    here: LocalTransport, tmp_path: Path, shell: str, name: str
) -> None:
    """A file of whatever name in its working directory is not taken for one that tells of the attempt."""
    forged = "\n".join(["ondeck-exit 1", f"token {TOKEN}", "code 0", "signal -", "host x", "started 1", "ended 2"])
    payload = f"printf '%s\\n' '{forged}' 'cpu -' 'end' >{name}; cp {name} x; sync; exit 3"
    directory = make(here, tmp_path / "0", payload)
    assert start(directory, shell).wait(20) == 3
    found = look(here, directory)
    assert found.exit is not None
    assert (found.exit.code, found.exit.reason) == (3, None)
    assert (found.token, found.claim and found.claim.token) == (TOKEN, TOKEN)
    assert sorted(p.name for p in (directory / "work").iterdir()) == sorted([name, "x"])


def test_variables_of_the_module(here: LocalTransport, tmp_path: Path) -> None:
    value = 'it\'s\n$(touch pwned) "x"'
    files = {
        "wrapper.sh": attempts.wrapper(str(tmp_path / "0"), TOKEN, env={"GREETING": value}),
        "payload.sh": b'printf %s "$GREETING"',
    }
    attempts.prepare(here, [attempts.Preparation(str(tmp_path / "0"), TOKEN, files)])
    assert start(tmp_path / "0").wait(20) == 0
    assert (tmp_path / "0" / "stdout").read_text() == value
    for name in ("A-B", "", "1A", "ONDECK_TOKEN", "A;x"):
        with pytest.raises(attempts.WrongName):
            attempts.wrapper(str(tmp_path / "0"), TOKEN, env={name: "x"})


@pytest.mark.parametrize("shell", SHELLS)
def test_cpu_seconds(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    directory = make(here, tmp_path / "0", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
    assert start(directory, shell).wait(30) == 0
    found = look(here, directory).exit
    assert found is not None
    assert found.cpu is not None
    assert 0.02 < found.cpu <= found.ended - found.started + 0.2


@pytest.mark.parametrize("shell", SHELLS)
def test_twenty_starts_at_once_are_one(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    directory = make(here, tmp_path / "0", counted(tmp_path, "sleep 0.3; exit 4"))
    children = [start(directory, shell, ONDECK_START_COUNT=str(i)) for i in range(20)]
    codes = sorted(child.wait(60) for child in children)
    assert codes == [4] + [75] * 19
    assert runs(tmp_path) == 1
    found = look(here, directory)
    assert found.claim is not None
    winner = next(child for child in children if child.returncode == 4)
    assert found.claim.pid == winner.pid
    assert found.claim.start_count == children.index(winner)
    assert not list(directory.glob(".*"))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_second_start_meets_the_claim(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    directory = make(here, tmp_path / "0", counted(tmp_path))
    assert start(directory, shell).wait(20) == 0
    before = {p: p.stat().st_mtime_ns for p in (directory, *directory.iterdir())}
    assert start(directory, shell, ONDECK_START_COUNT="1").wait(20) == 75
    assert {p: p.stat().st_mtime_ns for p in (directory, *directory.iterdir())} == before
    assert runs(tmp_path) == 1


def test_a_directory_of_another_token_runs_nothing(here: LocalTransport, tmp_path: Path) -> None:
    directory = make(here, tmp_path / "0", counted(tmp_path))
    (directory / "token").write_text("dtst999999999\n")
    assert start(directory).wait(20) == 75
    (directory / "token").unlink()
    assert start(directory).wait(20) == 75
    shutil.rmtree(directory)
    (tmp_path / "wrapper.sh").write_bytes(attempts.wrapper(str(directory), TOKEN))
    assert subprocess.run(["sh", str(tmp_path / "wrapper.sh")], capture_output=True, check=False).returncode == 74
    assert runs(tmp_path) == 0


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03, 0.05])
def test_revocation_against_twenty_starts(here: LocalTransport, tmp_path: Path, delay: float) -> None:
    """Never both, never neither; who revokes knows which."""
    for n in range(2):
        directory = make(here, tmp_path / str(n), counted(tmp_path))
        before = runs(tmp_path)
        barrier = threading.Barrier(21)
        children: list[subprocess.Popen[bytes]] = []

        def go(directory: Path = directory, barrier: threading.Barrier = barrier,
               children: list[subprocess.Popen[bytes]] = children) -> None:  # fmt: skip
            barrier.wait()
            children.append(start(directory))

        threads = [threading.Thread(target=go) for _ in range(20)]
        for thread in threads:
            thread.start()
        barrier.wait()
        time.sleep(delay)
        (revoked,) = attempts.revoke(here, [str(directory)], "Process@test:1")
        for thread in threads:
            thread.join()
        codes = sorted(child.wait(60) for child in children)
        started = runs(tmp_path) - before
        if revoked.outcome == "taken":
            assert (started, codes) == (0, [75] * 20)
        else:
            assert revoked.outcome == "job"
            assert revoked.claim is not None
            assert revoked.claim.pid in {child.pid for child in children}
            assert (started, codes) == (1, [0] + [75] * 19)
        assert start(directory).wait(20) == 75
        assert runs(tmp_path) == before + started


@pytest.mark.parametrize("shell", SHELLS)
def test_killed_at_any_moment(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    """Whatever moment the whole job is killed at: no wrong end is told, and no second payload comes."""
    told = {"nothing": 0, "claim": 0, "start": 0, "exit": 0}
    for n in range(24):
        directory = make(here, tmp_path / str(n), counted(tmp_path, "sleep 0.02; exit 3"))
        before = runs(tmp_path)
        child = start(directory, shell)
        time.sleep(0.006 * n)
        kill_session(child)
        found = look(here, directory)
        assert found.exit is None or found.exit.code == 3
        assert found.start is None or found.claim is not None
        if found.start is None:
            assert runs(tmp_path) == before
        again = start(directory, shell).wait(20)
        assert again == (3 if found.claim is None else 75)
        assert runs(tmp_path) - before <= 1
        told["exit" if found.exit else "start" if found.start else "claim" if found.claim else "nothing"] += 1
    assert told["nothing"]
    assert told["exit"] or told["start"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2"])
def test_signals_reach_the_payload(here: LocalTransport, tmp_path: Path, shell: str, name: str) -> None:
    payload = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    directory = make(here, tmp_path / "0", payload)
    child = start(directory, shell)
    until(lambda: (directory / "stdout").exists() and (directory / "stdout").read_text() == "ready\n")
    os.kill(child.pid, getattr(signal, f"SIG{name}"))
    assert child.wait(20) == 5
    assert (directory / "stdout").read_text() == f"ready\ngot {name}\n"
    found = look(here, directory).exit
    assert found is not None
    assert found.code == 5


@pytest.mark.parametrize("shell", SHELLS)
def test_many_signals_do_not_hide_the_end(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    directory = make(
        here, tmp_path / "0", "trap : USR1; i=0; while [ $i -lt 20 ]; do sleep 0.02; i=$((i+1)); done; exit 6"
    )
    child = start(directory, shell)
    until((directory / "stdout").exists)
    while child.poll() is None:
        if (directory / "exit").exists():
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGUSR1)
        time.sleep(0.002)
    child.wait(20)
    found = look(here, directory).exit
    assert found is not None
    # A payload that was hit before its trap stood has died of it; else its own end is told, not the signals'.
    assert found.code in (6, 128 + signal.SIGUSR1)
    if found.code != 6:
        assert found.ended - found.started < 0.2


@pytest.mark.parametrize("shell", SHELLS)
def test_term_of_a_payload_that_does_not_care(here: LocalTransport, tmp_path: Path, shell: str) -> None:
    directory = make(here, tmp_path / "0", "echo ready; exec sleep 30")
    child = start(directory, shell)
    until(lambda: (directory / "stdout").exists() and (directory / "stdout").read_text())
    os.killpg(child.pid, signal.SIGTERM)
    assert child.wait(20) == 143
    found = look(here, directory).exit
    assert found is not None
    assert (found.code, found.signal) == (143, 15)


def test_a_killed_wrapper_tells_nothing(here: LocalTransport, tmp_path: Path) -> None:
    directory = make(here, tmp_path / "0", counted(tmp_path, "echo ready; sleep 0.5; echo over"))
    child = start(directory)
    until(lambda: (directory / "stdout").exists() and (directory / "stdout").read_text())
    child.kill()
    child.wait()
    until(lambda: "over" in (directory / "stdout").read_text())
    found = look(here, directory)
    assert found.exit is None
    assert found.start is not None
    assert start(directory).wait(20) == 75
    assert runs(tmp_path) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_payload_that_fills_the_disk(here: LocalTransport, small_disk: Path, shell: str) -> None:
    directory = make(here, small_disk / "0", 'cat /dev/zero >"$ONDECK_OUTPUT/big"')
    assert start(directory, shell).wait(30) == 1
    assert shutil.disk_usage(small_disk).free == 0
    found = look(here, directory).exit
    assert found is not None
    assert found.code == 1


def test_a_full_disk_before_the_start(here: LocalTransport, small_disk: Path, tmp_path: Path) -> None:
    directory = make(here, small_disk / "0", counted(tmp_path))
    with contextlib.suppress(OSError), (small_disk / "big").open("wb", buffering=0) as big:
        while True:
            big.write(bytes(4096))
    assert shutil.disk_usage(small_disk).free == 0
    assert start(directory).wait(30) == 74
    assert runs(tmp_path) == 0
    found = look(here, directory)
    assert found.exit is None
    (prepared,) = attempts.prepare(
        here, [attempts.Preparation(str(small_disk / "1"), TOKEN, {"payload.sh": b"x" * 100_000})]
    )
    assert prepared.outcome == "failed"
    assert "space" in prepared.words or "token" in prepared.words
    (revoked,) = attempts.revoke(here, [str(directory)], "Process@test:1")
    assert revoked.outcome in ("failed", "job")
