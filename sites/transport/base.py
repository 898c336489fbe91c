"""What every transport can do."""

from __future__ import annotations

import base64
import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from ..command import Command, Result
from ..errors import Machinery, Refused
from ..quote import quote_all, shown, words_of
from ..scripts import Script
from ..work import Work

log = logging.getLogger(__name__)

MISSING = 43  # exit code of get.sh


class TransportFailed(Machinery):
    """site {site}: {command} failed: {words}."""

    of_site = True


class TransportTimeout(TransportFailed):
    """site {site}: {command} took longer than {timeout:g} s and was killed."""

    def __init__(self, *, site: str, command: str, timeout: float, partial: Result) -> None:
        """`partial`: what it had written by then."""
        super().__init__(site=site, command=command, timeout=timeout)
        self.partial = partial


class OutputTooLong(Refused):
    """site {site}: {command} gave more than {limit} bytes; nothing of it was used."""


class NoSuchFile(Refused):
    """site {site}: there is no plain file {path}."""


class RemoteShell(NamedTuple):
    """How another program, such as rsync, reaches the same place by ssh.

    `argv`: the words of the ssh command, with its options and without the host; `host`: "user@host".
    """

    argv: tuple[str, ...]
    host: str


class Transport(ABC):
    """A way to run commands on the site `name`. Safe to use from several threads."""

    #: two transports with the same place run their commands on the same machine
    place: str

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        """Run one command to its end; an exit code other than 0 is a result, not an error.

        After `timeout` seconds it is killed, with all its children, and TransportTimeout raised. Raises
        TransportFailed if the site can't be asked, OutputTooLong, and WorkCancelled when `work` is cancelled.
        What was done by a command whose answer did not come is not known. Never repeats a command.
        """

    def close(self) -> None:
        """Give up connections; a later `run` makes new ones."""
        return

    def remote_shell(self) -> RemoteShell | None:
        """The ssh command by which this place is reached; None where it is this machine."""
        return None

    def run_many(self, commands: Sequence[Command], *, timeout: float, work: Work | None = None) -> list[Result | None]:
        """Run the commands one after the other in one round trip.

        None stands for a command whose whole answer was not seen: whether it ran is not known. (`timeout` is
        for all together; where it strikes after the first answer, the answers that came are returned.) A
        command's `limit` is not looked at. Raises as `run`, and TransportFailed if nothing at all was
        answered.
        """
        if not commands:
            return []
        nonce = secrets.token_hex(16)
        title = f"{len(commands)} × {commands[0].title}"
        whole = Command(("sh",), many_script(commands, nonce), title)
        try:
            result = self.run(whole, timeout=timeout, work=work)
        except TransportTimeout as e:
            result = e.partial
            answers = many_answers(result, len(commands), nonce)
            if not any(answers):
                raise
        else:
            answers = many_answers(result, len(commands), nonce)
            if f"<{nonce}:0:".encode() not in result.out:
                words = words_of(result.err) or f"exit code {result.code} and no answer"
                raise TransportFailed(site=self.name, command=title, words=words)
        if missing := answers.count(None):
            log.warning("half an answer", extra={"site": self.name, "command": title, "missing": missing})
        return answers

    def put(self, data: bytes, path: str, mode: int = 0o640, *, timeout: float = 60, work: Work | None = None) -> None:
        """Write a small file: whole and on disk under its name, or not at all. Replaces what was there.

        `path` is absolute; its directory exists. Raises TransportFailed, and as `run`.
        """
        command = PUT.command(path, f"{mode:04o}", str(len(data)), input=data, name=f"put {shown(path)}")
        result = self.run(command, timeout=timeout, work=work)
        if result.code:
            raise self._failure(command, result)

    def get(self, path: str, limit: int = 10_000_000, *, timeout: float = 60, work: Work | None = None) -> bytes:
        """Read a plain file of at most `limit` bytes. Raises NoSuchFile, OutputTooLong, and as `run`."""
        command = GET.command(path, str(limit + 1), name=f"get {shown(path)}", limit=limit + 1)
        result = self.run(command, timeout=timeout, work=work)
        if result.code == MISSING:
            raise NoSuchFile(site=self.name, path=shown(path))
        if result.code:
            raise self._failure(command, result)
        if len(result.out) > limit:
            raise OutputTooLong(site=self.name, command=command.title, limit=limit)
        return result.out

    def _failure(self, command: Command, result: Result) -> TransportFailed:
        words = f"exit code {result.code}: {words_of(result.err) or 'it said nothing'}"
        return TransportFailed(site=self.name, command=command.title, words=words)


PUT = Script("put")
GET = Script("get")


def many_script(commands: Sequence[Command], nonce: str) -> bytes:
    """The sh script that runs `commands`, with `<nonce:i:begin>` and `<nonce:i:CODE>` around each output.

    Each input stands in it in base64, so that it may hold any bytes; no command reads the script's own stdin.
    """
    mark = f'printf \'<{nonce}:%s:%s>\' "$1" "$2"'
    lines = [f"m() {{ {mark}; {mark} >&2; }}\n"]
    for i, command in enumerate(commands):
        line = quote_all(command.argv)
        if command.input:
            line = f"printf %s {base64.b64encode(command.input).decode()} | base64 -d | {line}"
        else:
            line = f"{line} </dev/null"
        lines.append(f"m {i} begin\n{line}\nm {i} $?\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def many_answers(result: Result, count: int, nonce: str) -> list[Result | None]:
    """The answers that are whole in the output of `many_script`; what stands before them is ignored."""
    outs, errs = (_between(stream, nonce) for stream in (result.out, result.err))
    answers: list[Result | None] = []
    for i in range(count):
        out, err = outs.get(i), errs.get(i)
        whole = out is not None and err is not None and out[0] == err[0]
        answers.append(Result(out[0], out[1], err[1], result.seconds) if whole and out and err else None)
    return answers


def _between(stream: bytes, nonce: str) -> dict[int, tuple[int, bytes]]:
    """{number: (code, bytes between its two sentinels)}."""
    pattern = rb"<%b:(\d+):begin>(.*?)<%b:\1:(\d+)>" % (nonce.encode(), nonce.encode())
    return {int(m[1]): (int(m[3]), m[2]) for m in re.finditer(pattern, stream, re.DOTALL)}
