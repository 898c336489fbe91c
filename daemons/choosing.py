"""Which runs Transfer copies next: nobody works on them, their gates are open; claimed, with their copies begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..config.errors import OndeckError
from ..db.engine import Database
from ..db.models import Run
from ..db.states import CopyStatus, RunStatus
from ..db.steps import Claim, advance, claim, due, release
from ..rules.breaker import begin_trial, room
from ..rules.gates import Closed, first_closed, pause, restored, space
from .base import Lane
from .blocking import block, unblock
from .copies import begin_copies, path_of, raw_copies
from .errands import Errand, together
from .glance import anything
from .places import Places

LOOK_AHEAD = 200
"""How many waiting runs of a listener are looked at in one step; those behind them wait their turn."""
_STATUSES = (RunStatus.TRANSFERRING, RunStatus.ACQUIRED)
_AGAIN = 10.0
"""Seconds after which closed gates are asked again: what DiskMonitor measures is no step, and wakes nobody."""
_SOON = 1.0


class Chooser:
    """Takes the runs of one storage of the DAQ."""

    def __init__(self, config: Config, db: Database, storage: str) -> None:
        self.config, self.db, self.storage = config, db, storage
        self.sources = [s.name for s in config.sources.values() if s.storage == storage]
        self._lease = config.daemon("Transfer").lease

    def begin(self, lane: Lane, places: Places, large: int) -> list[Errand]:
        """Claim runs for one target, and write down that their copies are begun: small ones that are copied together,
        and up to `large` large ones.

        Looks first and claims then, so that runs that are held back cause no writes.
        """
        if not anything(self.db, *(f"runs WHERE status = '{status}'" for status in _STATUSES)):
            return []
        with self.db.read() as session:
            runs = self._waiting(session)
            answers = self.closed(session, runs)
            news = [r.id for r in runs if (c := answers[r.id]) and c.gate != r.blocked_by]
        if any(answers.values()):
            lane.again(_SOON if news else _AGAIN)
        if news:
            self._block(news, answers)
        groups: dict[str, list[Run]] = {}
        for run in runs:
            if answers[run.id] is None:
                groups.setdefault(self._target(run) or "", []).append(run)
        trouble: OndeckError | None = None
        for target, group in groups.items():
            portion = together(group, large) if target else group
            try:
                errands = self._begin(places, target, portion) if portion else []
            except OndeckError as error:  # of one storage; the runs for others go on
                trouble = trouble or error
                continue
            if errands:
                return errands
        if trouble is not None:
            raise trouble
        return []

    def source_paths(self, session: Session, runs: Sequence[Run]) -> dict[int, str]:
        """Run's id → where it lies at its source."""
        copies = raw_copies(session, [run.id for run in runs], self.storage)
        return {run.id: copies[run.id].path if run.id in copies else run.name for run in runs}

    # ---- looking ----

    def _target(self, run: Run) -> str | None:
        listener = self.config.listeners.get(run.listener or "")
        return listener.storage if listener else None

    def _waiting(self, session: Session) -> list[Run]:
        """Runs that nobody works on, those first whose copy was broken off.

        Some of each listener, so that the many for a full storage don't stand in the way of those for another.
        """
        names = [one.name for one in self.config.listeners.values() if one.storage]
        runs: list[Run] = []
        for status in _STATUSES:
            some: list[Run] = []
            for listener in (*(Run.listener == name for name in names), Run.listener.not_in(names)):
                some += session.scalars(
                    select(Run)
                    .where(
                        text(f"status = '{status}' AND {due(self.db.dialect)}"),
                        listener,
                        Run.source.in_(self.sources),
                    )
                    .order_by(Run.priority.desc(), Run.id)
                    .limit(LOOK_AHEAD)
                )
            runs += sorted(some, key=lambda run: (-run.priority, run.id))
        return runs

    def closed(self, session: Session, runs: Iterable[Run]) -> dict[int, Closed | None]:
        """Run's id → the first closed gate. Asked for all runs to a storage at once, and for each where that closes."""
        groups: dict[str, list[Run]] = {}
        answers: dict[int, Closed | None] = {}
        for run in runs:
            answers[run.id] = None
            if target := self._target(run):
                groups.setdefault(target, []).append(run)
        for target, group in groups.items():
            if self._gates(session, target, group) is not None:
                answers |= {run.id: self._gates(session, target, [run]) for run in group}
        return answers

    def _gates(self, session: Session, target: str, runs: Sequence[Run]) -> Closed | None:
        ids = [run.id for run in runs]
        if (lost := restored(session, min(ids))) is not None:
            return lost
        sites = dict.fromkeys(self.config.storages[name].site for name in (self.storage, target))
        closed = first_closed(pause(session, site) for site in sites)
        if closed is not None or target == self.storage:
            return closed
        return space(session, self.config, target, sum(run.nbytes or 0 for run in runs), runs=ids)

    def _block(self, news: Sequence[int], answers: Mapping[int, Closed | None]) -> None:
        with self.db.write() as session:
            for run in session.scalars(select(Run).where(Run.id.in_(news), Run.status.in_(_STATUSES))):
                closed = answers[run.id]
                if closed is not None:
                    block(session, run, closed)

    # ---- claiming ----

    def _begin(self, places: Places, target: str, portion: Sequence[Run]) -> list[Errand]:
        order = {run.id: number for number, run in enumerate(portion)}
        listed = ", ".join(str(run_id) for run_id in sorted(order))
        with self.db.write() as session:
            claims = {
                one.id: one
                for status in _STATUSES
                for one in claim(session, Run, status, len(order), lease=self._lease, where=f"id IN ({listed})")
            }
            rows = session.scalars(
                select(Run).where(Run.id.in_(list(claims))).execution_options(populate_existing=True)
            )
            runs = sorted(rows, key=lambda run: order[run.id])
            self._drop([(claims[run.id], run) for run in runs if not self._target(run)], session)
            runs = [run for run in runs if self._target(run)]
            begun = self._begin_rows(session, target, [r for r in runs if self._target(r) == target], claims)
            taken = {run.id for run, _ in begun}
            release(session, [claims[run.id] for run in runs if run.id not in taken])
            return self._errands(session, places, target, begun)

    def _drop(self, dropped: Sequence[tuple[Claim, Run]], session: Session) -> None:
        for one, run in dropped:
            words = f"its listener {run.listener} is not in ondeck.toml, or names no storage"
            advance(session, [one], RunStatus.FAILED, words, failed_from=RunStatus.ACQUIRED)

    def _begin_rows(
        self, session: Session, target: str, runs: Sequence[Run], claims: Mapping[int, Claim]
    ) -> list[tuple[Run, Claim]]:
        """Ask the gates again, and begin the copies of the runs that they let through."""
        if not runs:
            return []
        sites = dict.fromkeys(self.config.storages[name].site for name in (self.storage, target))
        limits = [limit for site in sites if (limit := room(session, site)) is not None]
        if limits:
            runs = runs[: min(limits)]
        if not runs:
            return []
        if self._gates(session, target, runs) is None:
            for site in sites if limits else ():
                begin_trial(session, self.config, site)
            return self._begin_copies(session, target, runs, claims)
        begun = []
        for run in runs:  # one after the other: each takes some of the room
            if self._gates(session, target, [run]) is None:
                begun += self._begin_copies(session, target, [run], claims)
        return begun

    def _begin_copies(
        self, session: Session, target: str, runs: Sequence[Run], claims: Mapping[int, Claim]
    ) -> list[tuple[Run, Claim]]:
        for run in runs:
            unblock(session, run)
        if target == self.storage:
            return [(run, claims[run.id]) for run in runs]
        words = f"being copied to {target}"
        begun = begin_copies(session, runs, target, words)
        new = [
            claims[run_id]
            for run_id, copy in begun.items()
            if copy.status == CopyStatus.WRITING and claims[run_id].status == RunStatus.ACQUIRED
        ]
        moved = {one.id: one for one in advance(session, new, RunStatus.TRANSFERRING, words, keep=True)}
        return [(run, moved.get(run.id, claims[run.id])) for run in runs if run.id in begun]

    def _errands(
        self, session: Session, places: Places, target: str, begun: Sequence[tuple[Run, Claim]]
    ) -> list[Errand]:
        paths = self.source_paths(session, [run for run, _ in begun])
        return [
            Errand(
                one,
                run,
                self.config.listeners[run.listener or ""],
                places.storage(self.storage),
                paths[run.id],
                places.storage(target),
                paths[run.id] if target == self.storage else path_of(run),
            )
            for run, one in begun
        ]
