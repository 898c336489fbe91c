"""The directories of attempts: made once, claimed once, and read without being believed."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.sites import attempts
from ondeck.sites.attemptfiles import (
    TOKEN,
    BadToken,
    GarbledFile,
    check_token,
    make_token,
    parse_claim,
    parse_exit,
    parse_start,
    parse_token,
    token_prefix,
)
from ondeck.sites.attempts import Place, Preparation
from ondeck.sites.command import Command, Result
from ondeck.sites.transport import LocalTransport
from ondeck.sites.work import Work

A, B = "dtst0000000aa", "dtst0000000bb"
HOSTILE = [
    "plain",
    "two words",
    "it's; touch pwned",
    "new\nline",
    "$(touch pwned)",
    "-rf",
    "*",
    "ünïcode",
    "byte\udcff",
    "[a-z]\\",
]


@pytest.fixture
def here() -> LocalTransport:
    return LocalTransport("here")


def test_tokens() -> None:
    prefix = token_prefix("ligo", "/var/ondeck")
    assert re.fullmatch("[a-z][0-9a-z]{3}", prefix)
    assert prefix == token_prefix("ligo", "/var/ondeck")
    assert len({token_prefix(name, folder) for name in "abcdef" for folder in ("/x", "/y", "")}) > 15
    assert token_prefix("ab", "c") != token_prefix("a", "bc")
    made = {make_token(prefix) for _ in range(1000)}
    assert len(made) == 1000
    assert all(TOKEN.fullmatch(token) and token.startswith(prefix) for token in made)
    for bad in ("", "1abc", "abcd\n", "ABCD"):
        with pytest.raises(BadToken):
            make_token(bad)
        with pytest.raises(BadToken):
            check_token(bad)


@pytest.mark.parametrize("name", HOSTILE)
def test_prepare_twice(here: LocalTransport, tmp_path: Path, name: str) -> None:
    directory = f"{tmp_path}/new/{name}/0"
    files = {"payload.sh": b"\0binary\xff" * 50_000, "wrapper.sh": b"x", "data": b""}
    (made,) = attempts.prepare(here, [Preparation(directory, A, files)])
    assert made == attempts.Prepared(directory, "made", A)
    inside = Path(directory)
    assert (inside / "token").read_text() == f"{A}\n"
    assert {p.name: p.read_bytes() for p in inside.iterdir() if p.name != "token"} == files
    assert os.access(inside / "wrapper.sh", os.X_OK)
    assert (inside / "data").stat().st_mode & 0o111 == 0
    before = {p: p.stat() for p in (inside, *inside.iterdir())}
    (again,) = attempts.prepare(here, [Preparation(directory, B, {"payload.sh": b"other"})])
    assert again == attempts.Prepared(directory, "token", A)
    assert {p: p.stat().st_mtime_ns for p in before} == {p: s.st_mtime_ns for p, s in before.items()}
    (inside / "token").write_bytes(b"")
    assert attempts.prepare(here, [Preparation(directory, B, {})])[0].outcome == "no token"
    (inside / "token").unlink()
    assert attempts.prepare(here, [Preparation(directory, B, {})])[0].outcome == "no token"
    (inside / "token").write_bytes(b"someone's\0 file")
    (found,) = attempts.prepare(here, [Preparation(directory, B, {})])
    assert found.outcome == "failed"
    assert "token" in found.words
    assert not list(Path.cwd().glob("pwned"))


def test_prepare_a_mixture(here: LocalTransport, tmp_path: Path) -> None:
    """Those that were there are left alone, those that can't be made don't spoil the others."""
    (tmp_path / "file").write_text("")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    names = ["a/0", "there", "file", "file/0", "link", "b/0"]
    prepared = attempts.prepare(here, [Preparation(f"{tmp_path}/{n}", A, {"payload.sh": b"x"}) for n in names])
    assert [p.outcome for p in prepared] == ["made", "no token", "failed", "failed", "failed", "made"]
    assert all(p.words for p in prepared if p.outcome == "failed")
    assert (tmp_path / "a" / "0" / "payload.sh").read_bytes() == b"x"
    assert not list((tmp_path / "there").iterdir())
    assert attempts.prepare(here, []) == []


def test_two_prepare_the_same(here: LocalTransport, tmp_path: Path) -> None:
    names = [f"{tmp_path}/{n}/0" for n in range(40)]
    answers: list[list[attempts.Prepared]] = []
    barrier = threading.Barrier(2)

    def go(token: str) -> None:
        barrier.wait()
        answers.append(attempts.prepare(here, [Preparation(n, token, {"payload.sh": token.encode()}) for n in names]))

    threads = [threading.Thread(target=go, args=(token,)) for token in (A, B)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other, name in zip(*answers, names, strict=True):
        assert sorted(p.outcome == "made" for p in (one, other)) == [False, True]
        winner = one if one.outcome == "made" else other
        assert winner.token is not None
        assert (Path(name) / "payload.sh").read_text() == winner.token
        assert (Path(name) / "token").read_text().strip() == winner.token


def test_many_in_few_round_trips(tmp_path: Path) -> None:
    class Counting(LocalTransport):
        count = 0

        def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
            Counting.count += 1
            return super().run(command, timeout=timeout, work=work)

    here = Counting("here")
    names = [f"{tmp_path}/a longer name of a run {n}/0" for n in range(500)]
    prepared = attempts.prepare(here, [Preparation(n, make_token("dtst"), {"payload.sh": b"x"}) for n in names])
    assert {p.outcome for p in prepared} == {"made"}
    assert [p.directory for p in prepared] == names
    assert Counting.count <= 2
    assert [g[:4] for g in attempts.glance(here, names)] == [(True, True, False, False)] * 500
    assert [found.token for found in attempts.look(here, names)] == [p.token for p in prepared]
    assert {r.outcome for r in attempts.revoke(here, names, "Process@h:1")} == {"taken"}
    assert Counting.count <= 2 + 2 + 2 + 6


@pytest.mark.parametrize("path", ["relative/0", "/", "/a/../b", "/a//b", "/a/./b", "/a/", "", "/a\0b"])
def test_directories_must_be_plain(here: LocalTransport, path: str) -> None:
    with pytest.raises(attempts.WrongName):
        attempts.prepare(here, [Preparation(path, A, {})])
    with pytest.raises(attempts.WrongName):
        attempts.look(here, [path])
    with pytest.raises(attempts.WrongName):
        attempts.revoke(here, [path], "x")


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden", "token", "a\0"])
def test_files_must_be_plain(here: LocalTransport, tmp_path: Path, name: str) -> None:
    with pytest.raises(attempts.WrongName):
        attempts.prepare(here, [Preparation(f"{tmp_path}/0", A, {name: b""})])
    assert not (tmp_path / "0").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_revoke(here: LocalTransport, tmp_path: Path, name: str) -> None:
    there, missing = f"{tmp_path}/{name}/0", f"{tmp_path}/{name}/1/2"
    attempts.prepare(here, [Preparation(there, A, {})])
    first = attempts.revoke(here, [there, missing], f"Process@{name}:1")
    assert [r.outcome for r in first] == ["taken", "taken"]
    assert first[0].claim is not None
    assert first[0].claim.by == "process"
    second = attempts.revoke(here, [missing, there], "Process@other:2")
    assert [r.outcome for r in second] == ["process", "process"]
    assert second[1].claim == first[0].claim
    assert sorted(p.name for p in Path(there).iterdir()) == ["claim", "token"]
    assert [p.name for p in Path(missing).iterdir()] == ["claim"]
    found = attempts.look(here, [there, missing])
    assert found[0].claim == first[0].claim
    assert found[1].token is None


def test_one_revocation_wins(here: LocalTransport, tmp_path: Path) -> None:
    names = [f"{tmp_path}/{n}" for n in range(15)]
    answers: list[list[attempts.Revoked]] = []
    barrier = threading.Barrier(4)

    def go(who: str) -> None:
        barrier.wait()
        answers.append(attempts.revoke(here, names, who))

    threads = [threading.Thread(target=go, args=(f"P{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for of_one in zip(*answers, strict=True):
        assert sorted(r.outcome for r in of_one) == ["process"] * 3 + ["taken"]
        assert len({r.claim for r in of_one}) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"ondeck-claim 1\nby job\n", b"\0" * 9000, b"ondeck-claim 2\nby process\nend\n"],
)
def test_a_foreign_claim_is_nobodys(here: LocalTransport, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "claim").write_bytes(content)
    (revoked,) = attempts.revoke(here, [f"{tmp_path}/0"], "x")
    assert revoked.outcome == "failed"
    assert "claim" in revoked.words
    assert (tmp_path / "0" / "claim").read_bytes() == content


def test_what_can_not_be_revoked(here: LocalTransport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dir" / "claim").mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "claim").symlink_to("nowhere")
    answers = attempts.revoke(here, [f"{tmp_path}/{n}" for n in ("file", "file/0", "dir", "link", "good")], "x")
    assert [r.outcome for r in answers] == ["failed"] * 4 + ["taken"]
    assert not list((tmp_path / "dir" / "claim").iterdir())


def test_look(here: LocalTransport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "0" / "start").mkdir(parents=True)
    (tmp_path / "0" / "exit").write_bytes(b"ondeck-exit 1\ntoken dtst0000000aa\ncode 0\n")
    (tmp_path / "0" / "token").write_bytes(b"dtst0000000aa")
    missing, file, there = attempts.look(here, [f"{tmp_path}/{n}" for n in ("none", "file", "0")])
    assert (missing.exists, missing.token, missing.claim, missing.start, missing.exit) == (
        False,
        None,
        None,
        None,
        None,
    )
    with pytest.raises(attempts.UnreadableFile, match="no directory"):
        _ = file.exists
    assert (there.exists, there.token, there.claim) == (True, A, None)
    with pytest.raises(attempts.UnreadableFile, match="no plain file"):
        _ = there.start
    with pytest.raises(GarbledFile, match=r"0/exit .*last line.*code 0"):
        _ = there.exit
    with pytest.raises(attempts.UnreadableFile):
        _ = attempts.Look("/x", {"": b"+", "exit": b"!Stale file handle"}).exit


def test_the_disk_of_the_attempts(here: LocalTransport, tmp_path: Path) -> None:
    """On a disk that is not mounted all attempts seem to be missing: nothing is concluded or made there."""
    place = Place(str(tmp_path), "3f0c")
    directory = f"{tmp_path}/0"
    calls: list[Callable[[], object]] = [
        lambda: attempts.prepare(here, [Preparation(directory, A, {})], place=place),
        lambda: attempts.look(here, [directory], place=place),
        lambda: attempts.glance(here, [directory], place=place),
        lambda: attempts.revoke(here, [directory], "x", place=place),
        lambda: attempts.publish(here, [(f"{tmp_path}/link", directory)], place=place),
    ]
    for content in (None, "", "other\n"):
        if content is not None:
            (tmp_path / ".ondeck-storage").write_text(content)
        for call in calls:
            with pytest.raises(attempts.Unmounted, match="3f0c"):
                call()
        assert [p.name for p in tmp_path.iterdir()] == ([] if content is None else [".ondeck-storage"])
    (tmp_path / ".ondeck-storage").write_text("3f0c\n")
    for call in calls:
        call()
    assert (tmp_path / "link" / "token").read_text() == f"{A}\n"


def test_publish(here: LocalTransport, tmp_path: Path) -> None:
    old, new = tmp_path / "job" / "0" / "output", tmp_path / "job; x" / "1" / "output"
    for output in (old, new):
        output.mkdir(parents=True)
    link = f"{tmp_path}/results/it's\na run/sums"
    assert attempts.publish(here, [(link, str(old))]) == [attempts.Published(True, True)]
    assert not Path(link).readlink().is_absolute()
    assert Path(link).resolve() == old
    assert attempts.publish(here, [(link, str(old))]) == [attempts.Published(True, False)]
    assert attempts.publish(here, [(link, str(new))]) == [attempts.Published(True, True)]
    assert Path(link).resolve() == new
    real = tmp_path / "real"
    (real / "inside").mkdir(parents=True)
    answers = attempts.publish(here, [(str(real), str(new)), (link, f"{tmp_path}/none"), (f"{tmp_path}/l2", str(old))])
    assert [a.done for a in answers] == [False, False, True]
    assert answers[0].words
    assert "none" in answers[1].words
    assert real.is_dir()
    assert not real.is_symlink()
    assert Path(link).resolve() == new
    assert [p.name for p in Path(link).parent.iterdir()] == ["sums"]
    assert [p.name for p in real.iterdir()] == ["inside"]


def test_a_published_link_is_never_missing(here: LocalTransport, tmp_path: Path) -> None:
    for n in "01":
        (tmp_path / n).mkdir()
    link = tmp_path / "link"
    attempts.publish(here, [(str(link), f"{tmp_path}/0")])
    stop, missing = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            if not link.exists():
                missing.append(1)

    thread = threading.Thread(target=watch)
    thread.start()
    for k in range(20):
        attempts.publish(here, [(str(link), f"{tmp_path}/{(k + 1) % 2}")])
    stop.set()
    thread.join()
    assert not missing


def test_tail(here: LocalTransport, tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"x" * 100_000 + b"\0end\xff")
    assert attempts.tail(here, str(tmp_path), 5) == (b"\0end\xff", b"")
    (tmp_path / "stderr").write_bytes(b"why")
    (tmp_path / "stdout").unlink()
    os.mkfifo(tmp_path / "stdout")  # a payload may leave anything
    assert attempts.tail(here, str(tmp_path)) == (b"", b"why")


class Answers(LocalTransport):
    """Gives one answer to everything."""

    def __init__(self, out: bytes, code: int = 0) -> None:
        super().__init__("liar")
        self.answer = Result(code, out, b"", 0.0)

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        return self.answer


@given(
    st.binary(max_size=40) | st.lists(st.sampled_from([b"made", b"+", b"-", b"0", b"", b"end", b"!"])).map(b"\0".join)
)
def test_half_answers_are_no_answers(out: bytes) -> None:
    liar = Answers(out)
    for call in (
        lambda: attempts.prepare(liar, [Preparation("/a", A, {})]),
        lambda: attempts.look(liar, ["/a"]),
        lambda: attempts.revoke(liar, ["/a"], "x"),
        lambda: attempts.publish(liar, [("/a", "/b")]),
        lambda: attempts.glance(liar, ["/a"]),
    ):
        try:
            answer = call()
        except (attempts.NoAnswer, attempts.Unmounted):
            continue
        assert out.endswith(b"\0end\0")
        assert len(answer) == 1


EXIT = f"""ondeck-exit 1
token {A}
code 0
signal -
host node1
started 1700000000.5
ended 1700000009
cpu 1.25
end
"""


def test_an_exit_file() -> None:
    found = parse_exit(EXIT.encode(), "/a/exit")
    assert found.reason is None
    late = EXIT.replace("\nend", "\nreason walltime\nend")
    assert parse_exit(late.encode(), "/a/exit").reason == "walltime"
    assert parse_exit(late.replace("walltime", "-").encode(), "/a/exit") == found
    assert (found.token, found.code, found.signal, found.host) == (A, 0, None, "node1")
    assert (found.started, found.ended, found.cpu) == (1700000000.5, 1700000009.0, 1.25)
    assert parse_exit((EXIT + " " * 500 + "\n").encode(), "/a/exit") == found
    killed = EXIT.replace("code 0", "code 137").replace("signal -", "signal 9").replace("cpu 1.25", "cpu -")
    assert (parse_exit(killed.encode(), "x").signal, parse_exit(killed.encode(), "x").cpu) == (9, None)


@pytest.mark.parametrize("cut", range(len(EXIT) - 1))
def test_a_half_exit_file_is_never_believed(cut: int) -> None:
    if EXIT[:cut].rstrip() == EXIT.rstrip():
        return
    with pytest.raises(GarbledFile, match="/a/exit"):
        parse_exit(EXIT[:cut].encode(), "/a/exit")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("code 0", "code 256"),
        ("code 0", "code -1"),
        ("code 0", "code ٣"),
        ("code 0", "code "),
        ("code 0", "code -"),
        ("code 0\n", ""),
        ("code 0", "code 0\ncode 3"),
        ("signal -", "signal 9"),
        ("exit 1", "exit 2"),
        ("end", "fin"),
        ("ended 1700000009", "ended soon"),
        ("ended 1700000009", "ended nan"),
        ("cpu 1.25", "cpu -1"),
        ("host node1", "host "),
    ],
)
def test_a_wrong_exit_file_is_never_believed(old: str, new: str) -> None:
    with pytest.raises(GarbledFile):
        parse_exit(EXIT.replace(old, new, 1).encode(), "/a/exit")


@given(
    st.binary(max_size=300)
    | st.text(max_size=100).map(lambda t: EXIT.replace("1700000009", t).encode("utf-8", "replace"))
)
def test_no_file_raises_anything_else(content: bytes) -> None:
    for parse in (parse_exit, parse_claim, parse_start, parse_token):
        with contextlib.suppress(GarbledFile):
            parse(content, "/a\nb")
