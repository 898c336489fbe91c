from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.daemons import logs
from ondeck.daemons.logs import Adapter, Formatter, LogFile, UnknownLevel

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) Transfer \S+ \S+ .*")


def record(message: str = "run copied", **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 1795252903.1234, **extra})
    made.created = 1795252903.1234
    return made


def line(message: str = "run copied", **extra: object) -> str:
    return Formatter("Transfer").format(record(message, **extra))


def test_a_line() -> None:
    assert line(run="r1", nbytes=12) == "2026-11-21T09:21:43.123Z INFO Transfer - - run copied run=r1 nbytes=12"
    assert line(lane="daq", row="runs 12") == '2026-11-21T09:21:43.123Z INFO Transfer daq "runs 12" run copied'


def test_data_stay_on_their_line_and_in_their_quotes() -> None:
    assert line(why='a "b"\nc\\d\x1b[0m').endswith(r' why="a \"b\"\nc\\d\x1b[0m"')
    assert line("one\ntwo").endswith(r" one\ntwo")
    assert line(empty="").endswith(' empty=""')


@given(st.text(), st.dictionaries(st.sampled_from(["run", "path", "name"]), st.text() | st.integers()))
def test_one_record_is_one_line(message: str, fields: dict[str, object]) -> None:
    made = line("%s", args=(message,), fields=fields)
    assert made.splitlines() == [made]
    assert LINE.fullmatch(made)
    made.encode()


def test_a_traceback_is_on_the_line_too() -> None:
    try:
        raise ValueError("no\nluck")
    except ValueError as error:
        made = line(exc_info=(ValueError, error, error.__traceback__))
    assert made.splitlines() == [made]
    assert r"traceback=\"" not in made
    assert made.endswith(r'ValueError: no\nluck"')


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("postgresql://me:hunter2@db/x", "postgresql://me:***@db/x"),
        ("connect to postgresql://me:hun%2Fter2@db/x, then", "connect to postgresql://me:***@db/x, then"),
        ("host=db password=hunter2 user=me", "host=db password=*** user=me"),
        ("password='hun ter2' x", "password=*** x"),
        ("SMTP_PASSWORD: hunter2", "SMTP_PASSWORD: ***"),
        ("token=abc of http://host:80/x", "token=abc of http://host:80/x"),
    ],
)
def test_passwords_are_masked(words: str, kept: str) -> None:
    assert logs.redact(words) == kept
    assert "hunter2" not in line(words)
    assert "hunter2" not in line(why=words)


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before, threshold = list(root.handlers), root.level
    yield tmp_path / "Transfer.log"
    for handler in list(root.handlers):
        if handler not in before:
            root.removeHandler(handler)
            handler.close()
    for handler in before:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(threshold)
    logging.captureWarnings(False)


def test_lanes_and_awkward_names_get_into_the_file(log_file: Path) -> None:
    logs.set_up("Transfer", log_file, logging.INFO)
    Adapter(logging.getLogger("ondeck.x"), {"lane": "daq"}).info(
        "hello", extra={"name": "n", "module": "m", "row": "runs 1"}
    )
    Adapter(logging.getLogger("ondeck.x"), {"lane": "daq"}).debug("not this one")

    def work() -> None:
        logs.in_lane("tape")
        logging.getLogger("ondeck.sites").warning("from below", extra={"site": "here"})

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    logging.getLogger("ondeck.sites").info("from the main thread")
    first, second, third = log_file.read_text().splitlines()
    assert first.endswith('Z INFO Transfer daq "runs 1" hello name=n module=m')
    assert second.endswith("Z WARNING Transfer tape - from below site=here")
    assert third.endswith("Z INFO Transfer - - from the main thread")


def test_a_log_is_limited_in_size(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    handler = LogFile(path, limit=2000, backups=2)
    handler.setFormatter(Formatter("x"))
    for number in range(200):
        handler.emit(record(f"line {number}"))
    handler.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1", "x.log.2"]
    assert all(file.stat().st_size <= 2000 for file in files)
    assert path.read_text().endswith(" line 199\n")
    lines = [text for file in reversed(files) for text in file.read_text().splitlines()]
    numbers = [int(text.rpartition(" ")[2]) for text in lines]
    assert numbers == list(range(numbers[0], 200))


@pytest.mark.parametrize("gone", ["moved", "removed"])
def test_a_log_that_was_put_aside_is_made_again(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "x.log"
    handler = LogFile(path)
    handler.emit(record("before"))
    if gone == "moved":
        path.rename(tmp_path / "aside")
    else:
        path.unlink()
    handler.emit(record("after"))
    handler.close()
    assert path.read_text() == "after\n"


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONDECK_LOG", raising=False)
    assert logs.level() == logging.INFO
    monkeypatch.setenv("ONDECK_LOG", "Warning")
    assert logs.level() == logging.WARNING
    assert logs.level("debug") == logging.DEBUG
    with pytest.raises(UnknownLevel, match="'loud' is none of debug, info, warning, error, critical"):
        logs.level("loud")
