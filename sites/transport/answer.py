"""What a command writes, as it comes in: plain from this machine, between sentinels from another.

The far side is sh (templates/sh/remote.sh), behind whatever shell the user has there: `<MARK:begin>` on both streams,
the command's own bytes, now and then `<MARK:p PROCESS=EFFORT …>` on stderr, at last `<MARK:end:CODE>` on both. MARK
is secret. So a greeting is no output, half an answer is seen to be half, and a quiet command shows that it works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ERR_LIMIT = 1_000_000  # bytes of stderr that are kept: its beginning
NOISE_LIMIT = 100_000  # bytes before the begin that are kept: their end
LONGEST_TAG = 100_000


class Answer:
    """Output as it comes: `out` up to `limit` bytes, then `too_long`; of stderr the beginning."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.out, self.err = bytearray(), bytearray()
        self.too_long = False

    @property
    def ended(self) -> bool:
        """Whether the output itself says that all of it is here."""
        return False

    def take_out(self, data: bytes) -> None:
        """More of stdout."""
        if len(self.out) + len(data) > self.limit:
            self.too_long = True
        else:
            self.out += data

    def take_err(self, data: bytes) -> None:
        """More of stderr."""
        self.err += data[: max(0, ERR_LIMIT - len(self.err))]

    def progress(self) -> int:
        """What the output tells of the command's effort; never falls."""
        return 0


class MarkedAnswer(Answer):
    """Output from another machine; `code` is the command's, as its shell saw it, once both ends are here."""

    def __init__(self, limit: int, mark: str) -> None:
        super().__init__(limit)
        self._out, self._err = _Stream(mark), _Stream(mark)
        self._effort: dict[bytes, int] = {}
        self._nbytes = 0

    @property
    def begun(self) -> bool:
        """Whether the command was started, as far as is known here."""
        return self._out.begun

    @property
    def ended(self) -> bool:
        """See Answer."""
        return self._out.code is not None and self._err.code is not None

    @property
    def code(self) -> int:
        """The exit code; -1 before the end."""
        return self._out.code if self.ended and self._out.code == self._err.code and self._out.code is not None else -1

    @property
    def noise(self) -> bytes:
        """What came before the answer: greetings, and the words of a shell or an ssh that failed."""
        return bytes(self._err.noise + b"\n" + self._out.noise)

    def take_out(self, data: bytes) -> None:
        """See Answer."""
        for piece in self._out.feed(data):
            super().take_out(piece)
            self._nbytes += len(piece)

    def take_err(self, data: bytes) -> None:
        """See Answer."""
        for piece in self._err.feed(data):
            super().take_err(piece)
            self._nbytes += len(piece)
        for tag in self._err.tags():
            for process, effort in re.findall(rb" ([0-9.]+)=([0-9]{1,19})", tag):
                self._effort[process] = max(int(effort), self._effort.get(process, 0))

    def progress(self) -> int:
        """Bytes that came, and bytes and cpu ticks of all processes that were ever told of."""
        return self._nbytes + sum(list(self._effort.values()))


class _Stream:
    """One stream with its sentinels taken out."""

    def __init__(self, mark: str) -> None:
        self.begun = False
        self.code: int | None = None
        self.noise = bytearray()
        self._start = f"<{mark}:".encode()
        self._rest = b""
        self._tags: list[bytes] = []

    def tags(self) -> list[bytes]:
        """The progress that was told since the last call."""
        tags, self._tags = self._tags, []
        return tags

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of the command's own output."""
        data = self._rest + data if self._rest else data
        self._rest = b""
        here = 0
        while self.code is None:
            at = data.find(self._start, here)
            if at < 0:
                keep = _tail(data, self._start, here)
                yield from self._plain(data[here : len(data) - keep])
                self._rest = data[len(data) - keep :] if keep else b""
                return
            yield from self._plain(data[here:at])
            end = data.find(b">", at, at + LONGEST_TAG)
            if end < 0:
                self._rest = data[at:]
                return
            self._tag(data[at + len(self._start) : end])
            here = end + 1

    def _plain(self, piece: bytes) -> Iterator[bytes]:
        if self.begun and piece:
            yield piece
        elif piece:
            self.noise = (self.noise + piece)[-NOISE_LIMIT:]

    def _tag(self, tag: bytes) -> None:
        if tag == b"begin":
            self.begun = True
        elif self.begun and (match := re.fullmatch(rb"end:([0-9]{1,3})", tag)):
            self.code = int(match[1])
        elif tag.startswith(b"p"):
            self._tags.append(tag)


def _tail(data: bytes, start: bytes, here: int) -> int:
    """How many bytes at the end of the data (not before `here`) may be the beginning of `start`."""
    for length in range(min(len(start) - 1, len(data) - here), 0, -1):
        if start.startswith(data[len(data) - length :]):
            return length
    return 0
