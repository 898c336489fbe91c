"""Words from outside, made fit for a terminal; times, sizes and durations as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from tabulate import tabulate

from ..config.units import parse_duration
from ..config.wrong import Wrong

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def plain(value: object, width: int | None = None) -> str:
    """`value` on one line, without anything that moves a cursor or hides text; at most `width` characters."""
    text = "" if value is None else str(value)
    if width is not None and len(text) > 4 * width:
        text = text[: 4 * width]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def moment(value: datetime | None, local: bool = False) -> str:
    """A time to the second: `2026-01-31 12:00:00Z`, or with `local` in this machine's zone with its offset."""
    if value is None:
        return ""
    if local:
        return value.astimezone().isoformat(" ", "seconds")
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def iso(value: datetime | None) -> str | None:
    """A time for other programs: ISO 8601 in UTC with microseconds."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def duration(value: timedelta | float | None) -> str:
    """Two units are enough: `3d 4h`, `12m 5s`, `0s`."""
    if value is None:
        return ""
    left = int(value.total_seconds() if isinstance(value, timedelta) else value)
    if left < 0:
        return "0s"
    parts: list[str] = []
    for seconds, unit in _UNITS:
        number, left = divmod(left, seconds)
        if number or parts:
            parts.append(f"{number}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0")) or "0s"


def size(nbytes: int | float | None) -> str:
    """A size with three digits: `1.23 GB`."""
    if nbytes is None:
        return ""
    value = float(nbytes)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 99.95 else f"{value:.3g} {unit}"
        value /= 1000
    return ""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """A plain table; cells are texts that `plain` has seen. Nothing in them is taken for a number."""
    return tabulate(
        [[plain(cell) for cell in row] for row in rows], headers=list(headers), disable_numparse=True,
        preserve_whitespace=True,
    )  # fmt: skip


def ago(words: str) -> datetime:
    """A time on the command line: ISO 8601 (UTC, with --local local, unless it says otherwise), or how long ago."""
    return _time(words, -1, "2h (ago) or yesterday")


def ahead(words: str) -> datetime:
    """The same, but a length of time is from now on."""
    return _time(words, +1, "2h (from now)")


def _time(words: str, sign: int, example: str) -> datetime:
    context = click.get_current_context(silent=True)
    zone = datetime.now().astimezone().tzinfo if context is not None and context.params.get("local") else UTC
    words = words.strip()
    if words in ("today", "yesterday"):
        midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=words == "yesterday")
    try:
        return datetime.now(UTC) + sign * parse_duration(words)
    except (Wrong, OverflowError):
        pass
    try:
        when = datetime.fromisoformat(words)
        return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        wrong = f"{plain(words, 60)!r} is no time: give 2026-01-31, 2026-01-31T12:00 or {example}"
        raise click.BadParameter(wrong) from error
