"""The list of what a run's directory holds, with checksums."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from ..quote import to_bytes
from .errors import ManifestDamaged

VERSION = 1


class Entry(NamedTuple):
    """A plain file ("f") or a symbolic link ("l").

    `path`: relative to the directory, any bytes as surrogateescape text. `nbytes`: size of the file, or of
    the link's target as text. `mtime_ns`: nanoseconds since 1970. `sha256`: of the file's bytes, or of the
    link's target.
    """

    path: str
    kind: str
    nbytes: int
    mtime_ns: int
    sha256: str


class Manifest:
    """What a directory holds: its plain files and symbolic links, sorted by path.

    Directories are not listed: an empty one is copied and put into tars, but nothing checks that it is there.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Sorts the entries; raises ManifestDamaged if a path occurs twice."""
        self.entries = tuple(sorted(entries, key=lambda e: to_bytes(e.path)))
        for one, two in zip(self.entries, self.entries[1:], strict=False):
            if one.path == two.path:
                raise ManifestDamaged(words=f"{one.path!r} stands in it twice")

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all plain files."""
        return sum(e.nbytes for e in self.entries if e.kind == "f")

    @property
    def nfiles(self) -> int:
        """Number of entries."""
        return len(self.entries)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of paths, kinds, sizes and checksums: equal where `content_equal` is true."""
        whole = hashlib.sha256()
        for e in self.entries:
            whole.update(f"{e.kind} {e.nbytes} {e.sha256} ".encode() + to_bytes(e.path) + b"\0")
        return whole.hexdigest()

    def content_equal(self, other: Manifest) -> bool:
        """Whether both hold the same, times aside."""
        return self.digest == other.digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Manifest of {self.nfiles} files, {self.nbytes} bytes, {self.digest[:12]}>"

    def dumps(self) -> bytes:
        """As bytes for the run database: zlib over lines of JSON, the first one a heading."""
        head = {"manifest": VERSION, "nfiles": self.nfiles, "nbytes": self.nbytes, "digest": self.digest}
        lines = [json.dumps(head), *(json.dumps(e, separators=(",", ":")) for e in self.entries)]
        return zlib.compress("\n".join(lines).encode("ascii"))

    @classmethod
    def loads(cls, data: bytes) -> Manifest:
        """The manifest that `dumps` wrote; raises ManifestDamaged unless it is whole."""
        try:
            head, *lines = [json.loads(line) for line in zlib.decompress(data).splitlines()]
            if head.get("manifest") != VERSION:
                raise ManifestDamaged(words=f"version {head.get('manifest')!r}, known is {VERSION}")
            found = cls(_entry(line) for line in lines)
        except (zlib.error, ValueError, TypeError, AttributeError) as e:
            raise ManifestDamaged(words=f"{type(e).__name__}: {e}") from e
        if (found.nfiles, found.nbytes, found.digest) != (
            head.get("nfiles"),
            head.get("nbytes"),
            head.get("digest"),
        ):
            raise ManifestDamaged(words="its entries do not agree with its heading")
        return found


def _entry(line: Any) -> Entry:
    entry = Entry(*line)
    if [type(field) for field in entry] != [str, str, int, int, str] or entry.kind not in ("f", "l"):
        raise ValueError(f"no entry: {line!r}")
    return entry
