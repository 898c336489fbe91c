"""Signals reach the main thread, whichever thread the kernel gives them to."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from ondeck.daemons.runner import Signals


@pytest.mark.parametrize("number", Signals.CAUGHT)
def test_a_signal_that_another_thread_gets_wakes_the_main_thread_at_once(number: signal.Signals) -> None:
    signals, done = Signals(), threading.Event()

    def other() -> None:
        time.sleep(0.2)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), number)
        done.wait(20)

    with signals.caught():
        thread = threading.Thread(target=other)
        thread.start()
        begun = time.monotonic()
        came = signals.wait(15)
        waited = time.monotonic() - begun
        done.set()
        thread.join()
    assert came == [number]
    assert waited < 10


def test_a_wake_without_a_signal_ends_the_wait() -> None:
    signals = Signals()
    with signals.caught():
        threading.Timer(0.1, signals.wake).start()
        assert signals.wait(15) == []


def test_handlers_and_the_way_to_wake_are_given_back() -> None:
    before = [signal.getsignal(number) for number in Signals.CAUGHT]
    with Signals().caught():
        assert [signal.getsignal(number) for number in Signals.CAUGHT] != before
    assert [signal.getsignal(number) for number in Signals.CAUGHT] == before
    assert signal.set_wakeup_fd(-1) == -1
