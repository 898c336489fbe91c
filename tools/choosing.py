"""Which rows `listdb` shows: its filters as one query for the ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, text
from sqlalchemy.orm import Session

from ..config import OndeckError
from ..db.models import Job, Run
from ..db.states import STATUSES
from ..rules.choose import matches, run_condition

_ABOUT = (Run.name, Run.number, Run.source)


class NoStatus(OndeckError):
    """{what} have no status {name}; they have {known}"""


@dataclass(frozen=True)
class Filters:
    """What was asked for; empty means any. `since` and `until` are about a run's start, or when it was taken."""

    patterns: Sequence[str] = ()
    statuses: Sequence[str] = ()
    modules: Sequence[str] = ()
    listeners: Sequence[str] = ()
    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    tags: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    def words(self, what: str) -> str:
        """`no run matches 1522*, status failed`."""
        parts = [*self.patterns]
        for name in ("statuses", "modules", "listeners", "sources", "types", "tags"):
            values = getattr(self, name)
            if values:
                parts.append(f"{name.removesuffix('es') if name == 'statuses' else name[:-1]} {' or '.join(values)}")
        parts += [f"since {self.since:%Y-%m-%d %H:%M:%SZ}"] if self.since else []
        parts += [f"until {self.until:%Y-%m-%d %H:%M:%SZ}"] if self.until else []
        return f"no {what} matches {', '.join(parts)}" if parts else f"there is no {what} yet"


def check_statuses(table: str, names: Iterable[str]) -> None:
    """Raise NoStatus unless all are statuses of `table`."""
    for name in names:
        if name not in STATUSES[table]:
            known = ", ".join(STATUSES[table])
            raise NoStatus(name=repr(name), what=table, known=known)


def run_ids(session: Session, filters: Filters, limit: int | None) -> list[int]:
    """The ids of the newest `limit` runs that match, the newest first."""
    check_statuses("runs", filters.statuses)
    query = _about_runs(session, select(Run.id, *_ABOUT), filters).order_by(Run.id.desc())
    if filters.statuses:
        query = query.where(_status("runs", filters.statuses))
    if filters.modules:
        query = query.where(Run.id.in_(select(Job.run_id).where(_modules(session, filters.modules))))
    return _first(session, query, filters, limit)


def job_ids(session: Session, filters: Filters, limit: int | None) -> list[int]:
    """The ids of the newest `limit` jobs that match, the newest first."""
    check_statuses("jobs", filters.statuses)
    query = _about_runs(session, select(Job.id, *_ABOUT).join(Run, Run.id == Job.run_id), filters).order_by(
        Job.id.desc()
    )
    if filters.statuses:
        query = query.where(_status("jobs", filters.statuses))
    if filters.modules:
        query = query.where(_modules(session, filters.modules))
    return _first(session, query, filters, limit)


def _first(session: Session, query: Select[*tuple[Any, ...]], filters: Filters, limit: int | None) -> list[int]:
    if not any(c in pattern for pattern in filters.patterns for c in "*?["):
        return list(session.scalars(query.limit(limit)))
    found: list[int] = []  # the query chooses too much: LIKE knows neither case nor sets
    for row_id, name, number, source in session.execute(query.execution_options(yield_per=1000)):
        if any(_meant(pattern, name, number, source) for pattern in filters.patterns):
            found.append(row_id)
            if len(found) == limit:
                break
    return found


def _meant(pattern: str, name: str, number: int | None, source: str) -> bool:
    """Whether `pattern`, of a run that the query has chosen, means this one."""
    of_source, slash, rest = pattern.partition("/")
    if slash and source != of_source:
        return False
    asked = rest if slash else pattern
    if any(c in asked for c in "*?["):
        return matches(asked, name)
    first, dash, last = asked.partition("-")
    numeric = asked.isascii() and first.isdecimal() and (last.isdecimal() or not dash)
    if numeric and number is not None and int(first) <= number <= int(last or first):
        return True
    return name == asked


def _about_runs(session: Session, query: Select[*tuple[Any, ...]], filters: Filters) -> Select[*tuple[Any, ...]]:
    if filters.patterns:
        query = query.where(or_(*(run_condition(pattern) for pattern in filters.patterns)))
    for column, values in (
        (Run.listener, filters.listeners),
        (Run.source, filters.sources),
        (Run.run_type, filters.types),
    ):
        if values:
            query = query.where(column.in_(values))
    for tag in filters.tags:
        query = query.where(_has_tag(session, tag))
    when = func.coalesce(Run.started_at, Run.created_at)
    if filters.since:
        query = query.where(when >= filters.since)
    if filters.until:
        query = query.where(when < filters.until)
    return query


def _status(table: str, statuses: Iterable[str]) -> Any:
    """Statuses as literals, so that the planner sees the partial indexes."""
    listed = ", ".join(f"'{status}'" for status in dict.fromkeys(statuses))
    return text(f"{table}.status IN ({listed})")


def _modules(session: Session, globs: Sequence[str]) -> ColumnElement[bool]:
    if not any(c in glob for glob in globs for c in "*?["):
        return Job.module.in_(globs)
    known = session.scalars(select(Job.module).distinct())
    return Job.module.in_([name for name in known if any(matches(glob, name) for glob in globs)])


def _has_tag(session: Session, tag: str) -> Any:
    if session.get_bind().dialect.name == "postgresql":
        return text("EXISTS (SELECT 1 FROM jsonb_array_elements_text(runs.tags) AS t WHERE t = :tag)").bindparams(
            tag=tag
        )
    return text("EXISTS (SELECT 1 FROM json_each(runs.tags) AS t WHERE t.value = :tag)").bindparams(tag=tag)
