"""Where a source begins: which of the runs that are already there are left out."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.errors import OndeckError

ASK_ABOVE = 50
"""When a source's first look finds more runs than this, a person must say where to begin."""


class NoSuchRun(OndeckError):
    """There is no run {run} at the source; the last one there is {last}."""


def left_out(begin: str, complete: Sequence[str]) -> list[str]:
    """Of the runs `complete` (in their natural order), those which are not taken when a source begins at `begin`.

    `begin` is `all`, `now` or `after:RUN`. Raises NoSuchRun.
    """
    if begin == "all":
        return []
    if begin == "now":
        return list(complete)
    run = begin.removeprefix("after:")
    if run not in complete:
        raise NoSuchRun(run=run, last=complete[-1] if complete else "none")
    return list(complete[: complete.index(run) + 1])
