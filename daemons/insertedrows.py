"""The other half of RunsProvider: rows that a person, `ondeck run add` or a DAQ has inserted get their listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, text

from ..config import Config
from ..db.engine import Database
from ..db.extra import fill
from ..db.models import Run
from ..db.states import RunStatus
from ..db.steps import Claim, advance, claim, due
from ..rules.listen import ListenersOverlap
from ..rules.trouble import back_off
from ..sites.errors import Machinery
from ..sites.work import Work
from ..sources import Found, Source
from .base import Lane
from .intake import Refusal, add_source_copy, columns, listener_of, taken

_BATCH = 200
BEGINNINGS = (RunStatus.ACQUIRED, RunStatus.ONDECK)
"""In which status rows are inserted."""


class InsertedRows:
    """Gives rows of one source that have no listener to theirs."""

    def __init__(self, config: Config, db: Database, source: str, lease: timedelta) -> None:
        self.config, self.db, self.name, self.lease = config, db, source, lease

    def step(self, lane: Lane, source: Source, work: Work) -> int:
        """Take the rows that are due; returns how many were taken or refused."""
        strays = self._refuse_strays(lane) if self.name == next(iter(self.config.sources)) else 0
        claims = self._claim("source = :source", {"source": self.name})
        if not claims:
            return strays
        with self.db.read() as session:
            rows = {r.id: r for r in session.scalars(select(Run).where(Run.id.in_([c.id for c in claims])))}
        try:
            usable = [run.name for run in rows.values() if _usable(run.name)]
            details = {found.name: found for found in source.details(usable, work)}
        except Machinery as error:
            self._wait(lane, claims, str(error))
            return strays
        return strays + sum(self._take(lane, c, rows[c.id], details.get(rows[c.id].name)) for c in claims)

    def _claim(self, which: str, values: dict[str, str]) -> list[Claim]:
        """Claim rows without a listener; looks first, so that nothing is written when there are none."""
        mine = f"listener IS NULL AND {which}"
        query = (
            f"SELECT 1 FROM runs WHERE status = '{{}}' AND {mine} AND {due(self.db.dialect)} LIMIT 1"
        )
        with self.db.read() as session:
            there = [s for s in BEGINNINGS if session.execute(text(query.format(s)), values).first() is not None]
        if not there:
            return []
        with self.db.write() as session:
            return [c for s in there for c in claim(session, Run, s, _BATCH, lease=self.lease, where=mine, **values)]

    def _refuse_strays(self, lane: Lane) -> int:
        """Rows of sources that don't exist would wait for ever: say so on them."""
        known = {f"known{i}": name for i, name in enumerate(self.config.sources)}
        claims = self._claim(f"source NOT IN ({', '.join(':' + key for key in known)})", known)
        if claims:
            words = f"its source is not in ondeck.toml; the sources are: {', '.join(known.values())}"
            with self.db.write() as session:
                advance(session, claims, RunStatus.FAILED, words, failed_from=RunStatus.ACQUIRED)
            lane.log.warning("runs of unknown sources refused", extra={"runs": len(claims)})
        return len(claims)

    def _take(self, lane: Lane, one: Claim, run: Run, found: Found | None) -> int:
        if found is None and _usable(run.name):
            storage = self.config.sources[self.name].storage
            self._wait(lane, [one], f"there is no directory {run.name} on storage {storage} yet")
            return 0
        with self.db.write() as session:
            try:
                given = columns(_with_row(run, found))
                own = {key: getattr(run, key) for key in given}
                row = {key: value if own[key] in (None, "") else own[key] for key, value in given.items()}
                row["params"] = {**given["params"], **run.params}
                listener = listener_of(self.config, {"source": run.source, "name": run.name, **row})
                if listener is None:
                    raise Refusal("no listener takes it: see `ondeck listeners`")
            except (Refusal, ListenersOverlap) as error:
                advance(session, [one], RunStatus.FAILED, str(error), failed_from=one.status)
                lane.log.warning("run refused", extra={"run": run.name[:200], "why": str(error)})
                return 1
            assert found is not None
            words = f"listener {listener.name} takes it"
            if not advance(session, [one], one.status, words, **row, **taken(listener), tries=0):
                return 0  # overtaken
            add_source_copy(session, self.config, run.id, self.name, found.path, found.nbytes)
            fill(session, {run.id: row["params"]})
        extra = {"run": run.name, "listener": listener.name, "inserted_by": run.actor or "hand"}
        lane.log.info("run taken", extra=extra)
        return 1

    def _wait(self, lane: Lane, claims: Sequence[Claim], why: str) -> None:
        """Look again later, for as long as it takes: a DAQ may insert its row before the data are there."""
        with self.db.write() as session:
            for one in claims:
                back_off(session, one, one.status, why, self.config.retry, give_up=None)
        lane.log.warning("run can't be taken yet", extra={"why": why, "rows": len(claims)})


def _with_row(run: Run, found: Found | None) -> Found:
    """What the source says; of a row that was inserted its own columns will do, without a file of parameters."""
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
