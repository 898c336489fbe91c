"""Every key with values of wrong types and hostile contents: one clear line each, never anything else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.config import loads
from ondeck.config.dump import to_toml
from ondeck.config.problems import ConfigInvalid
from ondeck.config.read import read

FULL = """
name = "full"
state_dir = "state"
umask = "027"
group = ""
[database]
url = "sqlite:///x.db"
[retry]
first = "10s"
factor = 2.0
longest = "30m"
max_tries = 20
[daemons]
interval = "60s"
heartbeat = "10s"
lease = "60s"
stall = "15m"
[daemons.Transfer]
interval = "5s"
heartbeat = "10s"
lease = "60s"
stall = "15m"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "strict"
queue = "short"
limit = 4
slots = 2
poll = "2s"
grace = "60s"
lost_after = "1h"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
kind = "disk"
high = 90.0
low = 80.0
capacity = "2T"
reserve = "1G"
verify_max_age = "0s"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[storages.tape.bundle]
count = 10
size = "20G"
age = "1d"
[sources.daq]
type = "directory"
storage = "daq"
begin = "after:r1"
remove = "never"
end_marker = "e"
parameters = ["p.json"]
[listeners.all]
sources = ["daq"]
modules = ["sums"]
storage = "disk"
archive = "tape"
archive_when = "ondeck"
min_events = 0
min_copies = 1
priority = 0
match = {run_type = "x"}
[modules.sums]
template = "sums.sh"
site = "here"
walltime = "1h"
cores = 1
memory = "1G"
max_failures = 3
validate = false
optional = false
idempotent = false
version = "1"
env = {A = "b"}
options = {}
[sinks.mail]
type = "mail"
sender = "a@example.org"
port = 25
password_env = "HOME"
"""
SECONDS = {  # keys of which a number is a number of seconds
    *("interval", "heartbeat", "lease", "stall", "first", "longest", "poll", "grace", "lost_after"),
    *("verify_max_age", "age", "walltime"),
}
FREE = {("modules", "sums", "options"), ("listeners", "all", "match")}


def places(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict) and (*path, key) not in FREE:
            yield from places(value, (*path, key))


PLACES = list(places(tomllib.loads(FULL)))


def put(path: tuple[str, ...], value: object) -> dict[str, Any]:
    document = tomllib.loads(FULL)
    table = document
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return document


def refusal(document: dict[str, Any], folder: Path) -> str:
    try:
        read(document, folder / "ondeck.toml")
    except ConfigInvalid as error:
        return str(error)
    return ""


def test_the_full_file_is_right(folder: Path) -> None:
    assert loads(FULL, folder / "ondeck.toml").name == "full"


@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_a_value_of_a_wrong_type_names_file_and_key(path: tuple[str, ...], folder: Path) -> None:
    own = tomllib.loads(FULL)
    for key in path:
        own = own[key]
    candidates: list[object] = [
        85,
        85.5,
        "words \n\0 of \U0001f600",
        True,
        ["x", 3],
        [[]],
        tomllib.loads("d=2020-01-01")["d"],
    ]
    refused = 0
    for value in candidates:
        if type(value) is type(own):
            continue
        message = refusal(put(path, value), folder)
        refused += bool(message)
        for line in message.splitlines():
            assert line.startswith(f"{folder}/ondeck.toml: [")
            assert line.isprintable()
        if message:
            assert any(f"[{'.'.join(path)}" in line for line in message.splitlines()), message
    expected = sum(type(value) is not type(own) for value in candidates)
    if path[-1] in SECONDS:
        expected -= 2
    elif path[-1] in {"factor", "high", "low"} or path[-1] in {"capacity", "reserve", "size", "memory"}:
        expected -= 1  # a whole number is a number; a whole number is bytes
    assert refused == expected


@pytest.mark.parametrize("path", PLACES, ids=".".join)
@pytest.mark.parametrize(
    "value", ["", "x" * 10_000_000, "a\nb", "a\0b", "../../etc", "{}", "${HOME}", "ü\u202e\U0001f600"]
)
def test_hostile_texts_end_in_one_clean_line_each(path: tuple[str, ...], value: str, folder: Path) -> None:
    message = refusal(put(path, value), folder)
    for line in message.splitlines():
        assert line.startswith(f"{folder}/ondeck.toml: [")
        assert len(line) < 2000
        assert line.isprintable()


@pytest.mark.parametrize(
    "path", [()] + [path for path in PLACES if path not in FREE], ids=lambda path: ".".join(path) or "root"
)
def test_an_unknown_key_is_named_with_what_there_is(path: tuple[str, ...], folder: Path) -> None:
    document = tomllib.loads(FULL)
    table: Any = document
    for key in path:
        table = table[key]
    if not isinstance(table, dict) or path in {
        (s,) for s in ("sites", "storages", "sources", "listeners", "modules", "sinks")
    }:
        return
    if path == ("modules", "sums", "env"):
        return
    table["zzz\n"] = 1
    message = refusal(document, folder)
    assert message.startswith(
        f'{folder}/ondeck.toml: [{".".join((*path, ""))}"zzz\\n"] = 1: unknown key; it can be one of "'
    )


JSONISH: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.booleans(), st.dates(), st.datetimes()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(PLACES), JSONISH)
def test_whatever_stands_there(path: tuple[str, ...], value: object) -> None:
    refusal(put(path, value), Path("/nowhere"))


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.one_of(
                st.text(max_size=8),
                st.integers(-(2**63), 2**63 - 1),
                st.booleans(),
                st.floats(allow_nan=False),
            ),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_tables_are_read_back_as_they_were_written(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table
