"""Reading a run's parameters from the text that a DAQ wrote: hostile until checked."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import UTC, date, datetime, time
from typing import Any

from ..config.errors import OndeckError

LARGEST = 1_000_000
"""Longest file of parameters that is read, in bytes."""

_DEEPEST = 20
_BIGGEST = 2**63 - 1


class BadParameters(OndeckError):
    """{file}: {what}."""


def parse(file: str, content: bytes) -> dict[str, Any]:
    """The parameters in `content`; `file` says by its ending whether they are JSON or TOML.

    Raises BadParameters, which names the file and what is wrong.
    """
    if len(content) > LARGEST:
        raise BadParameters(file=file, what=f"it is longer than {LARGEST} bytes")
    try:
        text = content.decode("utf-8")
        document = tomllib.loads(text) if file.endswith(".toml") else json.loads(text, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise BadParameters(file=file, what=f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise BadParameters(file=file, what="it is nested too deeply") from error
    except ValueError as error:
        raise BadParameters(file=file, what=str(error)) from error
    if not isinstance(document, dict):
        raise BadParameters(file=file, what='it holds no table of parameters, such as {"number": 17}')
    return {_key(file, key): _value(file, key, value, 0) for key, value in document.items()}


def whole_number(file: str, parameters: dict[str, Any], key: str) -> int | None:
    """The parameter `key` as a whole number from 0 to 2**63 - 1; None when it is absent."""
    value = parameters.get(key)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _BIGGEST:
        raise BadParameters(file=file, what=f"{key} = {_short(value)}: a whole number from 0 is needed")
    return value


def words(file: str, parameters: dict[str, Any], key: str) -> str:
    """The parameter `key` as a text of at most 200 characters; empty when it is absent."""
    value = parameters.get(key, "")
    if not isinstance(value, (str, int, float)) or isinstance(value, bool) or len(str(value)) > 200:
        raise BadParameters(
            file=file, what=f"{key} = {_short(value)}: a text of at most 200 characters is needed"
        )
    return str(value)


def moment(file: str, parameters: dict[str, Any], *keys: str) -> datetime | None:
    """The first of the parameters `keys` that is there, as a time: ISO 8601 (UTC unless it says) or Unix seconds."""
    key = next((k for k in keys if parameters.get(k) is not None), None)
    if key is None:
        return None
    value = parameters[key]
    try:
        if isinstance(value, str):
            when = datetime.fromisoformat(value)
            return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise BadParameters(file=file, what=f"{key} = {_short(value)}: a time as 2026-01-31T12:00:00Z is needed")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _key(file: str, key: str) -> str:
    if len(key) > 200 or "\0" in key or not _encodable(key):
        raise BadParameters(
            file=file, what=f"the key {_short(key)} is too long, or has characters that are no text"
        )
    return key


def _value(file: str, key: str, value: Any, depth: int) -> Any:
    """`value` as JSON that both databases take."""
    if depth > _DEEPEST:
        raise BadParameters(file=file, what=f"{key} is nested too deeply")
    match value:
        case dict():
            return {_key(file, k): _value(file, f"{key}.{k}", v, depth + 1) for k, v in value.items()}
        case list():
            return [_value(file, key, v, depth + 1) for v in value]
        case str() if "\0" in value or not _encodable(value):
            raise BadParameters(
                file=file, what=f"{key} = {_short(value)}: it has characters that are no text"
            )
        case float() if not math.isfinite(value):
            raise BadParameters(file=file, what=f"{key} = {value}: a finite number is needed")
        case int() if abs(value) > 10**300:
            raise BadParameters(file=file, what=f"{key}: the number is too large")
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return value


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
