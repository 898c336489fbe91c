from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.tools import words


@given(st.text(), st.integers(1, 50))
def test_plain_is_one_printable_line_of_at_most_the_width(text: str, width: int) -> None:
    shown = words.plain(text, width)
    assert len(shown) <= width
    assert shown.isprintable()


@given(st.text(alphabet=st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs"])))
def test_plain_lets_nothing_through_that_moves_a_cursor(text: str) -> None:
    assert all(unicodedata.category(c)[0] in "LNPSZ" for c in words.plain(text))


def test_plain_leaves_words_alone() -> None:
    assert words.plain("Ünïcode 日本 -> ok") == "Ünïcode 日本 -> ok"
    assert words.plain(None) == ""
    assert words.plain("abcdef", 4) == "abc…"
    assert words.plain("a\nb\x1b[0m") == r"a\nb\x1b[0m"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m 1s"), (3600, "1h"), (3661, "1h 1m"), (90000, "1d 1h"), (-5, "0s"),
     (86400 * 400 + 59, "400d")],
)  # fmt: skip
def test_duration(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown
    assert words.duration(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (999_999, "1 MB"), (10**9, "1 GB"),
     (123_456_789_000, "123 GB"), (10**16, "10 PB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_size(nbytes: int, shown: str) -> None:
    assert words.size(nbytes) == shown


def test_moment_is_utc_unless_asked() -> None:
    at = datetime(2026, 1, 31, 13, 0, 5, 999, tzinfo=timezone(timedelta(hours=1)))
    assert words.moment(at) == "2026-01-31 12:00:05Z"
    assert datetime.fromisoformat(words.moment(at, local=True)) == at.replace(microsecond=0)
    assert words.iso(at) == "2026-01-31T12:00:05.000999Z"
    assert (words.moment(None), words.iso(None)) == ("", None)


def test_times_on_the_command_line() -> None:
    assert words.ago("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert words.ago("2026-01-31T12:00+01:00") == datetime(2026, 1, 31, 11, tzinfo=UTC)
    now = datetime.now(UTC)
    assert abs(words.ago("2h") - (now - timedelta(hours=2))) < timedelta(minutes=1)
    assert abs(words.ahead("2h") - (now + timedelta(hours=2))) < timedelta(minutes=1)
    assert words.ago("today") - words.ago("yesterday") == timedelta(days=1)


@given(st.text())
def test_other_words_are_no_time(text: str) -> None:
    try:
        assert words.ago(text).tzinfo is not None
    except click.BadParameter as error:
        message = error.message
    else:
        return
    assert message.isprintable()


def test_a_table_takes_nothing_for_a_number() -> None:
    assert words.table([["0042", "1e5"], ["  x", None]], ["a", "b"]).splitlines()[2:] == ["0042  1e5", "  x"]
