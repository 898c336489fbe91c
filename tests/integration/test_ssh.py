"""Commands on another machine, through a real sshd."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sshd import Sshd, no_sshd_because

from ondeck.config.sites import Site
from ondeck.sites.quote import to_text
from ondeck.sites.transport import (
    Command,
    OutputTooLong,
    Transport,
    TransportFailed,
    TransportTimeout,
    make_transport,
)
from ondeck.sites.work import Work, WorkCancelled


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if reason := no_sshd_because():
        pytest.skip(reason)
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def far_by(sshd: Sshd) -> Iterator[Callable[..., Transport]]:
    made: list[Transport] = []

    def make(**keys: Any) -> Transport:
        made.append(make_transport(Site(**sshd.site(**keys))))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def far(far_by: Callable[..., Transport]) -> Transport:
    return far_by()


def sh(script: str, *args: str, input: bytes = b"", limit: int = 10**8) -> Command:
    return Command(("sh", "-c", script, "sh", *args), input, "script", limit)


def gone(pid: Path, seconds: float = 8) -> bool:
    number, end = pid.read_text().strip(), time.monotonic() + seconds
    while Path("/proc", number).exists() and time.monotonic() < end:
        if Path("/proc", number, "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return not Path("/proc", number).exists()


def test_output_and_code(far: Transport) -> None:
    assert far.run(sh("echo out; echo err >&2; exit 3"), timeout=20)[:3] == (3, b"out\n", b"err\n")
    assert far.run(Command(("ondeck-has-no-such-command",)), timeout=20).code == 127
    assert far.run(sh("kill -9 $$"), timeout=20).code == 137


def test_words_stay_words(far: Transport) -> None:
    words = ("$(id)", "a b", "", "*", "-n", "!x", "\\n", "`id`", "it's", "\udcff\n'\"", "ü", "x" * 100_000)
    out = far.run(Command(("printf", "%s\\0", *words)), timeout=20).out
    assert [to_text(word) for word in out.split(b"\0")[:-1]] == list(words)


def test_much_in_and_out(far: Transport) -> None:
    data = os.urandom(10_000_000)
    assert far.run(Command(("cat",), data), timeout=60).out == data
    assert far.run(sh("exit 5", input=data), timeout=60).code == 5
    with pytest.raises(OutputTooLong):
        far.run(Command(("yes",), limit=1_000_000), timeout=60)


def test_time_is_up(far: Transport, tmp_path: Path) -> None:
    far.run(Command(("true",)), timeout=20)
    begin = time.monotonic()
    with pytest.raises(TransportTimeout) as e:
        far.run(
            sh('echo half; (sh -c \'echo $$ >"$1"; exec sleep 300\' sh "$1") & wait', str(tmp_path / "p")), timeout=1
        )
    assert time.monotonic() - begin < 6
    assert e.value.partial.out == b"half\n"
    assert gone(tmp_path / "p")


def test_cancelled_work(far: Transport, tmp_path: Path) -> None:
    far.run(Command(("true",)), timeout=20)
    work = Work("run 7")
    threading.Timer(0.8, work.cancel).start()
    with pytest.raises(WorkCancelled):
        far.run(
            sh('trap "" TERM; echo $$ >"$1"; while :; do sleep 1; done', str(tmp_path / "p")), timeout=60, work=work
        )
    assert gone(tmp_path / "p")


def test_many_put_get_and_jump(far: Transport, far_by: Callable[..., Transport], sshd: Sshd, tmp_path: Path) -> None:
    assert [a and a.out for a in far.run_many([Command(("cat",), b"a"), Command(("echo", "b"))], timeout=20)] == [
        b"a",
        b"b\n",
    ]
    far.put(b"content", str(tmp_path / "f"))
    assert far.get(str(tmp_path / "f")) == b"content"
    hop = f"127.0.0.1:{sshd.port}"
    assert far_by(proxy_jump=f"{hop},{hop}").run(Command(("echo", "hi")), timeout=30).out == b"hi\n"


def test_hosts_and_keys_that_are_not_known(far_by: Callable[..., Transport], sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(TransportFailed, match="host key"):
        far_by(known_hosts=tmp_path / "empty").run(Command(("true",)), timeout=20)
    assert (tmp_path / "empty").read_text() == ""
    with pytest.raises(TransportFailed, match="Permission denied"):
        far_by(key_file=sshd.folder / "host").run(Command(("true",)), timeout=20)
