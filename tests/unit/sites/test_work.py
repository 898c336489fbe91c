import threading

import pytest

from ondeck.sites.work import Work, WorkCancelled


def test_touches_are_progress() -> None:
    work = Work("run 7")
    work.touch()
    work.touch(41)
    assert work.progress() == 42


def test_progress_never_falls() -> None:
    with pytest.raises(ValueError, match="only grows"):
        Work().touch(-1)


def test_the_count_of_a_command_is_kept_when_it_has_ended() -> None:
    work = Work()
    counts = [5]
    with work.running(lambda: None, lambda: counts[0]):
        assert work.progress() == 5
        counts[0] = 8
    counts[0] = 100
    assert work.progress() == 8


def test_cancel_kills_what_runs_and_says_why() -> None:
    work = Work("run 7")
    killed = threading.Event()
    with work.running(killed.set, lambda: 0):
        work.cancel("the lease was lost")
        assert killed.is_set()
    assert work.cancelled
    with pytest.raises(WorkCancelled, match="run 7 was broken off: the lease was lost"):
        work.check()


def test_the_first_reason_stands() -> None:
    work = Work()
    work.cancel("first")
    work.cancel("second")
    with pytest.raises(WorkCancelled, match="first"):
        work.check()


def test_what_starts_after_cancel_is_killed_at_once() -> None:
    work = Work()
    work.cancel()
    killed = threading.Event()
    with work.running(killed.set, lambda: 0):
        assert killed.is_set()


def test_what_has_ended_is_not_killed() -> None:
    work = Work()
    killed = threading.Event()
    with work.running(killed.set, lambda: 0):
        pass
    work.cancel()
    assert not killed.is_set()
