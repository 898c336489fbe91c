"""Gates: what may hold a row back, and how it says so.

A gate reads the database alone, so that daemons, `why` and the page get the same answer without keys or a network.
What lies outside is measured by the owner of a lane and stored as a probe; a probe that is out of date closes its
gate and says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
from . import restored as restores
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
    if state.breaker_opened_at and state.breaker_trial_at and state.breaker_trial_at > now:
        words = f"too much goes wrong at site {site}: {state.breaker_reason}"
        trial = f"the next trial is at {state.breaker_trial_at:%H:%M:%S} UTC"
        opens = f"opens by itself when a trial succeeds ({trial}), or with `ondeck site resume {site}`"
        return Closed("pause", words, opens, state.breaker_opened_at)
    return None


def restored(session: Session, run_id: int | None = None) -> Closed | None:
    """Nothing is submitted or removed while a restored database was not compared with what lies outside.

    With `run_id`: whether that run was in the backup. Runs that have come since have lost nothing.
    """
    state = restores.last(session)
    if state is None or state.to != restores.RESTORED or (run_id is not None and run_id > state.id):
        return None
    words = f"the run database was restored from a backup ({state.reason})"
    return Closed("restored", words, "opens when `ondeck fsck` has compared it with disks and batch systems", state.at)


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
    session: Session, config: Config, storage: str, nbytes: int, *, runs: Collection[int] = ()
) -> Closed | None:
    """A storage must have room for `nbytes`, what is on its way there already, and its reserve.

    `runs`: whose copies it is about; tries of their own that were broken off are not counted twice.
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
            Copy.run_id.not_in(list(runs)),
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
    return first_closed([restored(session), pause(session, job.site), data(session, run.id, _storage_of(config, run))])


def gates_of_jobs(session: Session, config: Config, pairs: Sequence[tuple[Job, Run]]) -> dict[int, Closed | None]:
    """`job_gates` of many jobs, each with its run: job's id → the first closed gate. Few questions if all are open."""
    if not pairs:
        return {}
    whole = restored(session)
    pauses = {site: pause(session, site) for site in {job.site for job, _ in pairs}} if whole is None else {}
    storages = {job.id: _storage_of(config, run) for job, run in pairs}
    ready = {name: _with_data(session, {run.id for _, run in pairs}, name) for name in set(storages.values()) if name}
    answers: dict[int, Closed | None] = {}
    for job, run in pairs:
        closed, storage = whole or pauses.get(job.site), storages[job.id]
        if closed is None and storage is not None and run.id not in ready[storage]:
            closed = data(session, run.id, storage)
        answers[job.id] = closed
    return answers


def _storage_of(config: Config, run: Run) -> str | None:
    listener = config.listeners.get(run.listener or "")
    return listener.storage if listener else None


def _with_data(session: Session, runs: Collection[int], storage: str) -> set[int]:
    """Those of `runs` whose gate `data` is open for `storage`."""
    removed = select(Receipt.copy_id).where(text("closed_at IS NULL"))
    found = session.scalars(
        select(Copy.run_id).where(
            Copy.run_id.in_(list(runs)),
            Copy.storage == storage,
            Copy.job_id.is_(None),
            Copy.form == "plain",
            Copy.status == CopyStatus.VERIFIED,
            Copy.wanted,
            Copy.id.not_in(removed),
        )
    )
    return set(found)
