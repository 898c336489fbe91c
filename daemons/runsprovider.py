"""RunsProvider: finds runs at the sources and gives them to their listeners. A lane a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..config import Config
from ..config.plugins import kept
from ..db.engine import Database
from ..sites.work import Work
from ..sources import Source
from .base import Daemon, Lane
from .glance import anything
from .insertedrows import BEGINNINGS, InsertedRows
from .intake import candidate, listener_of
from .newruns import NewRuns
from .places import Places


class RunsProvider(Daemon):
    """Takes what is new at a source, and what a person or a DAQ has inserted."""

    name = "RunsProvider"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places = {name: Places(config, db) for name in config.sources}
        self._new = {name: NewRuns(config, db, name) for name in config.sources}
        self._rows = {name: InsertedRows(config, db, name, self.settings.lease) for name in config.sources}

    def lanes(self) -> Sequence[str]:
        """The sources."""
        return list(self.config.sources)

    def close(self, lane: Lane) -> None:
        """Give up the lane's connections."""
        self._places[lane.name].close()

    def step(self, lane: Lane) -> int:
        """Take the rows that were inserted, then, once an interval, what is new at the source."""
        new = anything(self.db, *(f"runs WHERE status = '{s}' AND listener IS NULL" for s in BEGINNINGS))
        if not new and not lane.due:
            return 0
        with lane.guard([]) as work:
            source = self._source(lane.name)
            moved = 0 if not new else self._rows[lane.name].step(lane, source, work)
            return moved + (self._new[lane.name].step(lane, source, work) if lane.due else 0)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which runs would be taken, by which listener."""
        work, source, new = Work(), self._source(lane.name), self._new[lane.name]
        names, begin = new.new(source.complete(work))
        if begin is None:
            yield new.question(len(names))
            return
        for found in source.details(names, work):
            row, why = candidate(lane.name, found)
            listener = None if why else listener_of(self.config, row)
            if why:
                yield f"refuse {row['name']}: {why}"
            elif listener:
                yield f"take {row['name']} for listener {listener.name}"

    def _source(self, name: str) -> Source:
        section = self.config.sources[name]
        kind = kept("ondeck.sources", section.type)
        assert issubclass(kind, Source)
        assert section.storage is not None
        return kind(name, section.options, self._places[name].storage(section.storage))
