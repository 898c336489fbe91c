from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.daemonlab import until

from ondeck.config.model import Config
from ondeck.daemons import loop
from ondeck.daemons.base import Daemon, Lane
from ondeck.daemons.loop import LaneLoop, Troubles
from ondeck.db.engine import Database
from ondeck.sites.work import WorkCancelled


class Waiter:
    """Wakes who waits when `wake` is set."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.error: Exception | None = None
        self.closed = False

    def wait(self, timeout: float) -> bool:
        if self.error:
            raise self.error
        came = self.event.wait(timeout)
        self.event.clear()
        return came

    def close(self) -> None:
        self.closed = True


class Rig(Daemon):
    """A daemon whose step is any function, with times of its steps."""

    name = "Transfer"

    def __init__(self, step: Callable[[Lane], int], interval: float = 60.0) -> None:
        self._step = step
        self.times: list[float] = []
        self.closed = 0
        settings = SimpleNamespace(interval=timedelta(seconds=interval), lease=timedelta(seconds=60))
        self.waiter = Waiter()
        self.waiters = 0
        super().__init__(cast(Config, SimpleNamespace(daemon=lambda _: settings)), cast(Database, self))

    def lanes(self) -> Sequence[str]:
        return ["a"]

    def step(self, lane: Lane) -> int:
        self.times.append(time.monotonic())
        return self._step(lane)

    def plan(self, lane: Lane) -> Iterator[str]:
        yield from ()

    def close(self, lane: Lane) -> None:
        self.closed += 1

    # the database's part
    def make_waiter(self) -> Waiter:
        self.waiters += 1
        return self.waiter


@pytest.fixture
def running() -> Iterator[Callable[[Rig], LaneLoop]]:
    """Starts a loop on a rig; all end with the test."""
    loops: list[LaneLoop] = []

    def start(rig: Rig) -> LaneLoop:
        ready = threading.Event()
        ready.set()
        made = LaneLoop(rig, Lane("a", "Transfer"), cast(Database, SimpleNamespace(waiter=rig.make_waiter)), ready)
        loops.append(made)
        made.start()
        return made

    yield start
    for one in loops:
        one.lane.stop()
        one.join(10)
        assert not one.is_alive()


def test_what_moves_is_called_again_at_once(running: Any) -> None:
    rows = iter([3, 2, 1])
    rig = Rig(lambda _: next(rows, 0))
    one = running(rig)
    until(lambda: len(rig.times) == 4)
    assert rig.times[-1] - rig.times[0] < 0.5
    time.sleep(0.3)
    assert len(rig.times) == 4
    assert one.seen()["moved"] == 6


def test_a_change_wakes_and_many_changes_wake_once(running: Any) -> None:
    rig = Rig(lambda _: 0)
    running(rig)
    until(lambda: len(rig.times) == 1)
    time.sleep(0.2)
    began = time.monotonic()
    rig.waiter.event.set()
    until(lambda: len(rig.times) == 2)
    assert rig.times[1] - began < 0.2
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        rig.waiter.event.set()
        time.sleep(0.002)
    assert 5 <= len(rig.times) <= 15


def test_the_interval_is_the_safety_net(running: Any) -> None:
    rig = Rig(lambda _: 0, interval=0.3)
    running(rig)
    until(lambda: len(rig.times) == 4)
    gaps = [b - a for a, b in zip(rig.times, rig.times[1:], strict=False)]
    assert all(gap >= 0.25 for gap in gaps)


def test_a_step_can_ask_to_be_called_sooner(running: Any) -> None:
    asked = iter([0.2])

    def step(lane: Lane) -> int:
        for seconds in asked:
            lane.again(50)
            lane.again(seconds)
        return 0

    rig = Rig(step)
    running(rig)
    until(lambda: len(rig.times) == 2, 5)
    assert rig.times[1] - rig.times[0] >= 0.2
    time.sleep(0.5)
    assert len(rig.times) == 2  # asked once


def test_errors_back_off_and_success_resets(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACK_OFF", (0.1, 0.3))
    errors = iter([OSError("one"), SystemExit("two"), OSError("one"), OSError("one")])

    def step(_: Lane) -> int:
        for error in errors:
            raise error
        return 0

    rig = Rig(step)
    one = running(rig)
    until(lambda: one.seen()["errors"] == 2)
    assert one.seen()["error"] == "SystemExit: two"
    rig.waiter.event.set()  # a lane that backs off is not woken
    until(lambda: len(rig.times) == 5)
    gaps = [b - a for a, b in zip(rig.times, rig.times[1:], strict=False)]
    for gap, wanted in zip(gaps, (0.1, 0.2, 0.3, 0.3), strict=True):
        assert gap >= wanted * 0.79
    until(lambda: one.seen()["errors"] == 0)
    assert one.seen()["error"] is None


def test_an_error_is_told_in_full_once_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles(Lane("a", "Transfer"))
    pauses = [troubles.add(OSError("disk")) for _ in range(20)]
    troubles.add(OSError("other disk"))
    told = [(record.levelname, record.exc_info is not None) for record in caplog.records]
    assert told == [("ERROR", True), *[("WARNING", False)] * 4, ("ERROR", True)]  # 1, 2, 4, 8, 16, other
    assert [record.__dict__["fields"]["times"] for record in caplog.records] == [1, 2, 4, 8, 16, 1]
    for pause, wanted in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60), strict=False):
        assert wanted * 0.79 <= pause <= wanted * 1.21
    for number in range(10_000):
        troubles.add(OSError(f"disk {number}"))
    assert len(troubles._seen) <= 100


def test_work_broken_off_is_no_error(running: Any) -> None:
    def step(_: Lane) -> int:
        raise WorkCancelled(name="w", reason="lease lost")

    one = running(Rig(step))
    until(lambda: one.seen()["last_step"])
    assert one.seen()["errors"] == 0


def test_a_waiter_that_fails_is_made_again(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "GLANCE", 0.1)
    rig = Rig(lambda _: 0)
    running(rig)
    until(lambda: rig.waiters == 1 and rig.times)
    count = len(rig.times)
    rig.waiter.error = OSError("away")
    until(lambda: rig.waiter.closed and rig.waiters >= 2)
    rig.waiter.error = None
    until(lambda: len(rig.times) > count)  # what came meanwhile is unknown


def test_another_configuration_after_the_step_that_runs(running: Any) -> None:
    going = threading.Event()

    def step(_: Lane) -> int:
        going.wait(10)
        return 0

    old, new = Rig(step), Rig(lambda _: 0)
    one = running(old)
    until(lambda: old.times)
    one.renew(new)
    time.sleep(0.1)
    assert (old.closed, len(new.times)) == (0, 0)
    going.set()
    until(lambda: new.times)
    assert (old.closed, len(old.times)) == (1, 1)
    one.lane.stop()
    one.join(5)
    assert new.closed == 1


def test_nothing_runs_before_the_database_is_known() -> None:
    rig = Rig(lambda _: 0)
    ready = threading.Event()
    one = LaneLoop(rig, Lane("a"), cast(Database, SimpleNamespace(waiter=rig.make_waiter)), ready)
    one.start()
    time.sleep(0.3)
    assert not rig.times
    one.lane.stop()
    one.join(5)
    assert not one.is_alive()


@pytest.mark.parametrize("moves", [0, 7, 10_000])
def test_one_pass(moves: int) -> None:
    rows = iter([1] * moves)
    rig = Rig(lambda _: next(rows, 0))
    one = LaneLoop(rig, Lane("a"), cast(Database, None), threading.Event())
    assert one.once(1000)
    assert len(rig.times) == min(moves + 1, 1000)
    assert rig.closed == 1


def test_one_pass_with_an_error() -> None:
    def step(_: Lane) -> int:
        raise OSError("no")

    rig = Rig(step)
    assert not LaneLoop(rig, Lane("a"), cast(Database, None), threading.Event()).once(1000)
    assert len(rig.times) == 1


def test_a_change_in_the_database_makes_no_look_outside_due(running: Any) -> None:
    """Looks outside come once an interval, however often the database changes; and it does not put them off."""
    due: list[tuple[float, bool]] = []

    def step(lane: Lane) -> int:
        due.append((time.monotonic(), lane.due))
        return 0

    rig = Rig(step, interval=0.8)
    running(rig)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        rig.waiter.event.set()
        time.sleep(0.01)
    looks = [at for at, outside in due if outside]
    assert due[0][1]
    assert len(looks) >= 3
    assert all(0.7 <= b - a <= 1.3 for a, b in itertools.pairwise(looks))
    assert len(due) >= 3 * len(looks)


def test_a_look_outside_stays_due_until_nothing_moves(running: Any) -> None:
    rows, due = iter([2, 1]), []

    def step(lane: Lane) -> int:
        due.append(lane.due)
        return next(rows, 0)

    rig = Rig(step)
    running(rig)
    until(lambda: len(due) == 3)
    rig.waiter.event.set()
    until(lambda: len(due) == 4)
    assert due == [True, True, True, False]


def test_a_look_outside_that_failed_is_due_again(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACK_OFF", (0.05, 0.1))
    errors, due = iter([OSError("away")]), []

    def step(lane: Lane) -> int:
        due.append(lane.due)
        for error in errors:
            raise error
        return 0

    rig = Rig(step)
    running(rig)
    until(lambda: len(due) == 2)
    assert due == [True, True]
