"""Transfer: copies runs to where they are processed, and counts a copy only when it was read back. A lane a DAQ."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..db.engine import Database
from ..db.models import Run
from ..db.states import RunStatus
from .base import Daemon, Lane
from .carrying import Carrier
from .choosing import Chooser
from .copies import path_of
from .crew import Crew
from .errandrows import ErrandRows
from .errands import Errand, by_itself
from .places import Places

_LOOK = 1.0
"""Seconds from one look for further runs to the next while large ones are being copied."""


class Transfer(Daemon):
    """Moves runs from acquired over transferring to ondeck: small ones together, large ones beside each other."""

    name = "Transfer"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places: dict[str, Places] = {}
        self._crews: dict[str, Crew] = {}
        self._choosers = {name: Chooser(config, db, name) for name in self.lanes()}
        self._spare: list[Places] = []
        self._lock = threading.Lock()

    def lanes(self) -> Sequence[str]:
        """The storages of the sources."""
        return list(dict.fromkeys(s.storage for s in self.config.sources.values() if s.storage))

    def close(self, lane: Lane) -> None:
        """Wait for what is being copied, and give up the lane's connections."""
        if lane.name in self._crews:
            self._crews.pop(lane.name).close()
        if lane.name in self._places:
            self._places.pop(lane.name).close()
        with self._lock:
            while self._spare:
                self._spare.pop().close()

    def step(self, lane: Lane) -> int:
        """Copy some small runs together, and begin large ones; what was broken off comes first.

        While there are only large ones, looks for others once a second until one of them has ended.
        """
        crew = self._crew(lane)
        while not lane.stopping.is_set():
            moved = crew.ended()
            errands = self._begin(lane, crew.free)
            large = [e for e in errands if by_itself(e.run)][: crew.free]
            for errand in large:
                crew.begin(partial(self._carry_by_itself, lane, errand))
            small = [e for e in errands if e not in large]
            if small:
                Carrier(ErrandRows(self.config, self.db), lane).carry(small)
            moved += len(small)
            if moved or not crew.busy:
                return moved + crew.ended()
            if not large:
                crew.wait(_LOOK)
        crew.close()
        return crew.ended()

    def _crew(self, lane: Lane) -> Crew:
        if lane.name not in self._crews:
            self._crews[lane.name] = Crew(lane.name, self.config.daemons.Transfer.parallel)
        return self._crews[lane.name]

    def _begin(self, lane: Lane, large: int = 1) -> list[Errand]:
        places = self._places.setdefault(lane.name, Places(self.config, self.db))
        return self._choosers[lane.name].begin(lane, places, large)

    def _carry_by_itself(self, lane: Lane, errand: Errand) -> None:
        """Copy one run, with connections of its own."""
        with self._lock:
            places = self._spare.pop() if self._spare else Places(self.config, self.db)
        try:
            ends = {"source": places.storage(errand.source.name), "target": places.storage(errand.target.name)}
            Carrier(ErrandRows(self.config, self.db), lane).carry([replace(errand, **ends)])
        finally:
            with self._lock:
                self._spare.append(places)

    # ---- saying what would be done ----

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which runs would be copied, from where to where."""
        chooser = self._choosers[lane.name]
        with self.db.read() as session:
            runs = self._planned(session, chooser.sources)
            closed, paths = chooser.closed(session, runs), chooser.source_paths(session, runs)
            for run in runs:
                storage = self.config.listeners[run.listener or ""].storage
                source = f"{self.config.storages[lane.name].path}/{paths[run.id]}"
                target = f"{self.config.storages[storage or ''].path}/{path_of(run)}"
                words = closed[run.id]
                yield f"copy {run.name}: {source} -> {target}" + (f" (not yet: {words.words()})" if words else "")

    def _planned(self, session: Session, sources: Sequence[str]) -> list[Run]:
        runs = session.scalars(
            select(Run)
            .where(Run.status.in_([RunStatus.TRANSFERRING, RunStatus.ACQUIRED]), Run.source.in_(sources))
            .where(Run.listener.in_([one.name for one in self.config.listeners.values() if one.storage]))
            .order_by(Run.priority.desc(), Run.id)
        )
        return list(runs)
