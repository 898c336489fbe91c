"""Rows of attempts, and where their directories are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from ..config import Config
from ..config.sites import Batch
from ..db.engine import Database
from ..db.models import Attempt, Job, Run
from ..db.steps import unheld
from ..db.tables import StorageState
from ..sites.attempts import Place
from .places import NotInitialised

WORK = "work of {site}"
"""The name under which the uuid of a site's work directory is kept among the storages."""


def work_place(config: Config, db: Database, site: str) -> Place:
    """The directory of all attempts at `site`, with the uuid that it must hold; raises NotInitialised."""
    root = config.sites[site].work
    with db.read() as session:
        state = session.get(StorageState, WORK.format(site=site))
    if state is None:
        raise NotInitialised(name=WORK.format(site=site), root=root)
    return Place(str(root), state.uuid)


def job_directory(config: Config, job: Job, run: Run) -> str:
    """Where all attempts of a job lie, each in a directory named by its number."""
    part = f".{job.part}" if job.part else ""
    return f"{config.sites[job.site].work}/{run.source}/{run.name}/{job.module}.{job.pass_}{part}"


def batch_of(config: Config, site: str) -> Batch:
    """The batch section of a site that has one."""
    batch = config.sites[site].batch
    assert batch is not None
    return batch


@dataclass(frozen=True)
class OpenAttempt:
    """An attempt that is not known to have ended, with its job as it was read."""

    attempt: Attempt
    job: Job
    run: Run


def open_attempts(
    session: Session, site: str, *, ids: Sequence[int] | None = None, held: bool = False
) -> list[OpenAttempt]:
    """The open attempts at `site` on whose jobs nobody works (`held`: also where somebody does)."""
    query = (
        select(Attempt, Job, Run)
        .join(Job, Job.id == Attempt.job_id)
        .join(Run, Run.id == Job.run_id)
        .where(Attempt.site == site, text("attempts.ended_at IS NULL"))
        .order_by(Attempt.id)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        query = query.where(Attempt.id.in_(ids))
    if not held:
        query = query.where(text(unheld(session.get_bind().dialect.name, "jobs")))
    return [OpenAttempt(*row) for row in session.execute(query)]


def moment(epoch: float | None) -> datetime | None:
    """Epoch seconds of a site's clock as a time; None for what can't be one."""
    try:
        return None if epoch is None else datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def set_columns(session: Session, attempt_id: int, **columns: Any) -> None:
    """Write columns of one attempt, in the transaction that holds its job."""
    attempt = session.get_one(Attempt, attempt_id, populate_existing=True)
    for name, value in columns.items():
        setattr(attempt, name, value)
    session.flush()


def set_many(session: Session, values: Mapping[int, Mapping[str, Any]]) -> None:
    """Write columns of many attempts (by id), the same ones for each, in the transaction that holds their jobs."""
    if values:
        session.execute(update(Attempt), [{"id": attempt, **columns} for attempt, columns in values.items()])
