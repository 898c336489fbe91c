from __future__ import annotations

import threading
import time

import pytest

from ondeck.daemons.base import Lane
from ondeck.db.steps import Claim
from ondeck.sites.command import Command
from ondeck.sites.transport import LocalTransport
from ondeck.sites.work import WorkCancelled

CLAIM = Claim("runs", 1, "transferring", 1)


def test_stopping_a_lane_kills_the_commands_of_its_works() -> None:
    lane = Lane("daq", "Transfer")
    threading.Timer(0.2, lane.stop).start()
    began = time.monotonic()
    with (
        pytest.raises(WorkCancelled, match="runs 1 was broken off: the daemon stops"),
        lane.guard([CLAIM]) as work,
    ):
        LocalTransport("here").run(Command(("sleep", "600")), timeout=900, work=work)
    assert time.monotonic() - began < 5


def test_nothing_is_begun_in_a_lane_that_has_to_end() -> None:
    lane = Lane("daq")
    lane.stop()
    with lane.guard([CLAIM]) as work:
        assert work.cancelled
    assert lane.sleep(600)


def test_a_work_that_is_over_is_forgotten() -> None:
    lane = Lane("daq")
    with lane.guard([CLAIM], "my work") as work:
        assert work.name == "my work"
    lane.stop()
    assert not work.cancelled


def test_a_work_is_named_for_its_rows() -> None:
    claims = [CLAIM._replace(id=number) for number in range(1, 6)]
    with Lane("daq").guard(claims) as work:
        assert work.name == "runs 1, runs 2, runs 3 …"


def test_again_is_asked_for_once() -> None:
    lane = Lane("daq")
    assert lane.take_again() is None
    lane.again(5)
    lane.again(2)
    lane.again(9)
    assert lane.take_again() == 2
    assert lane.take_again() is None


def test_sleep() -> None:
    assert not Lane("daq").sleep(0.01)
