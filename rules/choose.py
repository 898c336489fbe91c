"""Which runs and jobs a person means: by name, number or glob."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from ..config.errors import OndeckError
from ..db.models import Job, Run

_LONGEST = 1500
_NUMBERS = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


class NothingSuch(OndeckError):
    """There is no {what} {asked}{hint}."""


@dataclass
class JobRow:
    """A job with its run."""

    job: Job
    run: Run


def run_condition(pattern: str) -> ColumnElement[bool]:
    """SQL for one pattern: a number, a range 100-200 of numbers, a name or glob, each also as SOURCE/…."""
    source, slash, rest = pattern.partition("/")
    condition = _name_condition(rest if slash else pattern)
    return condition & (Run.source == source) if slash else condition


def _name_condition(pattern: str) -> ColumnElement[bool]:
    if pattern.isascii() and pattern.isdecimal() and len(pattern) <= 18:
        return or_(Run.number == int(pattern), Run.name == pattern)
    numbers = _NUMBERS.fullmatch(pattern)
    if numbers:
        return or_(Run.number.between(int(numbers[1]), int(numbers[2])), Run.name == pattern)
    if any(c in pattern for c in "*?["):
        return Run.name.like(_like(pattern), escape="\\")
    return Run.name == pattern


def _like(pattern: str) -> str:
    """A LIKE pattern that matches at least what the glob does."""
    text = re.sub(r"\[!?\]?[^]]*\]", "*", pattern)
    text = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return text.replace("*", "%").replace("?", "_")


def select_runs(session: Session, patterns: Sequence[str]) -> list[Run]:
    """The runs that any of `patterns` means, by id; raises NothingSuch for a pattern that means none."""
    found: dict[int, Run] = {}
    for pattern in patterns:
        asked = select(Run).where(run_condition(pattern)).order_by(Run.id)
        runs = [r for r in session.scalars(asked) if _exact(pattern, r.name)] if _possible(pattern) else []
        if not runs:
            raise NothingSuch(what="run", asked=repr(pattern), hint="; see listdb")
        found.update((run.id, run) for run in runs)
    return [found[i] for i in sorted(found)]


def select_jobs(session: Session, run_pattern: str, module_pattern: str) -> list[JobRow]:
    """The jobs of the runs that `run_pattern` means, whose module matches the glob; raises NothingSuch."""
    runs = {run.id: run for run in select_runs(session, [run_pattern])}
    rows: list[JobRow] = []
    modules: set[str] = set()
    for job in _jobs_of(session, runs):
        modules.add(job.module)
        if matches(module_pattern, job.module):
            rows.append(JobRow(job, runs[job.run_id]))
    if not rows:
        known = (
            f"; its modules: {', '.join(sorted(modules))}" if modules else "; no jobs were made for it yet"
        )
        raise NothingSuch(what="job", asked=f"{run_pattern!r} {module_pattern!r}", hint=known)
    return rows


def _possible(pattern: str) -> bool:
    """Whether a run can have such a name at all; a database can't even be asked for some."""
    return len(pattern) <= _LONGEST and "\0" not in pattern and pattern == pattern.encode("utf-8", "replace").decode()


def _jobs_of(session: Session, runs: Iterable[int]) -> Sequence[Job]:
    ids = sorted(runs)
    found: list[Job] = []
    for start in range(0, len(ids), 500):
        found += session.scalars(select(Job).where(Job.run_id.in_(ids[start : start + 500])).order_by(Job.id))
    return found


def _exact(pattern: str, name: str) -> bool:
    """What LIKE lets through that the glob doesn't: letters' case on SQLite, and sets like [ab]."""
    rest = pattern.partition("/")[2] or pattern
    return not any(c in rest for c in "*?[") or matches(rest, name)


def matches(glob: str, name: str) -> bool:
    """Whether `name` matches the glob, its case included."""
    return fnmatchcase(name, glob)
