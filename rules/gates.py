"""Gates: what may hold a row back, and how it says so.

A gate reads the database alone, so that daemons, `why` and the page get the same answer without keys or a network.
What lies outside is measured by the owner of a lane and stored as a probe; a probe that is out of date closes its
gate and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..config.units import format_size
from ..db.clock import database_time
from ..db.models import Copy, Job, Receipt, Run
from ..db.states import LIVE_JOBS, CopyStatus
from ..db.tables import Site
from .probes import last


@dataclass(frozen=True)
class Closed:
    """A closed gate: its name, why it is closed, since when (None: not known), what would open it."""

    gate: str
    reason: str
    opens: str
    since: datetime | None = None

    def words(self) -> str:
        """One line for a person."""
        since = f" since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""
        return f"{self.gate}: {self.reason}{since}; {self.opens}"


def backoff(session: Session, row: Run | Job) -> Closed | None:
    """A row that had trouble waits until its `not_before`."""
    if row.not_before is None or row.not_before <= database_time(session):
        return None
    why = row.reason or "the last try failed"
    return Closed(
        "backoff", f"try {row.tries}: {why}", f"tried again after {row.not_before:%Y-%m-%d %H:%M:%S} UTC"
    )


def pause(session: Session, site: str) -> Closed | None:
    """Nothing new begins at a site that a person has paused, or whose breaker is open."""
    state = session.get(Site, site, populate_existing=True)
    if state is None:
        return None
    now = database_time(session)
    if state.paused_at and (state.paused_until is None or state.paused_until > now):
        until = f"at {state.paused_until:%Y-%m-%d %H:%M} UTC, or " if state.paused_until else ""
        words = f"site {site} is paused by {state.paused_by}" + (
            f": {state.pause_reason}" if state.pause_reason else ""
        )
        return Closed("pause", words, f"opens {until}with `ondeck site resume {site}`", state.paused_at)
    if state.breaker_opened_at:
        words = f"too much goes wrong at site {site}: {state.breaker_reason}"
        return Closed("pause", words, "opens by itself when a trial succeeds", state.breaker_opened_at)
    return None


def live_jobs(session: Session, site: str) -> int:
    """How many jobs of `site` have something outside that runs or could start."""
    counts = (f"(SELECT count(*) FROM jobs WHERE status = '{s}' AND site = :site)" for s in LIVE_JOBS)
    return int(session.execute(text(f"SELECT {' + '.join(counts)}"), {"site": site}).scalar_one())


def free_slots(session: Session, config: Config, site: str) -> int | None:
    """How many more jobs `site` may have; None = no limit."""
    batch = config.sites[site].batch
    if batch is None:
        return 0
    return None if batch.slots is None else max(0, batch.slots - live_jobs(session, site))


def slots(session: Session, config: Config, site: str) -> Closed | None:
    """A site takes no more jobs than it has slots."""
    if site not in config.sites or config.sites[site].batch is None:
        return Closed(
            "slots", f"site {site} has no batch system in the configuration", "add [sites.NAME.batch]"
        )
    if free_slots(session, config, site) == 0:
        return Closed("slots", f"all slots of site {site} are taken", "opens when one of its jobs ends")
    return None


def space(
    session: Session, config: Config, storage: str, nbytes: int, *, run_id: int | None = None
) -> Closed | None:
    """A storage must have room for `nbytes`, what is on its way there already, and its reserve.

    `run_id`: whose copy it is about; a try of its own that was broken off is not counted twice.
    """
    probe = last(session, "space", storage)
    if probe is None:
        return Closed(
            "space", f"the free space of storage {storage} was not seen yet", "DiskMonitor measures it"
        )
    if probe.valid_until <= database_time(session):
        words = f"the free space of storage {storage} was last seen at {probe.seen_at:%Y-%m-%d %H:%M:%S} UTC"
        return Closed("space", words, "opens when DiskMonitor measures it again", probe.valid_until)
    if probe.error:
        return Closed("space", probe.error, "opens when the storage is seen again", probe.seen_at)
    coming = session.scalar(
        select(func.coalesce(func.sum(Copy.nbytes), 0)).where(
            text("status IN ('writing', 'suspect', 'deleting')"),  # as the index has it
            Copy.storage == storage,
            Copy.status == CopyStatus.WRITING,
            Copy.run_id != (-1 if run_id is None else run_id),
        )
    )
    free = int(probe.value["free"]) - int(coming or 0)
    needed = nbytes + config.storages[storage].reserve
    if free >= needed:
        return None
    words = f"storage {storage} has {format_size(max(0, free))} free, {format_size(needed)} are needed"
    return Closed("space", words, "opens when room is made there")


def data(session: Session, run_id: int, storage: str | None) -> Closed | None:
    """A job needs its run's data: a verified copy that nobody wants to remove.

    While a receipt is open the copy's directory may bear another name: then it is not there yet, even when it is
    wanted again.
    """
    if storage is None:
        return None
    copy = session.scalar(
        select(Copy)
        .where(Copy.run_id == run_id, Copy.storage == storage, Copy.job_id.is_(None), Copy.form == "plain")
        .execution_options(populate_existing=True)
    )
    if copy is None:
        what = "not there"
    elif not copy.wanted:
        what = "being removed"
    elif copy.status != CopyStatus.VERIFIED:
        what = copy.status
    elif session.scalar(select(Receipt.id).where(Receipt.copy_id == copy.id, text("closed_at IS NULL"))) is not None:
        what = "not back yet from a removal that was called off"
    else:
        return None
    return Closed("data", f"the run's copy on storage {storage} is {what}", "opens when it is verified there")


def first_closed(answers: Iterable[Closed | None]) -> Closed | None:
    """The first gate that is closed; None when all are open."""
    return next((a for a in answers if a is not None), None)


def job_gates(session: Session, config: Config, job: Job, run: Run) -> Closed | None:
    """The first closed gate of a job that waits for its submission; None when it may be submitted.

    (The slots of its site are counted when jobs are taken for submission; they hold back none in particular.)
    """
    listener = config.listeners.get(run.listener or "")
    storage = listener.storage if listener else None
    return first_closed([pause(session, job.site), data(session, run.id, storage)])
