"""Bundles: several runs' directories in one tar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..command import Result
from ..quote import shown, words_of
from ..work import Work
from . import paths
from .access import Ask
from .differences import Content, Difference, compare, content
from .errors import Missing, NotPlainFile, Unstable
from .manifest import Manifest
from .reading import parse_tar

if TYPE_CHECKING:
    from .storage import Storage

BUNDLE, TAR_LIST, TAR_HASH = Ask("bundle"), Ask("tar-list"), Ask("tar-hash")
CHANGED = 1  # tar: a file changed while it was read
NO_TAR = 126  # from here on: the shell could not run tar, or it was killed
GB = 1_000_000_000


def write(source: Storage, target: Storage, part: str, members: Sequence[tuple[str, str]], work: Work | None) -> int:
    """Write a tar (pax, sorted, owners by number) and bring it to the disk; its size in bytes.

    `members`: (path in `source`, name in the tar). The name must be the path or its last parts, so that tar
    can be given it as it is, whatever bytes it holds. Raises ValueError for another or one that stands twice,
    Exists if `part` is there, Missing, Unstable if a file changed meanwhile, TransportFailed with tar's
    words.
    """
    target.path(part)
    source.need_uuid()
    names = [name for _, name in members]
    if not names:
        raise ValueError("a bundle needs members")
    for i, name in enumerate(names):
        if any(name == n or name.startswith(n + "/") or n.startswith(name + "/") for n in names[:i]):
            raise ValueError(f"{name!r} stands twice in the bundle")
    pairs: list[str] = []
    for path, name in members:
        source.path(path)
        if not paths.is_tail(name, path):
            raise ValueError(f"{name!r} is not the end of {path!r}")
        pairs += (path[: -len(name)].rstrip("/") or ".", name)
    source.need_road(target)
    what = ", ".join(path for path, _ in members)
    result = target._ask(
        BUNDLE,
        part,
        *source.guard(),
        *pairs,
        own=True,
        other=source,
        other_path=what,
        work=work,
        timeout=target.longest,
        good=(0, CHANGED),
    )
    if result.code == CHANGED:
        raise Unstable(storage=source.name, path=shown(what), words=words_of(result.err))
    return int(result.out)


def verify(storage: Storage, part: str, manifests: Mapping[str, Manifest], work: Work | None) -> list[Difference]:
    """Read a tar back whole, without unpacking it, and compare each member with {name in the tar: manifest}.

    A tar that is missing, cut off or damaged gives differences, never silence: path "." stands for the tar
    itself.
    """
    expected: dict[str, Content] = {}
    for name, manifest in manifests.items():
        for path, item in content(manifest.entries).items():
            expected[f"{name}/{path}"] = item
    try:
        listed = _read(storage, TAR_LIST, part, work)
        hashed = _read(storage, TAR_HASH, part, work)
    except (Missing, NotPlainFile) as e:
        found = "nothing" if isinstance(e, Missing) else str(e.fields["kind"])
        return [Difference(".", "missing", "a tar", found)]
    members, twice = parse_tar(listed.out, hashed.out)
    differences = compare(expected, members)
    differences += [Difference(path, "extra", "one member of that name", "more than one") for path in twice]
    for result in (listed, hashed):
        if result.code:
            words = words_of(result.err) or f"exit code {result.code}"
            return [*differences, Difference(".", "unreadable", "a whole tar", words)]
    return differences


def members(storage: Storage, path: str, work: Work | None = None) -> list[str]:
    """The paths of all files and links in a tar, sorted, as far as it can be listed. Raises Missing, NotPlainFile."""
    found, _ = parse_tar(_read(storage, TAR_LIST, path, work).out, b"")
    return sorted(found)


def _read(storage: Storage, ask: Ask, part: str, work: Work | None) -> Result:
    codes = [code for code in range(NO_TAR) if not 40 <= code < 60]  # tar's own, which speak of the tar
    return storage._ask(ask, part, work=work, timeout=storage.longest, limit=4 * GB, good=codes)
