"""A directory is listed while others rename what is in it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from ondeck.sites.storage import storage as module
from ondeck.sites.transport import TransportFailed


def test_names_that_vanish_meanwhile_are_no_error(disks: Any) -> None:
    top = Path(disks.disk.root)
    for number in range(300):
        (top / f"d{number}").mkdir()
        (top / f"d{number}" / "run.end").touch()
    (top / "still").mkdir()
    (top / "still" / "run.end").touch()
    over = threading.Event()

    def rename() -> None:
        while not over.is_set():
            for number in range(300):
                (top / f"d{number}").rename(top / f".d{number}.1.part")
                (top / f".d{number}.1.part").rename(top / f"d{number}")

    other = threading.Thread(target=rename)
    other.start()
    try:
        for _ in range(40):
            assert "still" in disks.disk.listing()
            assert "still" in disks.disk.having("run.end")
    finally:
        over.set()
        other.join()


@pytest.mark.parametrize("words", ["find: './x': Input/output error", ""])
def test_any_other_trouble_is_an_error(disks: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(module.Ask):
        def __init__(self) -> None:
            self.name = self.title = "listing"
            self.text = f"printf 'd still\\0'; printf '%s' \"{words}\" >&2; exit 1"

    monkeypatch.setattr(module, "LISTING", Broken())
    with pytest.raises(TransportFailed, match="exit code 1"):
        disks.disk.listing()
