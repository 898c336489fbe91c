"""What lies in a storage, by names and sizes alone: quick, and enough to see that something is missing."""

from __future__ import annotations

from collections.abc import Sequence

from ..attemptbulk import chunks
from ..quote import to_text
from .access import Ask
from .differences import Difference
from .looking import GB
from .manifest import Manifest
from .storage import Storage

SURVEY = Ask("survey")
Found = dict[str, tuple[str, int]]
"""{path below a directory: (kind as find's %y, size in bytes)}, directories left out."""


def survey(storage: Storage, paths: Sequence[str]) -> dict[str, Found | None]:
    """{path: what lies below it; None if there is nothing of that name}. A file is found as itself, under ".".

    Raises OutsideRoot, NotMounted, WrongDisk, and what the transport raises.
    """
    answer: dict[str, Found | None] = {}
    for chunk in chunks(sorted(set(paths)), lambda path: (storage.path(path),)):
        out = storage._ask(SURVEY, None, *chunk, timeout=storage.longest, limit=4 * GB).out
        roots = set(chunk)
        answer.update({path: {} for path in chunk})
        for record in out.split(b"\0")[:-1]:
            kind, size, name = record.split(b" ", 2)
            path = to_text(name)[2:]
            if kind == b"-":
                answer[path] = None
                continue
            root = path if path in roots else next(r for r in _above(path) if r in roots)
            found = answer[root]
            if kind != b"d" and found is not None:
                found[path[len(root) + 1 :] or "."] = (kind.decode("ascii"), int(size))
    return answer


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def differs(found: Found, manifest: Manifest) -> list[Difference]:
    """How names, kinds and sizes differ from the manifest; [] if they don't."""
    expected = {entry.path: entry for entry in manifest.entries}
    out = []
    for path in sorted({*expected, *found}):
        entry, there = expected.get(path), found.get(path)
        if entry is None or there is None:
            what = "extra" if entry is None else "missing"
            out.append(Difference(path, what, *(("nothing", "something") if entry is None else ("a file", "nothing"))))
        elif entry.kind != there[0]:
            out.append(Difference(path, "kind", entry.kind, there[0]))
        elif entry.nbytes != there[1]:
            out.append(Difference(path, "size", f"{entry.nbytes} bytes", f"{there[1]} bytes"))
    return out
