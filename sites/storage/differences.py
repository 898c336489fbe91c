"""How what was found differs from what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..quote import shown, to_bytes
from .manifest import Entry


class Content(NamedTuple):
    """What is compared: kind as of Entry, or words for another one; size; checksum (None: can't be read)."""

    kind: str
    nbytes: int
    sha256: str | None


class Difference(NamedTuple):
    """One difference. `what`: missing, extra, kind, size, sha256 or unreadable; the others are words."""

    path: str
    what: str
    expected: str
    found: str

    def words(self) -> str:
        """The difference as a sentence for people, on one line."""
        return f"{shown(self.path)}: {self.what}: expected {self.expected}, found {self.found}"


KINDS = {"f": "a plain file", "l": "a symbolic link"}


def content(entries: Iterable[Entry]) -> dict[str, Content]:
    """{path: content} of entries."""
    return {e.path: Content(e.kind, e.nbytes, e.sha256) for e in entries}


def compare(expected: Mapping[str, Content], found: Mapping[str, Content]) -> list[Difference]:
    """All differences, sorted by path; empty if the contents are equal."""
    differences = []
    for path in sorted({*expected, *found}, key=to_bytes):
        one, two = expected.get(path), found.get(path)
        if one == two and one is not None and one.sha256 is not None:
            continue
        if two is None:
            assert one is not None
            differences.append(Difference(path, "missing", _kind(one), "nothing"))
        elif one is None:
            differences.append(Difference(path, "extra", "nothing", _kind(two)))
        elif one.kind != two.kind:
            differences.append(Difference(path, "kind", _kind(one), _kind(two)))
        elif two.sha256 is None:
            differences.append(Difference(path, "unreadable", f"{one.nbytes} bytes", "what can't be read"))
        elif one.nbytes != two.nbytes:
            differences.append(Difference(path, "size", f"{one.nbytes} bytes", f"{two.nbytes} bytes"))
        else:
            differences.append(Difference(path, "sha256", str(one.sha256), str(two.sha256)))
    return differences


def _kind(item: Content) -> str:
    return KINDS.get(item.kind, item.kind)
