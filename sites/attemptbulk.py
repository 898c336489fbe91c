"""One question about many attempts in one round trip: names go to the site's scripts NUL-separated, by
xargs."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from .command import Command, Result
from .errors import Machinery, Refused
from .quote import shown, to_bytes, words_of
from .scripts import Script
from .transport import Transport
from .work import Work

CHUNK = 60_000  # bytes of names in one round trip: what sh may get as arguments everywhere
TIMEOUT = 120.0
T = TypeVar("T")


class NoAnswer(Machinery):
    """site {site}: {command} did not answer as it should: {words}."""

    of_site = True


class Unmounted(Machinery):
    """site {site}: {root} is not the directory of the attempts: its .ondeck-storage must hold {uuid}. Nothing
    was done there. Mount the disk."""

    of_site = True


class WrongName(Refused):
    """{path!r} can't be the name of {what}: it must be {right}."""


class Place(NamedTuple):
    """The directory in which all attempts lie, and the uuid that its .ondeck-storage must hold."""

    root: str
    uuid: str


NOWHERE = Place("", "")


def plain(path: str) -> str:
    """The path itself, if it is absolute and plain; raises WrongName."""
    if not path.startswith("/") or path == "/" or os.path.normpath(path) != path or "\0" in path:
        raise WrongName(path=shown(path), what="an attempt's directory", right="absolute, without // . .. or NUL")
    return path


def chunks(items: Sequence[T], words: Callable[[T], tuple[str, ...]]) -> Iterator[list[T]]:
    """The items in groups whose words are not too long together; calls `words` for all of them first."""
    sizes = [sum(len(to_bytes(word)) + 1 for word in words(item)) for item in items]
    chunk: list[T] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if chunk and total + size > CHUNK:
            yield chunk
            chunk, total = [], 0
        chunk.append(item)
        total += size
    if chunk:
        yield chunk


def packed(words: Iterable[str]) -> bytes:
    return b"".join(to_bytes(word) + b"\0" for word in words)


def bulk(script: Script, words: Sequence[str], *args: str) -> Command:
    """The script with `args` and then all `words` as arguments; they are given to it by xargs."""
    argv = ("xargs", "-0", "-x", "-n", "100000", *script.command(*args).argv)
    return Command(argv, packed(words), script.name)


def fields_of(transport: Transport, command: Command, count: int, place: Place, work: Work | None) -> list[bytes]:
    """The fields of an answer, which must be `count`; raises NoAnswer, Unmounted."""
    result: Result = transport.run(command, timeout=TIMEOUT, work=work)
    fields = result.out.split(b"\0")
    if fields[-2:] == [b"unmounted", b""]:
        raise Unmounted(site=transport.name, root=shown(place.root), uuid=place.uuid)
    if result.code or len(fields) != count + 2 or fields[-2:] != [b"end", b""]:
        words = words_of(result.err) or f"exit code {result.code}, {len(fields)} fields of {count + 2}"
        raise NoAnswer(site=transport.name, command=command.title, words=words)
    return fields[:-2]
