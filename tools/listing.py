"""What `listdb` can show: the columns of runs and jobs, and the queries that fill them, some for a thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from ..config import OndeckError
from ..config.problems import nearest
from ..db.clock import database_time
from ..db.extra import extra_columns, runs_with
from ..db.models import Attempt, Job, Run, Transition
from ..db.where import data_words, job_counts, job_words, place_words
from .opening import Opened

CHUNK = 1000
Row = dict[str, Any]


class NoColumn(OndeckError):
    """there is no column {name}: {hint} (--columns help lists them)"""


@dataclass(frozen=True)
class View:
    """What can be listed: `names` is column → what it holds; `aliases` other names of columns."""

    names: dict[str, str]
    default: tuple[str, ...]
    whole: tuple[str, ...]
    aliases: dict[str, str]

    def column(self, name: str) -> str:
        """The column meant by `name`; raises NoColumn. `params.KEY` is one parameter of a run."""
        name = name.strip()
        if name in self.names or (name.startswith("params.") and "params" in self.names):
            return name
        if name in self.aliases:
            return name
        raise NoColumn(name=repr(name), hint=nearest(name, [*self.names, *self.aliases]))


_RUN_WORDS = {
    "id": "the row's number in the run database", "source": "where it comes from", "name": "its name",
    "number": "its number", "listener": "the listener that took it", "run_type": "its type (also: type)",
    "started_at": "when it began (also: start)", "stopped_at": "when it ended (also: stop)", "events": "its events",
    "nbytes": "its size in bytes (also, for people: size)", "params": "all its parameters; params.KEY: one of them",
    "wanted": "what a person has asked for: cancel", "failed_from": "the status to which a reset leads back",
    "to_archive": "whether it is to be archived", "comments": "what people have said of it", "tags": "its tags",
    "status": "where it stands", "tries": "how often the machinery failed for it",
    "failures": "how often its payload failed", "not_before": "it is not tried again before this time",
    "blocked_by": "the gate that holds it back", "blocked_since": "since when", "reason": "why it took its last step",
    "actor": "who took its last step", "steps": "how many steps it took", "created_at": "when its row was made",
    "priority": "higher goes first", "epoch": "how often it was claimed or fenced", "lease_until": "end of its lease",
    "leased_by": "who works on it",
}  # fmt: skip
_RUN_MORE = {
    "data": "where its data are, in one word: DAQ, disk, disk+tape, tape, copying, archiving, removing ...",
    "jobs": "how its jobs stand, in words", "job_counts": "the same as numbers",
    "since": "when it came to its status", "age": "how long ago that was",
}  # fmt: skip
_JOB_WORDS = {
    "run_id": "the row's number of its run", "module": "its module", "pass": "the version of its outputs",
    "part": "its part", "wanted": "what a person has asked for: reset, hold, cancel",
    "validation": "whether a person has said go: NONE, WAITING, YES, BAD",
    "result": "how its payload ended: OK, FAILED", "settings": "its module's settings when it was made",
    "options": "its script", "filetype": "the type of its outputs",
    "software_version": "the version of its software", "conditions_tag": "the tag of its conditions",
    "site": "where it runs", "queue": "the queue there", "walltime": "longest time it may run, in seconds",
    "prerequisite_id": "the job that it needs", "published_attempt": "the attempt whose outputs stand",
    "label": "what people call it",
}  # fmt: skip
_JOB_MORE = {
    "run": "the run's name", "number": "the run's number", "source": "the run's source",
    "attempt": "the number of its last attempt", "token": "that attempt's token",
    "batch_id": "its id at the batch system",
    "state": "the batch system's own word", "pending_reason": "why the batch system lets it wait",
    "exit_code": "its exit code", "directory": "its directory", "since": "when the job came to its status",
    "age": "how long ago that was",
}  # fmt: skip


_RUN_ALIASES = {"type": "run_type", "start": "started_at", "stop": "stopped_at"}
RESERVED = frozenset({*_RUN_MORE, *_RUN_ALIASES, "size"})
"""Names under which listdb shows something that is no column of runs."""


def runs_view(extras: dict[str, str]) -> View:
    """The columns of runs; `extras` are those that alterdb has added."""
    own = {c.name: _RUN_WORDS.get(c.name, "") for c in Run.__table__.columns}
    added = {name: f"added column, {kind}" for name, kind in extras.items()}
    names = {**own, **_RUN_MORE, "size": "its size, for people", **added}
    return View(
        names,
        ("number", "name", "type", "status", "data", "jobs", "since", "reason"),
        (*own, *_RUN_MORE, *added),
        _RUN_ALIASES,
    )


def jobs_view() -> View:
    """The columns of jobs."""
    own = {c.name: _JOB_WORDS.get(c.name, _RUN_WORDS.get(c.name, "")) for c in Job.__table__.columns}
    default = (
        "run",
        "module",
        "pass",
        "part",
        "status",
        "attempt",
        "batch_id",
        "site",
        "since",
        "blocked_by",
        "reason",
    )
    return View({**_JOB_MORE, **own}, default, tuple({**_JOB_MORE, **own}), {})


def extras_of(opened: Opened) -> dict[str, str]:
    """The columns that alterdb has added."""
    with opened.db.read() as session:
        return extra_columns(session)


def rows(
    opened: Opened, ids: Sequence[int], columns: Sequence[str], view: View, fetch: Callable[..., list[Row]], **more: Any
) -> Iterator[Row]:
    """The rows `ids` in that order, with at least `columns`; each thousand in a transaction of its own."""
    wanted = {view.aliases.get(name, name) for name in columns}
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        with opened.db.read() as session:
            found = {row["id"]: row for row in fetch(session, opened, chunk, wanted, **more)}
        for one in chunk:
            if one in found:
                row = found[one]
                yield {name: _value(row, view.aliases.get(name, name)) for name in columns}


def _value(row: Row, name: str) -> Any:
    if name in row:
        return row[name]
    key = name.removeprefix("params.")
    params = row.get("params")
    return params.get(key) if isinstance(params, dict) else None


def fetch_runs(
    session: Session, opened: Opened, ids: Sequence[int], wanted: set[str], extras: dict[str, str]
) -> list[Row]:
    """Runs with the columns `wanted`: at most five queries."""
    found = _own(session, runs_with(extras), ids, _stored(wanted))
    if "size" in wanted:
        from .words import size

        for row in found:
            row["size"] = size(row["nbytes"])
    if "data" in wanted:
        words = data_words(session, ids, place_words(opened.config))
        _put(found, "data", words)
    if wanted & {"jobs", "job_counts"}:
        counts = job_counts(session, ids)
        _put(found, "job_counts", counts)
        _put(found, "jobs", {i: job_words(count) for i, count in counts.items()})
    _put_since(session, "runs", ids, wanted, found)
    return found


def fetch_jobs(session: Session, opened: Opened, ids: Sequence[int], wanted: set[str]) -> list[Row]:
    """Jobs with the columns `wanted`: at most five queries."""
    del opened
    table = Job.__table__
    assert isinstance(table, Table)
    found = _own(session, table, ids, wanted | {"run_id"})
    if wanted & {"run", "number", "source"}:
        run_ids = {row["run_id"] for row in found}
        about = select(Run.id, Run.name, Run.number, Run.source).where(Run.id.in_(run_ids))
        runs = {run.id: run for run in session.execute(about)}
        for row in found:
            run = runs[row["run_id"]]
            row.update(run=run.name, number=run.number, source=run.source)
    of_attempt = {"token", "batch_id", "state", "pending_reason", "exit_code", "directory"}
    if wanted & {"attempt", *of_attempt}:
        last = (
            select(Attempt.job_id, func.max(Attempt.number).label("number"))
            .where(Attempt.job_id.in_(ids))
            .group_by(Attempt.job_id)
            .subquery()
        )
        query = select(Attempt).join(last, (last.c.job_id == Attempt.job_id) & (last.c.number == Attempt.number))
        attempts = {attempt.job_id: attempt for attempt in session.scalars(query)}
        for row in found:
            attempt = attempts.get(row["id"])
            row["attempt"] = attempt.number if attempt else None
            row.update({name: getattr(attempt, name, None) for name in of_attempt})
    _put_since(session, "jobs", ids, wanted, found)
    return found


def _stored(wanted: set[str]) -> set[str]:
    more = {"params"} if any(name.startswith("params.") for name in wanted) else set()
    return wanted | more | ({"nbytes"} if "size" in wanted else set())


def _own(session: Session, table: Table, ids: Sequence[int], wanted: set[str]) -> list[Row]:
    columns = [table.c.id, *(c for c in table.columns if c.name in wanted and c.name != "id")]
    return [dict(row._mapping) for row in session.execute(select(*columns).where(table.c.id.in_(ids)))]


def _put(found: list[Row], name: str, values: dict[int, Any]) -> None:
    for row in found:
        row[name] = values.get(row["id"])


def _put_since(session: Session, table: str, ids: Sequence[int], wanted: set[str], found: list[Row]) -> None:
    """When each row came to its status: its last transition that changed it."""
    if not wanted & {"since", "age"}:
        return
    last = (
        select(func.max(Transition.id))
        .where(
            Transition.table_name == table, Transition.row_id.in_(ids),
            Transition.source.is_(None) | (Transition.source != Transition.to),
        )
        .group_by(Transition.row_id)
    )  # fmt: skip
    since = dict(
        session.execute(select(Transition.row_id, Transition.at).where(Transition.id.in_(last))).all()
    )
    now = database_time(session)
    _put(found, "since", since)
    _put(found, "age", {i: now - at for i, at in since.items()})
