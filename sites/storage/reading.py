"""What the scripts that read a directory or a tar say, taken apart. No input or output happens here."""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import NamedTuple

from ..quote import to_text
from .differences import Content
from .manifest import Entry

SPECIAL = {
    "p": "a named pipe",
    "s": "a socket",
    "b": "a block device",
    "c": "a character device",
    "D": "a door",
}


class Seen(NamedTuple):
    """One name as find saw it: its type, size, time in nanoseconds, and a link's target."""

    kind: str
    nbytes: int
    mtime_ns: int
    target: bytes


class Reading(NamedTuple):
    """One reading of a directory.

    `entries`: what was read whole. `special`: {path: words} of what is neither file, link nor directory.
    `links`: {path: target} of the links. `unreadable`: paths that can't be read. `changed`: {path: words} of
    what was another before than after. `whole`: whether all of the answer was seen and find had no complaint.
    """

    entries: list[Entry]
    special: dict[str, str]
    links: dict[str, str]
    unreadable: list[str]
    changed: dict[str, str]
    whole: bool


def parse_readings(out: bytes) -> tuple[dict[str, Reading], bool]:
    """The output of storage-manifest.sh from "=list" on: {name: reading}, and whether find had no complaint.

    A name that was no readable directory before and after has no reading. Raises ValueError where it is none.
    """
    records = out.split(b"\0")
    before, at, code = _listing(records, 1, b"=hashes ")
    hashes, at = _checksums(records, at)
    after, at, code_after = _listing(records, at + 1, b"=end ")
    whole = code == code_after == 0
    readings = {}
    for raw, seen in before.items():
        if b"/" not in raw and raw in after and seen.kind == after[raw].kind == "d":
            readings[raw] = Reading([], {}, {}, [], {}, whole)
    for raw in sorted({*before, *after}):
        name, _, path = raw.partition(b"/")
        if path and name in readings:
            _judge(readings[name], path, before.get(raw), after.get(raw), hashes.get(raw))
    return {to_text(name): reading for name, reading in readings.items()}, whole


def _judge(reading: Reading, raw: bytes, one: Seen | None, two: Seen | None, sha256: str | None) -> None:
    """Write down one name, seen before and after."""
    path = to_text(raw)
    if one is None or two is None:
        reading.changed[path] = "it appeared" if one is None else "it vanished"
    elif one.kind == two.kind == "d":
        return  # its time changes with what is in it, which is seen by itself
    elif one != two:
        sizes = f"{one.nbytes} bytes before, {two.nbytes} bytes after"
        reading.changed[path] = sizes if one.nbytes != two.nbytes else "other time or kind"
    elif one.kind == "f" and sha256 is not None:
        reading.entries.append(Entry(path, "f", one.nbytes, one.mtime_ns, sha256))
    elif one.kind == "l":
        reading.entries.append(_link(raw, one.nbytes, one.mtime_ns, one.target))
        reading.links[path] = to_text(one.target)
    elif one.kind in "fu":
        reading.unreadable.append(path)
    else:
        reading.special[path] = SPECIAL.get(one.kind, f"of the unknown type {one.kind}")


CHECKSUM = re.compile(rb"([0-9a-f]{64}) ([ *])\./(.+)", re.DOTALL)


def _checksums(records: list[bytes], at: int) -> tuple[dict[bytes, str], int]:
    """({path: checksum} of the function checksums, index of the record that begins with "=again")."""
    found: dict[bytes, str] = {}
    pending: dict[bytes, str] = {}
    while at < len(records) and not records[at].startswith(b"=again "):
        record = records[at]
        at += 1
        if record == b"=ok":
            found.update(pending)
        elif match := CHECKSUM.fullmatch(record):
            (found if match[2] == b" " else pending)[match[3]] = match[1].decode("ascii")
            continue
        if record in (b"=ok", b"=not"):
            pending = {}
    return found, at


def _listing(records: list[bytes], at: int, end: bytes) -> tuple[dict[bytes, Seen], int, int]:
    """({path: Seen}, index after the record that begins with `end`, the exit code that this names)."""
    found = {}
    while at < len(records) and not records[at].startswith(end):
        kind, nbytes, mtime, path = records[at].split(b" ", 3)
        at += 1
        target = b""
        if kind == b"l":
            target = records[at]
            at += 1
        found[path.removeprefix(b"./")] = Seen(kind.decode("ascii"), int(nbytes), nanoseconds(mtime), target)
    if at >= len(records):
        raise ValueError("the answer is cut off")
    return found, at + 1, int(records[at][len(end) :])


def _link(path: bytes, nbytes: int, mtime_ns: int, target: bytes) -> Entry:
    return Entry(to_text(path), "l", nbytes, mtime_ns, hashlib.sha256(target).hexdigest())


def parse_links(out: bytes) -> list[Entry]:
    """The output of storage-links.sh."""
    records = out.split(b"\0")
    links = []
    for head, target in zip(records[0:-1:2], records[1::2], strict=True):
        nbytes, mtime, path = head.split(b" ", 2)
        links.append(_link(path, int(nbytes), nanoseconds(mtime), target))
    return links


def nanoseconds(mtime: bytes) -> int:
    """A time as find prints it (seconds, a point, the fraction, which counts forward) in nanoseconds."""
    seconds, _, fraction = mtime.decode("ascii").partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])


def unlink_record(entry: Entry, folder: str) -> bytes:
    """An entry as find prints it in storage-unlink.sh."""
    seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
    head = f"{entry.kind} {entry.nbytes} {seconds}.{fraction:09d}0 ./{folder}/{entry.path}"
    return head.encode("utf-8", "surrogateescape") + b"\0"


def leaves(path: str, target: str) -> bool:
    """Whether a link at `path` with this target points outside of the directory that `path` is relative to.

    Judged by the text alone: absolute targets do, and those that climb above the top.
    """
    if target.startswith("/"):
        return True
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return end == ".." or end.startswith("../")


TAR_LINE = re.compile(rb'(.)\S* \S+ +(\S+) \S+ \S+ "((?:[^"\\]|\\.)*)"(?: (->|link to) "((?:[^"\\]|\\.)*)")?')
ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
TAR_KINDS = {"h": "a hard link", "p": SPECIAL["p"], "b": SPECIAL["b"], "c": SPECIAL["c"]}


def parse_tar(listing: bytes, hashed: bytes) -> tuple[dict[str, Content], list[str]]:
    """({path: content} of a tar's members, paths that occur twice), from the two scripts' outputs."""
    found: dict[str, Content] = {}
    twice = []
    hashes = _tar_hashes(hashed.split(b"\0"))
    for line in listing.split(b"\n"):
        match = TAR_LINE.fullmatch(line)
        if match is None:
            if line:
                found.setdefault(to_text(line), Content("a line of tar's that was not understood", 0, None))
            continue
        kind, raw = match[1].decode("ascii", "replace"), _unescape(match[3])
        if kind == "d":
            continue
        path = to_text(raw)
        if path in found:
            twice.append(path)
        if kind == "l":
            target = _unescape(match[5] or b"")
            found[path] = Content("l", len(target), hashlib.sha256(target).hexdigest())
        elif kind == "-" and raw in hashes:
            found[path] = Content("f", *hashes[raw])
        elif kind == "-":
            found[path] = Content("f", int(match[2]), None)
        else:
            found[path] = Content(TAR_KINDS.get(kind, f"of the unknown type {kind}"), 0, None)
    return found, twice


def _tar_hashes(records: list[bytes]) -> dict[bytes, tuple[int, str]]:
    """{path: (size, sha256)} from records path, size, checksum; a path without the other two is left out."""
    found = {}
    at = 0
    while at + 2 < len(records):
        if records[at + 1].isdigit() and re.fullmatch(rb"[0-9a-f]{64}  -", records[at + 2]):
            found[records[at]] = (int(records[at + 1]), records[at + 2][:64].decode("ascii"))
            at += 3
        else:
            at += 1
    return found


def _unescape(text: bytes) -> bytes:
    """The bytes behind a name quoted as in C."""

    def one(match: re.Match[bytes]) -> bytes:
        word = match[1]
        return bytes([int(word, 8)]) if word.isdigit() else ESCAPES.get(word, word)

    return re.sub(rb"\\([0-7]{1,3}|.)", one, text, flags=re.DOTALL)
