"""What a check of the surroundings has found."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "mended", "warn", "fail"]


class Finding(NamedTuple):
    """`subject`: what it is about; `words`: what was seen; `todo`: what to do about it.

    `warn` is worth a look, `fail` needs somebody; `mended` was wrong and is right now.
    """

    level: Level
    subject: str
    words: str
    todo: str = ""
