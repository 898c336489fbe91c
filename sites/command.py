"""What a transport is asked, and what it answers."""

from __future__ import annotations

from typing import NamedTuple

MB = 1_000_000


class Command(NamedTuple):
    """A command to run on a site, as words; nothing of it is ever read by a shell as text.

    `argv`: the words; names of any bytes as surrogateescape text. `input`: what it reads on stdin (nothing:
    /dev/null). `name`: what messages and logs call it; empty = its first word. `limit`: the most bytes that
    it may write on stdout.
    """

    argv: tuple[str, ...]
    input: bytes = b""
    name: str = ""
    limit: int = 256 * MB

    @property
    def title(self) -> str:
        """What messages and logs call it."""
        return self.name or self.argv[0]


class Result(NamedTuple):
    """How a command ended. `code` as a shell counts: 126, 127: not started; 128 + n: killed by signal n."""

    code: int
    out: bytes
    err: bytes
    seconds: float
