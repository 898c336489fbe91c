"""RunsProvider: finds runs at the sources and gives them to their listeners. A lane a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from ..config import Config
from ..config.plugins import find
from ..db.clock import database_time
from ..db.engine import Database
from ..db.insert import born, insert_new
from ..db.models import Run
from ..db.states import RunStatus
from ..db.steps import Claim, advance, advance_one, claim
from ..db.tables import Source as SourceState
from ..rules.listen import ListenersOverlap
from ..rules.messages import post
from ..rules.trouble import back_off
from ..sites.errors import Machinery
from ..sites.work import Work
from ..sources import Found, Source
from ..sources.adoption import ASK_ABOVE, left_out
from .base import Daemon, Lane
from .intake import Refusal, add_source_copy, candidate, columns, listener_of, status_after, taken
from .places import Places

_BATCH = 200


class RunsProvider(Daemon):
    """Takes what is new at a source, and what a person or a DAQ has inserted."""

    name = "RunsProvider"

    def __init__(self, config: Config, db: Database) -> None:
        super().__init__(config, db)
        self._places: dict[str, Places] = {}
        self._not_ours: dict[str, set[str]] = {}

    def lanes(self) -> Sequence[str]:
        """The sources."""
        return list(self.config.sources)

    def close(self, lane: Lane) -> None:
        """Give up the lane's connections."""
        if lane.name in self._places:
            self._places.pop(lane.name).close()

    def step(self, lane: Lane) -> int:
        """Take the rows that were inserted by hand, then what is new at the source."""
        with lane.guard([]) as work:
            source = self._source(lane.name)
            return self._take_rows(lane, source, work) + self._take_new(lane, source, work)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which runs would be taken, by which listener."""
        work = Work()
        source = self._source(lane.name)
        names, begin = self._new_names(lane, source.complete(work))
        if begin is None:
            yield self._question(lane.name, len(names))
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
        places = self._places.setdefault(name, Places(self.config, self.db))
        kind = find("ondeck.sources", section.type)
        assert issubclass(kind, Source)
        assert section.storage is not None
        return kind(name, section.options, places.storage(section.storage))

    # ---- what is new at the source ----

    def _take_new(self, lane: Lane, source: Source, work: Work) -> int:
        complete = source.complete(work)
        names, begin = self._new_names(lane, complete)
        if begin is None:
            self._ask(lane, len(names))
            return 0
        self._adopt(lane, begin, complete)
        batch = names[:_BATCH]
        found = source.details(batch, work)
        self._log_not_ours(lane, batch, found)
        rows = [(candidate(lane.name, f), f) for f in found]
        count = 0
        with self.db.write() as session:
            for (row, why), one in rows:
                if why is None:
                    why = self._insert_taken(session, lane, row, one)
                    if why == "":
                        count += 1
                if why:
                    count += self._insert_refused(session, lane, row, why)
        return count + (1 if len(names) > _BATCH else 0)

    def _insert_taken(self, session: Any, lane: Lane, row: dict[str, Any], found: Found) -> str | None:
        """Insert a run for its listener. '' when it was inserted, None when it is not ours or there, else a refusal."""
        try:
            listener = listener_of(self.config, row)
        except ListenersOverlap as error:
            return str(error)
        if listener is None:
            self._not_ours[lane.name].add(found.name)
            return None
        values = {
            **row,
            **taken(listener),
            "status": status_after(listener),
            **born(f"listener {listener.name} takes it"),
        }
        for run_id in insert_new(session, Run, [values], ["source", "name"]):
            add_source_copy(session, self.config, run_id, lane.name, found.path, found.nbytes)
            lane.log.info(
                "run taken", extra={"run": found.name, "listener": listener.name, "nbytes": found.nbytes}
            )
            return ""
        return None

    def _insert_refused(self, session: Any, lane: Lane, row: dict[str, Any], why: str) -> int:
        values = {**row, "status": RunStatus.FAILED, "failed_from": RunStatus.ACQUIRED, **born(why)}
        new = insert_new(session, Run, [values], ["source", "name"])
        if new:
            lane.log.warning("run refused", extra={"run": row["name"], "why": why})
            post(session, self.config, f"run {row['name']} refused", why, stream=f"source:{lane.name}")
        return len(new)

    def _new_names(self, lane: Lane, complete: list[str]) -> tuple[list[str], str | None]:
        """(names that are not in the database, where the source begins: None when a person must say)."""
        with self.db.read() as session:
            state = session.get(SourceState, lane.name)
            begin = (state.adopted if state else None) or self.config.sources[lane.name].begin
            known = set(
                session.scalars(select(Run.name).where(Run.source == lane.name, Run.name.in_(complete)))
            )
            known.update(state.left_out if state else ())
        known |= self._not_ours.setdefault(lane.name, set())
        names = [name for name in complete if name not in known]
        if begin and (state is None or state.adopted is None):
            out = set(left_out(begin, complete))
            names = [name for name in names if name not in out]
        if begin is None and len(names) <= ASK_ABOVE:
            begin = "all"
        return names, begin

    def _adopt(self, lane: Lane, begin: str, complete: list[str]) -> None:
        """Write down, at the first look, where the source begins and which runs are left out for that."""
        with self.db.read() as session:
            state = session.get(SourceState, lane.name)
            settled = state is not None and state.adopted is not None and state.error is None
        if settled:
            return
        with self.db.write() as session:
            state = session.get(SourceState, lane.name)
            if state is None:
                state = SourceState(name=lane.name)
                session.add(state)
            if state.adopted is None:
                state.adopted, state.adopted_at = begin, database_time(session)
                state.left_out = left_out(begin, complete)
                lane.log.info("source begins", extra={"begin": begin, "left_out": len(state.left_out)})
            state.error, state.looked_at = None, database_time(session)

    def _ask(self, lane: Lane, count: int) -> None:
        """Many old runs and nobody said where to begin: take none, and say what to type."""
        question = self._question(lane.name, count)
        with self.db.write() as session:
            state = session.get(SourceState, lane.name)
            if state is None:
                state = SourceState(name=lane.name)
                session.add(state)
            if state.error == question:
                return
            state.error, state.looked_at = question, database_time(session)
            post(
                session,
                self.config,
                f"source {lane.name} asks where to begin",
                question,
                stream=f"source:{lane.name}",
            )
        lane.log.warning(question)

    @staticmethod
    def _question(source: str, count: int) -> str:
        return (
            f"source {source} has {count} runs already, and nothing says where to begin. None is taken until you type:"
            f" ondeck adopt {source} --from-now | --after RUN | --all"
        )

    def _log_not_ours(self, lane: Lane, names: list[str], found: list[Found]) -> None:
        gone = set(names) - {f.name for f in found}
        if gone:
            lane.log.warning(
                "runs vanished while they were looked at", extra={"runs": ", ".join(sorted(gone)[:5])}
            )

    # ---- rows inserted by hand, by `ondeck run add` or by a DAQ ----

    def _take_rows(self, lane: Lane, source: Source, work: Work) -> int:
        """Give rows without a listener to theirs. The first lane also refuses rows of sources that don't exist."""
        first = lane.name == next(iter(self.config.sources))
        known = list(self.config.sources)
        mine = "listener IS NULL AND source = :source"
        claims: list[Claim] = []
        with self.db.write() as session:
            for status in (RunStatus.ACQUIRED, RunStatus.ONDECK):
                claims += claim(
                    session, Run, status, _BATCH, lease=self.settings.lease, where=mine, source=lane.name
                )
            if first:
                names = {f"known{i}": name for i, name in enumerate(known)}
                foreign = f"listener IS NULL AND source NOT IN ({', '.join(':' + key for key in names)})"
                strays = claim(
                    session,
                    Run,
                    RunStatus.ACQUIRED,
                    _BATCH,
                    lease=self.settings.lease,
                    where=foreign,
                    **names,
                )
                words = f"its source is not in ondeck.toml; the sources are: {', '.join(known)}"
                advance(session, strays, RunStatus.FAILED, words, failed_from=RunStatus.ACQUIRED)
        if not claims:
            return 0
        moved = 0
        with self.db.read() as session:
            rows = {r.id: r for r in session.scalars(select(Run).where(Run.id.in_([c.id for c in claims])))}
        try:
            details = {
                f.name: f for f in source.details([r.name for r in rows.values() if _usable(r.name)], work)
            }
        except Machinery as error:
            self._wait(lane, claims, str(error))
            return 0
        for one in claims:
            moved += self._take_row(lane, one, rows[one.id], details.get(rows[one.id].name))
        return moved

    def _take_row(self, lane: Lane, one: Claim, run: Run, found: Found | None) -> int:
        if found is None and _usable(run.name):
            section = self.config.sources[lane.name]
            self._wait(lane, [one], f"there is no directory {run.name} on storage {section.storage} yet")
            return 0
        with self.db.write() as session:
            try:
                given = columns(_with_row(run, found))
                row = {k: getattr(run, k) or v for k, v in given.items()} | {
                    "params": {**given["params"], **run.params}
                }
                listener = listener_of(self.config, {"source": run.source, "name": run.name, **row})
                if listener is None:
                    raise Refusal("no listener takes it: see `ondeck listeners`")
            except (Refusal, ListenersOverlap) as error:
                advance(session, [one], RunStatus.FAILED, str(error), failed_from=one.status)
                lane.log.warning("run refused", extra={"run": run.name[:200], "why": str(error)})
                return 1
            advance_one(
                session,
                one,
                one.status,
                f"listener {listener.name} takes it",
                **row,
                **taken(listener),
                tries=0,
            )
            assert found is not None
            add_source_copy(session, self.config, run.id, lane.name, found.path, found.nbytes)
        lane.log.info(
            "run taken",
            extra={"run": run.name, "listener": listener.name, "inserted_by": run.actor or "hand"},
        )
        return 1

    def _wait(self, lane: Lane, claims: Sequence[Claim], why: str) -> None:
        with self.db.write() as session:
            for one in claims:
                back_off(
                    session,
                    one,
                    one.status,
                    why,
                    self.config.retry,
                    give_up=RunStatus.FAILED,
                    given_up={"failed_from": RunStatus.ACQUIRED},
                )
        lane.log.warning("run can't be taken yet", extra={"why": why, "rows": len(claims)})


def _with_row(run: Run, found: Found | None) -> Found:
    """What the source says; of a row that was inserted by hand its own columns will do, without a file of parameters."""
    if found is None:
        return Found(run.name, run.name)
    return replace(found, error=None) if found.bare else found


def _usable(name: str) -> bool:
    """Whether `name` may be looked for on a storage."""
    try:
        columns(Found(name, name))
    except Refusal:
        return False
    return True
