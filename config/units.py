"""Durations, sizes, paths and names: how they are written in ondeck.toml and what they become."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from .wrong import Wrong

_DURATION_RIGHT = 'give a number with its unit, such as "10s", "5m", "2h" or "1d", or a number of seconds'
_SIZE_RIGHT = (
    'give a number with its unit, such as "500M" or "10G" (powers of 1000) or "1GiB" (of 1024), or bytes'
)
_SECONDS = {
    "w": Decimal(604800), "d": Decimal(86400), "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1),
    "ms": Decimal("0.001"), "us": Decimal("0.000001"),
}  # fmt: skip
_BYTES = {"": 1} | {
    letter: factor**power
    for power, letters in enumerate("kmgtpe", start=1)
    for letter, factor in ((letters, 1000), (f"{letters}i", 1024))
}
LONGEST = timedelta(days=36500)
LARGEST = 2**63 - 1  # what a column of the database holds
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|us|[wdhms])\s*")
_SIZE = re.compile(r"(?i)([0-9]+(?:\.[0-9]+)?)\s*(|[kmgtpe]i?)b?")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def parse_duration(value: object) -> timedelta:
    """A duration from "1h30m" or a number of seconds. Raises Wrong for anything else."""
    if isinstance(value, timedelta):
        seconds = Decimal(value // timedelta(microseconds=1)) / 1_000_000
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = _decimal(value, "a duration", _DURATION_RIGHT)
    elif isinstance(value, str) and len(value) < 60 and re.fullmatch(rf"(?:{_PART.pattern})+", value.strip()):
        parts = _PART.findall(value)
        seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
    else:
        raise Wrong("not a duration", _DURATION_RIGHT)
    if not 0 <= seconds <= LONGEST.days * 86400:
        raise Wrong("not a possible duration", "give one from 0 to 100 years")
    return timedelta(microseconds=int((seconds * 1_000_000).to_integral_value()))


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same: "90s", "1h", "0.5s"."""
    microseconds = value // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s", "ms", "us"):
        number, rest = divmod(microseconds, int(_SECONDS[unit] * 1_000_000))
        if not rest and number:
            return f"{number}{unit}"
    return "0s"


def positive(value: timedelta) -> timedelta:
    """The duration, when it is longer than nothing."""
    if not value:
        raise Wrong("must be longer than nothing", 'give a duration above 0, such as "10s"')
    return value


def parse_size(value: object) -> int:
    """A number of bytes from "10G", "1.5TB", "4GiB" or a whole number. Raises Wrong for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        nbytes = Decimal(value) if value.bit_length() < 100 else Decimal(LARGEST) + 1
    elif isinstance(value, str) and len(value) < 60 and (match := _SIZE.fullmatch(value.strip())):
        nbytes = Decimal(match[1]) * _BYTES[match[2].lower()]
    else:
        raise Wrong("not a size", _SIZE_RIGHT)
    if not 0 <= nbytes <= LARGEST:
        raise Wrong("not a possible size", "give one from 0 to 9E")
    if nbytes != int(nbytes):
        raise Wrong("not a whole number of bytes", _SIZE_RIGHT)
    return int(nbytes)


def format_size(value: int) -> str:
    """The shortest text that `parse_size` reads back as the same: "10G", "1GiB", "1234"."""
    if not value:
        return "0"
    for unit in sorted(_BYTES, key=lambda unit: _BYTES[unit], reverse=True):
        if not value % _BYTES[unit]:
            letter = unit.upper().replace("I", "iB")
            return f"{value // _BYTES[unit]}{letter}"
    return str(value)


def more_than_none(value: int) -> int:
    """The size, when it is more than nothing."""
    if not value:
        raise Wrong("must be more than nothing", 'give a size above 0, such as "1G"')
    return value


def parse_path(value: object, info: ValidationInfo) -> Path:
    """An absolute path; a relative one begins at the folder of ondeck.toml, ~ is the home directory."""
    right = "give a path, relative to the folder of ondeck.toml, or absolute"
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        raise Wrong("not a path", right)
    if not value.strip():
        raise Wrong("empty", right)
    if "\0" in value:
        raise Wrong("holds a NUL character, which no path can", right)
    if len(value.encode(errors="surrogateescape")) > 4095:
        raise Wrong("too long for a path (4095 bytes at most)", right)
    context: Any = info.context or {}
    try:
        return absolute(context.get("folder") or Path.cwd(), value)
    except RuntimeError as error:  # ~unknown-user
        raise Wrong(str(error), right) from error


def absolute(folder: Path, path: str | Path) -> Path:
    """A path seen from a folder, absolute, without `.` and `..` (symbolic links are left as they are)."""
    import os.path  # pathlib can't take `..` out without following links

    return Path(os.path.normpath(folder.absolute() / Path(path).expanduser()))


def is_file(path: Path) -> bool:
    """Whether a file is there, and can be seen by us."""
    try:
        return path.is_file()
    except OSError:  # no right to look, a name that is too long
        return False


def parse_name(value: object) -> str:
    """The name of a site, storage, source …"""
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise Wrong("not a name", "a letter, then at most 39 letters, digits, _ or -")


def _decimal(value: float, what: str, right: str) -> Decimal:
    if isinstance(value, int) and value.bit_length() > 200:
        return Decimal(2**200)
    number = Decimal(str(value))
    if not number.is_finite():
        raise Wrong(f"not {what}", right)
    return number


_DURATION_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*(ms|us|[wdhms])\s*)+$"
_SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$"
_DURATION_SCHEMA = {
    "description": 'a duration: "10s", "5m", "2h", "1d", or a number of seconds',
    "anyOf": [{"type": "string", "pattern": _DURATION_PATTERN}, {"type": "number", "minimum": 0}],
}
_SIZE_SCHEMA = {
    "description": 'a size: "500M", "10G" (powers of 1000), "1GiB" (of 1024), or bytes',
    "anyOf": [{"type": "string", "pattern": _SIZE_PATTERN}, {"type": "integer", "minimum": 0}],
}

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
PositiveDuration = Annotated[Duration, AfterValidator(positive)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(_SIZE_SCHEMA),
]
PositiveSize = Annotated[Size, AfterValidator(more_than_none)]
ConfigPath = Annotated[
    Path,
    BeforeValidator(parse_path),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
Name = Annotated[
    str, BeforeValidator(parse_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})
]
