"""Runs as directories that a DAQ writes: one directory a run, complete when its end marker is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..sites.quote import shown, to_bytes, words_of
from ..sites.scripts import Script
from ..sites.transport import TransportFailed
from ..sites.work import Work
from . import Found, Source
from .parameters import LARGEST, BadParameters, parse

_DETAILS = Script("runs-details")
_SECONDS = 300.0


def _plain_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) or value in (".", ".."):
        raise ValueError('give the plain name of a file in the run\'s directory, such as "run.end"')
    return value


PlainName = Annotated[str, AfterValidator(_plain_name)]


class DirectorySource(Source):
    """Directories directly below the root of the source's storage; names that begin with a dot are passed over."""

    class Options(BaseModel):
        """Keys of [sources.NAME] with type = "directory"."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        storage: str = Field(description="the storage on which the directories lie", examples=["daq"])
        end_marker: PlainName = Field(
            "run.end", description="a run is complete when this file is in its directory"
        )
        parameters: tuple[PlainName, ...] = Field(
            ("run.json", "run.toml"),
            description="files with the run's parameters; the first that exists is read",
        )

    def complete(self, work: Work) -> list[str]:
        """Names of the directories that have the end marker, in natural order."""
        self.storage.check()
        names = (n for n in self.storage.having(self.options.end_marker) if not n.startswith("."))
        return sorted((_name(to_bytes(n)) for n in names), key=natural)

    def details(self, names: Sequence[str], work: Work) -> list[Found]:
        """Size and parameters of the runs `names`."""
        if not names:
            return []
        self.storage.check()
        command = _DETAILS.command(
            self.storage.root,
            str(LARGEST + 1),
            *self.options.parameters,
            input=b"".join(to_bytes(n) + b"\0" for n in names),
        )
        result = self.storage.transport.run(command, timeout=_SECONDS, work=work)
        if result.code:
            words = words_of(result.err) or f"exit code {result.code}"
            raise TransportFailed(site=self.storage.transport.name, command=command.title, words=words)
        return [self._found(*answer) for answer in _answers(result.out)]

    def _found(self, raw: bytes, nbytes: int, file: str, content: bytes) -> Found:
        name = _name(raw)
        if not file:
            words = " nor ".join(self.options.parameters)
            return Found(
                name,
                name,
                nbytes,
                error=f"{shown(raw)} has neither {words}: its parameters are unknown",
                bare=True,
            )
        try:
            return Found(name, name, nbytes, parse(f"{shown(raw)}/{file}", content))
        except BadParameters as error:
            return Found(name, name, nbytes, error=str(error))


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts run9 before run10."""
    return [
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    ]


def _name(raw: bytes) -> str:
    """A directory's name as the database can hold it; a name that is no UTF-8 shows its bytes, and is refused later."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return shown(raw)


def _answers(out: bytes) -> Iterator[tuple[bytes, int, str, bytes]]:
    """(name, bytes, file of parameters or "", its content) from what the script printed."""
    at = 0
    while at < len(out):
        name, nbytes, file, length, rest = out[at:].split(b"\0", 4)
        start = len(out) - len(rest)
        end = start + int(length)
        yield name, int(nbytes), file.decode("ascii"), out[start:end]
        at = end
