"""The one place where words become shell text, and bytes become words that can be shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from .errors import Refused


class NulInWord(Refused):
    """{word} holds a NUL byte, which no command can be given. Take it out of the name."""


def quote(word: str) -> str:
    """`word` as exactly one word of a POSIX shell; raises NulInWord."""
    if "\0" in word:
        raise NulInWord(word=shown(word))
    return shlex.quote(word)


def quote_all(words: Iterable[str]) -> str:
    """`words` as one command line of a POSIX shell; raises NulInWord."""
    return " ".join(quote(word) for word in words)


def to_bytes(word: str) -> bytes:
    """The bytes of a name as the site has them."""
    return word.encode("utf-8", "surrogateescape")


def to_text(name: bytes) -> str:
    """A name of any bytes as text; `to_bytes` gives the same bytes back."""
    return name.decode("utf-8", "surrogateescape")


def shown(name: str | bytes) -> str:
    """A name for messages and logs: one line, what can't be printed as backslash escapes."""
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def words_of(err: bytes, limit: int = 500) -> str:
    """What a command said on stderr, shortened, on one line."""
    lines = [shown(line).strip() for line in err.split(b"\n")]
    text = "; ".join(line for line in lines if line)
    return text if len(text) <= limit else text[: limit - 1] + "…"
