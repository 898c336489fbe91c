"""The local transport, with real processes."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ondeck.config.sites import Site
from ondeck.sites.quote import NulInWord, to_bytes, to_text
from ondeck.sites.transport import (
    Command,
    LocalTransport,
    NoSuchFile,
    OpensshTransport,
    OutputTooLong,
    Result,
    TransportFailed,
    TransportTimeout,
    base,
    keeper,
    local,
    make_transport,
)
from ondeck.sites.transport.answer import ERR_LIMIT
from ondeck.sites.work import Work, WorkCancelled

HERE = LocalTransport("here")


def sh(script: str, *args: str, input: bytes = b"", name: str = "", limit: int = 10**8) -> Command:
    return Command(("sh", "-c", script, "sh", *args), input, name, limit)


def alive(pid: int) -> bool:
    """Whether a process runs: it is there and no zombie that nobody has reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def number_in(path: Path) -> int:
    assert until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


# ---- run


def test_output_code_and_time() -> None:
    result = HERE.run(sh("echo out; echo err >&2; exit 3"), timeout=10)
    assert result[:3] == (3, b"out\n", b"err\n")
    assert 0 < result.seconds < 10


def test_stdin_is_the_input_or_nothing() -> None:
    assert HERE.run(Command(("cat",), b"a\0b"), timeout=10).out == b"a\0b"
    assert HERE.run(sh("readlink /proc/self/fd/0"), timeout=10).out == b"/dev/null\n"


def test_much_in_and_out_at_once_does_not_block() -> None:
    data = os.urandom(5_000_000)
    result = HERE.run(sh("tee /dev/stderr", input=data), timeout=60)
    assert result.out == data
    assert result.err == data[:ERR_LIMIT]


def test_a_command_need_not_read_its_input() -> None:
    assert HERE.run(sh("exit 5", input=b"x" * 1_000_000), timeout=10).code == 5


def test_what_is_missing_gives_127() -> None:
    assert HERE.run(Command(("ondeck-has-no-such-command",)), timeout=10).code == 127


def test_without_setpriv_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_die_with_parent", lambda: ())
    assert HERE.run(Command(("ondeck-has-no-such-command",)), timeout=10).code == 127
    assert HERE.run(Command(("echo", "hi")), timeout=10).out == b"hi\n"


def test_a_killed_command_counts_as_in_a_shell() -> None:
    assert HERE.run(sh("kill -9 $$"), timeout=10).code == 128 + 9


def test_words_stay_words(tmp_path: Path) -> None:
    pwned = tmp_path / "pwned"
    words = (f"; touch {pwned}", f"$(touch {pwned})", "a b", "", "*", "-n", "\udcff\n'\"")
    out = HERE.run(Command(("printf", "%s\\0", *words)), timeout=10).out
    assert [to_text(word) for word in out.split(b"\0")[:-1]] == list(words)
    assert not pwned.exists()


def test_nul_in_a_word_is_refused() -> None:
    with pytest.raises(NulInWord):
        HERE.run(Command(("echo", "a\0b")), timeout=10)


def test_what_can_not_be_started_is_machinery() -> None:
    with pytest.raises(TransportFailed, match="site here: too much failed: not started"):
        HERE.run(Command(("echo", "x" * 10_000_000), name="too much"), timeout=10)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONDECK_CONFIG", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("RSYNC_RSH", "secret")
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "yes")
    lines = HERE.run(Command(("env",)), timeout=10).out.decode().splitlines()
    assert {"LC_ALL=C", "KEPT=yes", f"PATH={os.environ['PATH']}"} <= set(lines)
    assert not [line for line in lines if "secret" in line or line.startswith("LC_M")]


def test_each_has_its_own_session() -> None:
    out = HERE.run(sh("ps -o sid=,pgid= -p $$; echo $$"), timeout=10).out.split()
    assert out[0] == out[1] == out[2]


def test_too_much_output_is_refused_and_killed() -> None:
    begin = time.monotonic()
    with pytest.raises(OutputTooLong, match="site here: flood gave more than 1000000 bytes"):
        HERE.run(Command(("yes",), name="flood", limit=1_000_000), timeout=60)
    assert time.monotonic() - begin < 10


# ---- ends


def test_timeout_kills_grandchildren(tmp_path: Path) -> None:
    begin = time.monotonic()
    script = '(sh -c \'echo $$ >"$1"; exec sleep 300\' sh "$1") & echo half; wait'
    with pytest.raises(TransportTimeout, match=r"site here: nap took longer than 0\.5 s and was killed") as e:
        HERE.run(sh(script, str(tmp_path / "pid"), name="nap"), timeout=0.5)
    assert time.monotonic() - begin < 2
    assert e.value.partial.out == b"half\n"
    assert until(lambda: not alive(number_in(tmp_path / "pid")))


def test_what_ignores_term_is_killed(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(TransportTimeout):
        HERE.run(sh('trap "" TERM; echo $$ >"$1"; while :; do sleep 1; done', str(tmp_path / "pid")), timeout=0.3)
    assert 2 <= time.monotonic() - begin < 6
    assert not alive(number_in(tmp_path / "pid"))


def test_cancel_from_another_thread(tmp_path: Path) -> None:
    work = Work("run 7")
    pid = tmp_path / "pid"
    times = []

    def cancel() -> None:
        number_in(pid)
        times.append(time.monotonic())
        work.cancel("the lease was lost")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(WorkCancelled, match="run 7 was broken off: the lease was lost"):
        HERE.run(sh('trap "" TERM; (sleep 300 & echo $! >"$1"); sleep 300', str(pid)), timeout=60, work=work)
    assert time.monotonic() - times[0] < 1
    thread.join()
    assert until(lambda: not alive(number_in(pid)))


def test_cancelled_work_starts_nothing(tmp_path: Path) -> None:
    work = Work()
    work.cancel()
    with pytest.raises(WorkCancelled):
        HERE.run(Command(("touch", str(tmp_path / "started"))), timeout=10, work=work)
    assert not (tmp_path / "started").exists()


def test_a_child_that_holds_the_output_is_killed(tmp_path: Path) -> None:
    begin = time.monotonic()
    result = HERE.run(sh('sleep 300 & echo $! >"$1"; echo done', str(tmp_path / "pid")), timeout=60)
    assert result[:2] == (0, b"done\n")
    assert time.monotonic() - begin < 10
    assert until(lambda: not alive(number_in(tmp_path / "pid")))


def test_a_detached_child_lives_on(tmp_path: Path) -> None:
    result = HERE.run(
        sh('setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $! >"$1"', str(tmp_path / "pid")), timeout=60
    )
    pid = number_in(tmp_path / "pid")
    try:
        assert (result.code, result.seconds < 1) == (0, True)
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_progress_is_bytes_and_cpu_of_children() -> None:
    work = Work()
    seen = []
    thread = threading.Thread(
        target=lambda: HERE.run(sh("head -c 300000000 /dev/zero | cat >/dev/null; sleep 0.3"), timeout=60, work=work)
    )
    thread.start()
    while thread.is_alive():
        seen.append(work.progress())
        time.sleep(0.01)
    thread.join()
    assert seen == sorted(seen)
    assert max(seen) > 1_000_000
    assert work.progress() >= max(seen)


def test_no_descriptor_and_no_process_stays_behind() -> None:
    HERE.run(Command(("true",)), timeout=10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        HERE.run(Command(("cat",), b"x"), timeout=10)
    with pytest.raises(TransportTimeout):
        HERE.run(Command(("sleep", "9")), timeout=0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert [c for c in children if Path(f"/proc/{c}/stat").read_text().rpartition(")")[2].split()[0] == "Z"] == []


def test_many_threads_at_once() -> None:
    answers: list[bytes] = []

    def ask(i: int) -> None:
        answers.append(HERE.run(Command(("cat",), str(i).encode()), timeout=60).out)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, answers)) == list(range(30))


DAEMON = """
    import sys
    from ondeck.sites.transport import Command, LocalTransport
    # a child that dies with its parent, and a grandchild of which the kernel knows no such thing
    inner = 'trap "" TERM HUP; echo $$ >"$1.grandchild"; sleep 300; :'
    outer = 'sh -c "$2" sh "$1" & echo $$ >"$1.child"; wait'
    LocalTransport("here").run(Command(("sh", "-c", outer, "sh", sys.argv[1], inner)), timeout=300)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_the_daemon(tmp_path: Path, number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(DAEMON), str(tmp_path / "pid")]) as daemon:
        child, grandchild = (number_in(tmp_path / f"pid.{who}") for who in ("child", "grandchild"))
        assert alive(child)
        assert alive(grandchild)
        daemon.send_signal(number)
    assert until(lambda: not alive(child))
    assert until(lambda: not alive(grandchild))


def test_a_killed_keeper_is_replaced() -> None:
    HERE.run(Command(("true",)), timeout=10)
    first = keeper._keeper
    assert first is not None
    first.kill()
    first.wait()
    assert HERE.run(Command(("true",)), timeout=10).code == 0
    assert keeper._keeper is not None
    assert keeper._keeper.pid != first.pid


# ---- run_many


def test_many_commands_in_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = []
    run = LocalTransport.run
    monkeypatch.setattr(LocalTransport, "run", lambda self, c, **k: trips.append(c.title) or run(self, c, **k))
    answers = HERE.run_many(
        [
            Command(("cat",), b"a\0\xff\n", name="cats"),
            sh("echo out; echo err >&2; exit 7"),
            Command(("ondeck-has-no-such-command",)),
            Command(("cat",)),
            sh("exit 0"),
        ],
        timeout=10,
    )
    assert [a and a[:2] for a in answers] == [
        (0, b"a\0\xff\n"),
        (7, b"out\n"),
        (127, b""),
        (0, b""),
        (0, b""),
    ]
    assert answers[1] is not None
    assert answers[1].err == b"err\n"
    assert trips == ["5 × cats"]


def test_no_commands_no_round_trip() -> None:
    assert HERE.run_many([], timeout=0) == []


@settings(max_examples=30)
@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=300)), min_size=1, max_size=5))
def test_any_words_and_any_input(items: list[tuple[bytes, bytes]]) -> None:
    words = [to_text(word.replace(b"\0", b"0")) for word, _ in items]
    commands = [
        Command(("sh", "-c", 'printf %s "$1"; cat', "sh", word), data)
        for word, (_, data) in zip(words, items, strict=True)
    ]
    answers = HERE.run_many(commands, timeout=30)
    found = [a and a.out for a in answers]
    assert found == [to_bytes(word) + data for word, (_, data) in zip(words, items, strict=True)]


def test_hundreds_with_ten_kilobytes_each() -> None:
    data = os.urandom(10_000)
    answers = HERE.run_many([Command(("cat",), data + bytes([i % 256])) for i in range(300)], timeout=60)
    assert [a and a.out[-1] for a in answers] == [i % 256 for i in range(300)]
    assert all(a and a.out[:-1] == data for a in answers)


def test_what_a_hostile_command_says_does_not_reach_the_others(tmp_path: Path) -> None:
    answers = HERE.run_many([Command(("echo", "<0:begin>'; touch pwned; '")), Command(("pwd",))], timeout=10)
    assert [a and a.out for a in answers] == [b"<0:begin>'; touch pwned; '\n", b"/\n"]
    assert not Path("/pwned").exists()


def test_the_script_stops_half_way() -> None:
    answers = HERE.run_many([Command(("echo", "a")), sh("kill -9 $PPID"), Command(("echo", "c"))], timeout=10)
    assert [a and a.out for a in answers] == [b"a\n", None, None]


def test_time_is_up_half_way() -> None:
    answers = HERE.run_many([Command(("echo", "a")), Command(("sleep", "99"))], timeout=0.5)
    assert [a and a.out for a in answers] == [b"a\n", None]
    with pytest.raises(TransportTimeout):
        HERE.run_many([Command(("sleep", "99")), Command(("echo", "a"))], timeout=0.2)


class Banner(LocalTransport):
    """A login shell that talks, and may cut the answer off."""

    def __init__(self, keep: float = 1.0, code: int = 0) -> None:
        super().__init__("there")
        self.keep = keep
        self.code = code

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        result = super().run(command, timeout=timeout, work=work)
        out = b"Welcome!\n<:0:begin>\n" + result.out
        return Result(self.code or result.code, out[: int(len(out) * self.keep)], b"motd" + result.err, result.seconds)


def test_a_banner_is_ignored() -> None:
    answers = Banner().run_many([Command(("echo", "a")), sh("echo e >&2")], timeout=10)
    assert [a and (a.out, a.err) for a in answers] == [(b"a\n", b""), (b"", b"e\n")]


def test_half_an_answer_is_none() -> None:
    answers = Banner(keep=0.5).run_many([Command(("echo", "x" * 50)) for _ in range(9)], timeout=10)
    assert [a is not None for a in answers] == sorted([a is not None for a in answers], reverse=True)
    assert answers[0] is not None
    assert answers[-1] is None
    assert all(a is None or a.out == b"x" * 50 + b"\n" for a in answers)


def test_no_answer_at_all_is_machinery() -> None:
    with pytest.raises(TransportFailed, match="site there: 1 × echo failed: motd"):
        Banner(keep=0.01, code=255).run_many([Command(("echo", "a"))], timeout=10)


@given(st.binary())
def test_noise_is_no_answer(noise: bytes) -> None:
    assert base.many_answers(Result(0, noise, noise, 0.0), 2, "abcd") == [None, None]


# ---- put and get


def test_put_and_get(tmp_path: Path) -> None:
    path = tmp_path / "a b\n;'"
    data = os.urandom(300_000)
    HERE.put(data, str(path), 0o600)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert HERE.get(str(path)) == data
    HERE.put(b"", str(path))
    assert HERE.get(str(path)) == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_put_replaces_a_link_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    HERE.put(b"new", str(tmp_path / "link"))
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "link").is_symlink()


def test_put_that_is_cut_off_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    short = base.PUT.command(str(tmp_path / "file"), "0600", "10", input=b"12345")
    result = HERE.run(short, timeout=10)
    assert (result.code, result.err) == (1, b"only 5 of 10 bytes came\n")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_put_into_nowhere(tmp_path: Path) -> None:
    with pytest.raises(TransportFailed, match=r"site here: put .*/nowhere/file failed: exit code 1: mktemp"):
        HERE.put(b"x", str(tmp_path / "nowhere" / "file"))


def test_get_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile, match=r"site here: there is no plain file .*/x\\ny\."):
        HERE.get(str(tmp_path / "x\ny"))
    with pytest.raises(NoSuchFile):
        HERE.get(str(tmp_path))


def test_get_what_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert HERE.get(str(tmp_path / "file"), 5) == b"12345"
    with pytest.raises(OutputTooLong, match="more than 4 bytes"):
        HERE.get(str(tmp_path / "file"), 4)


def test_transports_by_name() -> None:
    here = make_transport(Site(name="lab", transport="local", work=Path("/work")))
    assert isinstance(here, LocalTransport)
    assert (here.name, here.place, here.remote_shell()) == ("lab", "local", None)
    site = Site(name="lab", transport="openssh", work=Path("/work"), host="far", user="daq", port=2222)
    far = make_transport(site)
    assert isinstance(far, OpensshTransport)
    assert (far.name, far.place) == ("lab", "daq@far:2222")
    shell = far.remote_shell()
    assert shell is not None
    assert shell.host == "daq@far"
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "Port=2222"} <= set(shell.argv)
