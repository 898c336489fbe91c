"""The finding half of RunsProvider: what is new at a source becomes rows, from where the source begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.extra import fill
from ..db.insert import born, insert_new
from ..db.models import Run
from ..db.states import RunStatus
from ..db.tables import Source as SourceState
from ..rules.listen import ListenersOverlap
from ..rules.messages import post
from ..sites.work import Work
from ..sources import Found, Source
from ..sources.adoption import ASK_ABOVE, AdoptedAlready, begin_at, left_out
from .base import Lane
from .intake import add_source_copy, candidate, listener_of, status_after, taken

_BATCH = 200
_MOST_NAMES = 10_000


class NewRuns:
    """Takes what is new at one source. Remembers, while it lives, which runs no listener takes."""

    def __init__(self, config: Config, db: Database, source: str) -> None:
        self.config, self.db, self.name = config, db, source
        self._not_ours: set[str] = set()

    def step(self, lane: Lane, source: Source, work: Work) -> int:
        """Take up to some hundred new runs; returns how many rows were made (and one more when there are more)."""
        complete = source.complete(work)
        names, begin = self.new(complete)
        if begin is None:
            self._ask(lane, len(names))
            return 0
        self._settle(lane, begin, complete)
        batch = names[:_BATCH]
        if not batch:
            return 0
        found = source.details(batch, work)
        self._say_vanished(lane, batch, found)
        rows = [(candidate(self.name, f), f) for f in found]
        count, params = 0, {}
        with self.db.write() as session:
            for (row, why), one in rows:
                run_id = None if why else self._insert(session, lane, row, one)
                if isinstance(run_id, str) or why:
                    count += self._refuse(session, lane, row, why or str(run_id))
                elif run_id is not None:
                    params[run_id] = row["params"]
            fill(session, params)
        return count + len(params) + (1 if len(names) > _BATCH else 0)

    def new(self, complete: list[str]) -> tuple[list[str], str | None]:
        """(names that are not in the database, where the source begins: None when a person must say)."""
        known = set(self._not_ours)
        with self.db.read() as session:
            state = session.get(SourceState, self.name)
            begin = (state.adopted if state else None) or self.config.sources[self.name].begin
            for start in range(0, len(complete), _MOST_NAMES):
                some = Run.name.in_(complete[start : start + _MOST_NAMES])
                known.update(session.scalars(select(Run.name).where(Run.source == self.name, some)))
            known.update(state.left_out if state else ())
        if begin and (state is None or state.adopted is None):
            known.update(left_out(begin, complete))
        names = [name for name in complete if name not in known]
        if begin is None and len(names) <= ASK_ABOVE:
            begin = "all"
        return names, begin

    def question(self, count: int) -> str:
        """What a person must say when a new source has many runs already."""
        return (
            f"source {self.name} has {count} runs already, and nothing says where to begin. None is taken until you"
            f" type: ondeck adopt {self.name} --from-now | --after RUN | --all"
        )

    def _settle(self, lane: Lane, begin: str, complete: list[str]) -> None:
        """Write down, at the first look, where the source begins and which runs are left out for that."""
        with self.db.read() as session:
            state = session.get(SourceState, self.name)
            if state is not None and state.adopted is not None and state.error is None:
                return
        with self.db.write() as session:
            try:
                out = left_out(begin, complete) if state is None or state.adopted is None else []
                begin_at(session, self.name, begin, out)
                lane.log.info("source begins", extra={"begin": begin, "left_out": len(out)})
            except AdoptedAlready:
                session.get_one(SourceState, self.name).error = None

    def _ask(self, lane: Lane, count: int) -> None:
        """Many old runs and nobody said where to begin: take none, and say what to type, once."""
        question = self.question(count)
        with self.db.read() as session:
            state = session.get(SourceState, self.name)
            if state is not None and state.error == question:
                return
        with self.db.write() as session:
            insert_new(session, SourceState, [{"name": self.name}], ["name"])
            state = session.get_one(SourceState, self.name, populate_existing=True)
            state.error, state.looked_at = question, database_time(session)
            subject = f"source {self.name} asks where to begin"
            post(session, self.config, subject, question, stream=f"source:{self.name}", key=f"adopt:{self.name}")
        lane.log.warning(question)

    def _insert(self, session: Session, lane: Lane, row: dict[str, Any], found: Found) -> int | str | None:
        """The id of a run that was inserted for its listener; None: not ours, or there; words: why it is refused."""
        try:
            listener = listener_of(self.config, row)
        except ListenersOverlap as error:
            return str(error)
        if listener is None:
            self._not_ours.add(found.name)
            lane.log.info("no listener takes it", extra={"run": found.name})
            return None
        words = born(f"listener {listener.name} takes it")
        values = {**row, **taken(listener), "status": status_after(listener), **words}
        for run_id in insert_new(session, Run, [values], ["source", "name"]):
            add_source_copy(session, self.config, run_id, self.name, found.path, found.nbytes)
            extra = {"run": found.name, "listener": listener.name, "nbytes": found.nbytes}
            lane.log.info("run taken", extra=extra)
            return int(run_id)
        return None

    def _refuse(self, session: Session, lane: Lane, row: dict[str, Any], why: str) -> int:
        """Make the row of a run that can't be taken, so that it can be seen why."""
        values = {**row, "status": RunStatus.FAILED, "failed_from": RunStatus.ACQUIRED, **born(why)}
        made = insert_new(session, Run, [values], ["source", "name"])
        if made:
            lane.log.warning("run refused", extra={"run": row["name"], "why": why})
            post(session, self.config, f"run {row['name']} refused", why, stream=f"source:{self.name}")
        return len(made)

    def _say_vanished(self, lane: Lane, names: Sequence[str], found: Sequence[Found]) -> None:
        gone = set(names) - {f.name for f in found}
        if gone:
            lane.log.warning("runs vanished while they were looked at", extra={"runs": ", ".join(sorted(gone)[:5])})
