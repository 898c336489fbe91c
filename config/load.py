"""Finds and reads ondeck.toml."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path

from .model import Config
from .problems import ConfigNotFound, ConfigSyntax, ConfigUnreadable
from .read import read
from .units import is_file

VARIABLE = "ONDECK_CONFIG"
FILE = "ondeck.toml"
_DEEPEST = 50
_LIMIT = 64 * 1024**2  # bytes


def find(path: Path | str | None = None) -> Path:
    """The file to use: the argument, else $ONDECK_CONFIG, else the first that exists of ./ondeck.toml,
    ~/.config/ondeck/ondeck.toml, /etc/ondeck/ondeck.toml. A file that was named is taken without a look.

    Raises ConfigNotFound, ConfigUnreadable (the current folder was removed).
    """
    named = path or os.environ.get(VARIABLE)
    try:
        if named:
            return Path(named).expanduser().absolute()
        here = Path.cwd()
    except OSError as error:
        raise ConfigUnreadable(file=named or FILE, why="the current folder is gone") from error
    places = [here / FILE, Path("~/.config/ondeck").expanduser() / FILE, Path("/etc/ondeck") / FILE]
    for place in places:
        if is_file(place):
            return place
    raise ConfigNotFound(places=", ".join(map(str, places)))


def load(path: Path | str | None = None) -> Config:
    """The configuration, found and checked.

    Raises ConfigNotFound, ConfigUnreadable, ConfigSyntax, ConfigInvalid: all are ConfigError.
    """
    file = find(path)
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigUnreadable(file=file, why=error.strerror or str(error)) from error
    if len(data) > _LIMIT:
        raise ConfigUnreadable(file=file, why="it is larger than 64 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigSyntax(file=file, line=line, why="the file is not a text in UTF-8") from error
    return loads(text, file, mode if stat.S_ISREG(mode) else None)


def loads(text: str, file: Path, mode: int | None = None) -> Config:
    """The configuration in a text, as if it stood in `file`, which need not exist."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(file, text, str(error)) from error
    except RecursionError as error:
        line = _line_of(r"(?:[\[{]\s*){50}", text)
        raise ConfigSyntax(file=file, line=line, why="tables or lists are nested too deeply") from error
    except ValueError as error:  # Python's own limit
        line = _line_of(r"[0-9_]{4000}", text)
        raise ConfigSyntax(file=file, line=line, why="a number has thousands of digits") from error
    if _deeper(document, _DEEPEST):
        raise ConfigSyntax(file=file, line=1, why=f"tables or lists are nested more than {_DEEPEST} deep")
    return read(document, file.absolute(), mode)


def _line_of(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return text.count("\n", 0, match.start()) + 1 if match else 1


def _deeper(document: object, depth: int) -> bool:
    """Whether tables and lists are nested deeper than that (looked at level by level, without recursion)."""
    level = [document]
    for _ in range(depth + 1):
        inner = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))
        ]
        level = [item for items in inner for item in items]
    return bool(level)


def _syntax(file: Path, text: str, message: str) -> ConfigSyntax:
    match = re.fullmatch(r"(?s)(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if not match:
        return ConfigSyntax(file=file, line=1, why=message)
    why, line, column = match.groups()
    if line is None:
        return ConfigSyntax(file=file, line=text.count("\n") + 1, why=f"{why}, at the end of the file")
    return ConfigSyntax(file=file, line=line, why=f"{why}, column {column}")
