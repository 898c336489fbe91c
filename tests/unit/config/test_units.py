from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ondeck.config import Section, Wrong
from ondeck.config.units import (
    LARGEST,
    ConfigPath,
    Duration,
    Name,
    PositiveDuration,
    PositiveSize,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


class Units(Section):
    duration: Duration = timedelta(0)
    positive: PositiveDuration = timedelta(1)
    size: Size = 0
    some: PositiveSize = 1
    path: ConfigPath = Path("here")
    name: Name = "a"


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.text(),
    st.binary(),
    st.floats(),
    st.integers(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1w", 604800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1us", 1e-6),
        (" 2 h 5 s ", 7205),
        (10, 10),
        (0.5, 0.5),
        (0, 0),
        ("0s", 0),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "10",
        "10x",
        "-5s",
        "s",
        "1e3s",
        "1,5h",
        "10S",
        "١٠s",
        "10s\0",
        "1m" * 100,
        "9" * 50 + "d",
        "100y",
        True,
        None,
        -1,
        float("nan"),
        float("inf"),
        1e300,
        10**400,
        [1],
        {"a": 1},
        b"10s",
        "9" * 10_000_000,
    ],
)
def test_no_durations(value: object) -> None:
    with pytest.raises(Wrong, match="duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("500M", 500_000_000),
        ("10G", 10**10),
        ("1.5T", 1_500_000_000_000),
        ("1GiB", 2**30),
        ("1Gi", 2**30),
        ("2kB", 2000),
        ("2K", 2000),
        ("3e", 3 * 10**18),
        ("7B", 7),
        ("7", 7),
        (7, 7),
        ("0", 0),
        (" 1 G ", 10**9),
        (LARGEST, LARGEST),
    ],
)
def test_sizes(text: str | int, nbytes: int) -> None:
    assert parse_size(text) == nbytes


@pytest.mark.parametrize(
    "value",
    [
        "",
        "G",
        "-1G",
        "1.5",
        "0.0001k",
        "1X",
        "1GG",
        "1 0",
        "10E",
        "1e9",
        "٣G",
        True,
        None,
        1.0,
        -1,
        LARGEST + 1,
        10**400,
        [1],
        b"1G",
        "9" * 10_000_000,
    ],
)
def test_no_sizes(value: object) -> None:
    with pytest.raises(Wrong):
        parse_size(value)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36500)))
def test_a_duration_is_read_back_as_it_was_written(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value
    assert parse_duration(value) == value


@given(st.integers(0, LARGEST))
def test_a_size_is_read_back_as_it_was_written(value: int) -> None:
    assert parse_size(format_size(value)) == value


def test_the_shortest_words_are_written() -> None:
    assert [format_duration(timedelta(seconds=s)) for s in (0, 90, 3600, 86400, 0.5, 604800)] == [
        "0s", "90s", "1h", "1d", "500ms", "7d",
    ]  # fmt: skip
    assert [format_size(n) for n in (0, 10**10, 2**30, 1234, 1500)] == ["0", "10G", "1GiB", "1234", "1500"]


@given(JUNK)
def test_any_value_is_right_or_refused_in_words(value: object) -> None:
    for parse in (parse_duration, parse_size):
        try:
            found: object = parse(value)
        except Wrong as wrong:
            found = wrong
        assert isinstance(found, (timedelta, int)) or (
            isinstance(found, Wrong) and found.wrong and found.right
        )


@given(st.sampled_from(sorted(Units.model_fields)), JUNK)
def test_in_a_model_nothing_but_its_own_error_comes_out(key: str, value: object) -> None:
    try:
        Units.model_validate({key: value})
        places = [(key,)]
    except ValidationError as error:
        places = [item["loc"] for item in error.errors()]  # type: ignore[misc]
    assert places == [(key,)]


def test_in_a_model_they_serialise_back() -> None:
    table = {"duration": "90s", "positive": "1d", "size": "10G", "some": "1GiB", "path": "/x/y", "name": "n"}
    assert Units.model_validate(table).model_dump(mode="json") == table


@pytest.mark.parametrize(("key", "value"), [("positive", "0s"), ("some", 0), ("positive", 0.0)])
def test_nothing_is_too_little(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match="must be"):
        Units.model_validate({key: value})


@pytest.mark.parametrize(
    "value", ["", "  ", "a\0b", "x" * 5000, "é" * 3000, 3, None, ["a"], True, "~nobody-here-at-all/x"]
)
def test_no_paths(value: object) -> None:
    with pytest.raises(ValidationError, match="path"):
        Units.model_validate({"path": value})


def test_paths_begin_at_the_folder_of_the_file(tmp_path: Path) -> None:
    def path(text: str) -> Path:
        return Units.model_validate({"path": text}, context={"folder": tmp_path}).path

    assert path("a/b") == tmp_path / "a" / "b"
    assert path("./a//../b/") == tmp_path / "b"
    assert path("/abs/x") == Path("/abs/x")
    assert path("~/x") == Path.home() / "x"
    assert path("a\nb ü") == tmp_path / "a\nb ü"
    assert Units.model_validate({}, context={"folder": tmp_path}).path == tmp_path / "here"


@pytest.mark.parametrize(
    "value", ["", "1a", "a b", "a\n", "ä", "a" * 41, "a.b", "_a", "-a", 3, None, "a/../b", "a\0"]
)
def test_no_names(value: object) -> None:
    with pytest.raises(ValidationError, match="not a name"):
        Units.model_validate({"name": value})
