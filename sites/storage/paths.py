"""Paths inside a storage: relative, plain, never climbing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..quote import to_bytes

PART = re.compile(r"\..+\.[0-9]+\.part")
DELETING = re.compile(r"\..+\.deleting")


def trouble(path: str) -> str | None:
    """Why `path` may not be used inside a storage; None if it may."""
    if not path:
        return "it is empty"
    if any(c in path for c in "\0\n\r"):
        return "it holds a NUL byte or a line break"
    if path.startswith("/"):
        return "it is absolute"
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        return "a part of it is empty, one point or two"
    if any(len(to_bytes(part)) > 255 for part in parts):
        return "a part of it is longer than 255 bytes"
    if parts[0] == UUID_FILE:
        return "that file is the storage's own"
    return None


UUID_FILE = ".ondeck-storage"


def last(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def parent(path: str) -> str:
    """All but the last part of a path; "" at the top."""
    return path.rpartition("/")[0]


def is_tail(name: str, path: str) -> bool:
    """Whether `name` is `path` or its last parts."""
    return path == name or path.endswith("/" + name)


def by_folder(relatives: Iterable[str], most: int) -> Iterator[tuple[str, list[str]]]:
    """The paths as (directory they lie in, "." at the top; their names there, at most `most`), each once."""
    folders: dict[str, list[str]] = {}
    for relative in dict.fromkeys(relatives):
        folders.setdefault(parent(relative) or ".", []).append(last(relative))
    for folder, names in folders.items():
        for i in range(0, len(names), most):
            yield folder, names[i : i + most]


def joined(folder: str, name: str) -> str:
    """The path of a name in a directory; "." is the top."""
    return name if folder == "." else f"{folder}/{name}"
