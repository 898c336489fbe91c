"""What the files in the directories of attempts say: read for many attempts in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .attemptbulk import NOWHERE, TIMEOUT, NoAnswer, Place, bulk, chunks, fields_of, plain
from .attemptfiles import (
    ClaimFile,
    ExitFile,
    StartFile,
    parse_claim,
    parse_exit,
    parse_start,
    parse_token,
)
from .errors import Machinery
from .quote import shown, words_of
from .scripts import Script
from .transport import Transport
from .work import Work

GLANCE = Script("attempt-glance", "attempt-guard")
LOOK = Script("attempt-look", "attempt-guard")
TAIL = Script("attempt-tail")


class UnreadableFile(Machinery):
    """{path} can't be read: {words}."""


class Glance(NamedTuple):
    """Which of an attempt's files are there; cheap."""

    exists: bool
    token: bool
    claim: bool
    start: bool
    exit: bool


@dataclass(frozen=True)
class Look:
    """What an attempt's files say. Each property raises GarbledFile or UnreadableFile where its file does not
    tell."""

    directory: str
    raw: Mapping[str, bytes] = field(repr=False)

    def _content(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. The name "" stands for the directory."""
        answer = self.raw[name]
        if answer[:1] == b"!":
            raise UnreadableFile(path=shown(self._path(name)), words=words_of(answer[1:]))
        return answer[1:] if answer[:1] == b"+" else None

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}" if name else self.directory

    @property
    def exists(self) -> bool:
        """Whether the directory is there."""
        return self._content("") is not None

    @property
    def token(self) -> str | None:
        """The token in the directory."""
        content = self._content("token")
        return None if content is None else parse_token(content, self._path("token"))

    @property
    def claim(self) -> ClaimFile | None:
        """Who may run the payload."""
        content = self._content("claim")
        return None if content is None else parse_claim(content, self._path("claim"))

    @property
    def start(self) -> StartFile | None:
        """When the payload began; None: it did not begin."""
        content = self._content("start")
        return None if content is None else parse_start(content, self._path("start"))

    @property
    def exit(self) -> ExitFile | None:
        """How the payload ended."""
        content = self._content("exit")
        return None if content is None else parse_exit(content, self._path("exit"))


class Tail(NamedTuple):
    """The last bytes of what a payload wrote."""

    stdout: bytes
    stderr: bytes


def glance(
    transport: Transport, directories: Iterable[str], *, place: Place = NOWHERE, work: Work | None = None
) -> list[Glance]:
    """Which files each attempt has. Raises NoAnswer, Unmounted, and as Transport.run."""
    found: list[Glance] = []
    for chunk in chunks(list(directories), lambda d: (plain(d),)):
        for answer in fields_of(transport, bulk(GLANCE, chunk, *place), len(chunk), place, work):
            found.append(Glance(*(letter in answer for letter in (b"d", b"t", b"c", b"s", b"e"))))
    return found


def look(
    transport: Transport, directories: Iterable[str], *, place: Place = NOWHERE, work: Work | None = None
) -> list[Look]:
    """What each attempt's files say. Raises NoAnswer, Unmounted, and as Transport.run."""
    found: list[Look] = []
    for chunk in chunks(list(directories), lambda d: (plain(d),)):
        fields = fields_of(transport, bulk(LOOK, chunk, *place), 5 * len(chunk), place, work)
        for i, directory in enumerate(chunk):
            five = fields[5 * i : 5 * i + 5]
            if any(answer[:1] not in (b"-", b"+", b"!") for answer in five):
                raise NoAnswer(site=transport.name, command=LOOK.name, words=repr(five)[:300])
            found.append(Look(directory, dict(zip(("", "token", "claim", "start", "exit"), five, strict=True))))
    return found


def tail(transport: Transport, directory: str, limit: int = 4000, *, work: Work | None = None) -> Tail:
    """The last `limit` bytes of the payload's stdout and stderr. Raises NoAnswer, and as
    Transport.run_many."""
    names = ("stdout", "stderr")
    commands = [TAIL.command(f"{plain(directory)}/{name}", str(limit)) for name in names]
    ends = []
    for result in transport.run_many(commands, timeout=TIMEOUT, work=work):
        if result is None or result.code:
            words = "half an answer" if result is None else words_of(result.err)
            raise NoAnswer(site=transport.name, command=TAIL.name, words=words)
        ends.append(result.out)
    return Tail(*ends)
