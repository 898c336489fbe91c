"""Where a source begins: which of the runs that are already there are left out."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from ..config.errors import OndeckError
from ..db.clock import database_time
from ..db.insert import insert_new
from ..db.tables import Source

ASK_ABOVE = 50
"""When a source's first look finds more runs than this, a person must say where to begin."""


class NoSuchRun(OndeckError):
    """There is no run {run} at the source; the last one there is {last}."""


class AdoptedAlready(OndeckError):
    """source {name} begins at {begin!r} already, since {since:%Y-%m-%d %H:%M} UTC, with {count} runs left out. To say
    it anew add --again"""


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


def begin_at(session: Session, source: str, begin: str, out: Sequence[str], *, again: bool = False) -> None:
    """Write down that `source` begins at `begin`, with the runs `out` left out (as `left_out` gives them).

    Raises AdoptedAlready when that was said before, unless `again`.
    """
    insert_new(session, Source, [{"name": source}], ["name"])
    state = session.get_one(Source, source, populate_existing=True, with_for_update=True)
    if state.adopted is not None and not again:
        since = state.adopted_at or database_time(session)
        raise AdoptedAlready(name=source, begin=state.adopted, since=since, count=len(state.left_out))
    state.adopted, state.adopted_at, state.left_out = begin, database_time(session), list(out)
    state.error = None
    session.flush()
