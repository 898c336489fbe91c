"""What can be wrong with a configuration, and how that is said."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path

from .errors import OndeckError
from .secrets import MASK, is_secret, mask_url

_SHOWN = 70  # characters of a value in a message
_LONGEST = 600  # characters of what is wrong, and of what would be right


class ConfigError(OndeckError):
    """The configuration can't be used: {text}"""


class ConfigNotFound(ConfigError):
    """No ondeck.toml found. Looked at: {places}. Type `ondeck init` to write one into this folder, or name yours with --config FILE or $ONDECK_CONFIG."""  # noqa: E501


class ConfigUnreadable(ConfigError):
    """{file}: can't be read: {why}; name a readable file with --config FILE or $ONDECK_CONFIG"""


class ConfigSyntax(ConfigError):
    """{file}: line {line}: this is not TOML: {why}"""


class ConfigInvalid(ConfigError):
    """{listing}

    All problems of the file at once, a line each: `.problems` holds them as objects.
    """

    def __init__(self, *, file: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(file=file, listing="\n".join(problem.line(file) for problem in self.problems))


class UnknownDaemon(ConfigError):
    """There is no daemon {name}; the daemons are {known}"""


@dataclass(frozen=True)
class Problem:
    """One wrong place in the file. `value` is `...` where there is none to show."""

    keys: tuple[str, ...]
    value: object = field(repr=False)  # it may be a secret
    wrong: str
    right: str

    def line(self, file: Path) -> str:
        """`FILE: [section.key] = VALUE: what is wrong; what would be right`, safe to print."""
        where = f"{clean(str(file))}: [{dotted(self.keys)}]" if self.keys else clean(str(file))
        if self.value is not ...:
            where += f" = {shown(self.value, self.keys)}"
        return f"{where}: {_sentence(self.wrong)}" + (f"; {_sentence(self.right)}" if self.right else "")


def clean(text: str) -> str:
    """The text with line breaks and control characters made visible, so that a message is one line."""
    return "".join(c if c.isprintable() else escape(c) for c in text)


def escape(character: str) -> str:
    """A character as TOML and JSON escape it."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def dotted(keys: Iterable[str]) -> str:
    """Keys as TOML writes them: quoted where they are not plain words, cut where they are very long."""
    return ".".join(
        key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else _cut(json.dumps(key)) for key in keys
    )


def shown(value: object, keys: Sequence[str] = ()) -> str:
    """A value as it would stand in the file: cut, on one line, without secrets."""
    if any(is_secret(key) for key in keys):
        return MASK
    return _cut(toml_value(value))


def toml_value(value: object, depth: int = 4) -> str:
    """A value in TOML's notation, with the passwords of addresses masked, nested tables cut at a depth."""
    if not depth:
        return "..."
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return clean(json.dumps(mask_url(value[:10_000]), ensure_ascii=False))
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple():
            return "[" + ", ".join(toml_value(item, depth - 1) for item in value[:50]) + "]"
        case dict():
            items = list(value.items())[:50]
            pairs = (
                f"{dotted([str(key)])} = {MASK if is_secret(str(key)) else toml_value(item, depth - 1)}"
                for key, item in items
            )
            return "{" + ", ".join(pairs) + "}"
        case int():
            return str(value) if value.bit_length() < 1000 else "(a huge number)"
        case _:
            return clean(mask_url(str(value)))


def kind(value: object) -> str:
    """What a value is, in plain words."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        ((list, tuple), "a list"),
        (dict, "a table"),
        ((date, time), "a date or time"),
    )
    return next((words for types, words in kinds if isinstance(value, types)), "nothing")


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean "…"?`, else the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(word[:100].lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        return f'did you mean "{next(name for name in names if name.lower() == close[0])}"?'
    return one_of(names)


def one_of(known: Iterable[str]) -> str:
    """The names there are, in words."""
    names = sorted(known)
    if not names:
        return "there is none yet"
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"it can be {quoted}" if len(names) == 1 else f"it can be one of {quoted}"


def _sentence(text: str) -> str:
    text = clean(text[: 2 * _LONGEST])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
