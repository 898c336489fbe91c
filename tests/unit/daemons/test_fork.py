from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ondeck.daemons import fork
from ondeck.daemons.fork import Answer, Teller, launch


def entry(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(
        fork, "ENTRY", [sys.executable, "-c", "import os, sys, time\nfd = int(sys.argv[-1])\n" + script]
    )


def test_what_the_daemon_tells_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    entry(
        monkeypatch,
        """os.write(fd, b'{"pid": 7, "error": null, '); time.sleep(0.2); os.write(fd, b'"trouble": "t"}\\n')""",
    )
    assert launch(["Transfer"], 20) == Answer(7, None, "t", known=True)


def test_a_daemon_that_dies_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entry(monkeypatch, "if os.fork(): time.sleep(0.2); os._exit(0)\nos._exit(3)")
    began = time.monotonic()
    answer = launch(["Transfer"], 20)
    assert (answer.error, answer.known) == ("it died", False)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("time.sleep(600)", "it hung before it had forked, and was killed"),
        ("if os.fork(): os._exit(0)\ntime.sleep(4)", "it has not beaten in time (it may still come: see status)"),
    ],
)
def test_one_that_says_nothing_is_waited_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    entry(monkeypatch, script)
    began = time.monotonic()
    assert launch(["Transfer"], 2) == Answer(None, words)
    assert 2 <= time.monotonic() - began < 10


def test_no_descriptor_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    entry(monkeypatch, "")
    before = sorted(Path("/proc/self/fd").iterdir())
    launch(["Transfer"], 20)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_daemon_outlives_its_starter() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    teller = Teller(writing)
    assert not os.get_inheritable(writing)
    os.close(reading)
    teller.started(None)  # nobody listens any more
    teller.failed("a second word is not said")
    Teller(None).started("nothing")
