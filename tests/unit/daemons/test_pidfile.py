from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.daemons import pidfile
from ondeck.daemons.identity import me
from ondeck.daemons.pidfile import PidFile, PidFileTaken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Transfer.pid"


def test_one_holds_it_at_a_time(path: Path) -> None:
    mine, other = PidFile(path, "Transfer", me()), PidFile(path, "Transfer", me()._replace(pid=1))
    mine.take()
    assert pidfile.read(path) == me()
    with pytest.raises(PidFileTaken) as refused:
        other.take()
    assert str(refused.value) == f"{path} is locked: Transfer is already running: pid {os.getpid()} on {me().host}."
    assert pidfile.read(path) == me()
    other.leave()
    assert path.exists()
    mine.leave()
    assert not path.exists()
    other.take()
    assert pidfile.read(path) == me()._replace(pid=1)
    other.leave()
    other.leave()


def test_a_longer_stale_file_leaves_nothing_behind(path: Path) -> None:
    path.write_text("1\n" * 1000)
    mine = PidFile(path, "Transfer", me())
    mine.take()
    assert path.read_text() == "\n".join(map(str, me())) + "\n"
    mine.leave()


def test_it_is_made_again_when_it_was_removed_or_replaced(path: Path) -> None:
    mine = PidFile(path, "Transfer", me())
    assert not mine.keep()
    mine.take()
    assert mine.keep()
    path.unlink()
    assert mine.keep()
    assert pidfile.read(path) == me()
    with pytest.raises(PidFileTaken):
        PidFile(path, "Transfer", me()).take()
    path.unlink()
    other = PidFile(path, "Transfer", me()._replace(pid=1))
    other.take()
    assert not mine.keep()  # another is starting: not ours to take away
    mine.leave()
    assert pidfile.read(path) == me()._replace(pid=1)
    other.leave()


def test_stale_ones_are_removed_but_none_that_is_held_or_anothers(path: Path) -> None:
    old = me()._replace(start_ticks=1)
    assert not pidfile.remove_stale(path, old)
    path.write_text("\n".join(map(str, old)))
    assert not pidfile.remove_stale(path, me())
    with path.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not pidfile.remove_stale(path, old)
    assert path.exists()
    assert pidfile.remove_stale(path, old)
    assert not path.exists()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        PidFile(path, "Transfer", me()).take()
    assert not (tmp_path / "precious").exists()


@given(st.binary(max_size=200))
def test_any_content_can_be_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("pid") / "x.pid"
    path.write_bytes(content)
    found = pidfile.read(path)
    if found is not None:
        assert not found.alive()
    held = PidFile(path, "x", me())
    held.take()
    assert pidfile.read(path) == me()
    held.leave()
