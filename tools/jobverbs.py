"""What the verbs' commands share: a preview of what will happen, a question when it is much, and what was done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config, OndeckError
from ..db.engine import Database
from ..db.models import Job
from ..rules.choose import JobRow, select_jobs
from ..rules.verbs import Done
from .opening import config_option, opened, user
from .words import counted, plain, table

ASK_ABOVE = 10
"""More rows than this are shown before anything is done, and need a yes."""
_SHOWN = 200
_GLANCE = 0.5

Verb = Callable[[Session], list[Done]]


class NotConfirmed(OndeckError):
    """nothing was done: {count} rows would change, and there is no terminal to ask at. Look at them, then say --yes"""


class NotYet(OndeckError):
    """after {seconds:g} s these have not come to their end yet: {jobs}. What was asked for holds; Process goes on
    with it"""


yes_option = click.option("--yes", "-y", is_flag=True, help=f"Don't ask, also when more than {ASK_ABOVE} rows change.")
reason_option = click.option("--reason", metavar="TEXT", default="", help="Why; it stands in the history.")
wait_option = click.option(
    "--wait", metavar="SECONDS", type=click.FloatRange(min=0), default=0.0,
    help="Live jobs are ended by Process: wait for that, at most so long.",
)  # fmt: skip


def job_options(command: Callable[..., None]) -> Callable[..., None]:
    """RUN MODULE and the options that all verbs on jobs have."""
    for decorate in (
        config_option, reason_option, wait_option, yes_option,
        click.argument("module", metavar="MODULE"), click.argument("run", metavar="RUN"),
    ):  # fmt: skip
        command = decorate(command)
    return command


def why(verb: str, reason: str) -> str:
    """The words for the history."""
    words = plain(reason, 1000).strip()
    return f"{verb}: {words}" if words else f"{verb} by {user()}"


def on_jobs(
    run: str, module: str, act: Callable[[Session, Config, Sequence[JobRow]], list[Done]], *, yes: bool, wait: float
) -> None:
    """Do `act` to the jobs of `module` (a glob) of the runs that `run` means, after a preview when they are many.

    Raises NothingSuch, NotConfirmed, NotYet, and what the verb raises.
    """
    with opened() as (config, db):
        ids: list[int] = []

        def verb(session: Session) -> list[Done]:
            rows = select_jobs(session, run, module)
            ids[:] = [row.job.id for row in rows]
            return act(session, config, rows)

        carry_out(db, verb, yes=yes)
        if wait:
            _wait(db, ids, wait)


def carry_out(db: Database, verb: Verb, *, yes: bool) -> None:
    """Do `verb` in one transaction and print what it did; when it is much, take it back, show it and ask first."""
    done = _attempt(db, verb, ASK_ABOVE if not yes else None)
    if done is None:
        done = _preview(db, verb)
        if not at_terminal():
            raise NotConfirmed(count=len(done))
        click.confirm(f"Do this to {counted(len(done), 'row')}?", abort=True, err=True)
        done = _attempt(db, verb, None)
        assert done is not None
    show(done)


def at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class _TakeBack(Exception):
    """Ends a transaction without a trace."""


def _attempt(db: Database, verb: Verb, most: int | None) -> list[Done] | None:
    """What was done; None when that was more than `most` rows, and so was taken back."""
    try:
        with db.write() as session:
            done = verb(session)
            if most is not None and len(done) > most:
                raise _TakeBack
            return done
    except _TakeBack:
        return None


def _preview(db: Database, verb: Verb) -> list[Done]:
    done: list[Done] = []
    try:
        with db.write() as session:
            done = verb(session)
            raise _TakeBack
    except _TakeBack:
        click.echo(_table(done), err=True)
    return done


def show(done: Sequence[Done]) -> None:
    """Print what was done, a line a row."""
    if not done:
        click.echo("nothing to do: it is so already")
        return
    click.echo(_table(done))


def _table(done: Sequence[Done]) -> str:
    rows: list[list[Any]] = [
        [
            plain(one.what, 80),
            one.source if one.source == one.to else f"{one.source} -> {one.to}",
            plain(one.words, 100),
        ]
        for one in done[:_SHOWN]
    ]
    more = f"\n... and {counted(len(done) - _SHOWN, 'row')} more" if len(done) > _SHOWN else ""
    return table(rows, ["row", "step", ""]) + more


def _wait(db: Database, ids: Sequence[int], seconds: float) -> None:
    """Until nothing is wanted of the jobs any more: Process has seen their end."""
    end = time.monotonic() + seconds
    while True:
        left = _unfinished(db, ids)
        if not left:
            return
        if time.monotonic() >= end:
            raise NotYet(seconds=seconds, jobs=", ".join(left[:5]) + (" ..." if len(left) > 5 else ""))
        time.sleep(min(_GLANCE, max(0.0, end - time.monotonic())))


def _unfinished(db: Database, ids: Sequence[int]) -> list[str]:
    left: list[str] = []
    with db.read() as session:
        for start in range(0, len(ids), 1000):
            query = select(Job.id, Job.module, Job.wanted).where(
                Job.id.in_(ids[start : start + 1000]), Job.wanted != ""
            )
            left += [f"job {row.id} ({row.module}: {row.wanted})" for row in session.execute(query)]
    return left
