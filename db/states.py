"""Statuses and the legal steps between them, as data.

The triggers of the run database (`triggers.py`), the state diagrams (`ondeck states`) and the tests' kill points
are made from these tables, so that there is one place where a step is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class RunStatus(StrEnum):
    """Where a run stands. `processed`: nothing is left that ondeck would do by itself but archiving."""

    ACQUIRED = "acquired"
    TRANSFERRING = "transferring"
    ONDECK = "ondeck"
    PROCESSING = "processing"
    PROCESSED = "processed"
    ARCHIVED = "archived"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """Where a job stands. `waiting`: a person must say go; `blocked`: a gate is closed."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    NEW = "new"
    SUBMITTING = "submitting"
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CopyStatus(StrEnum):
    """Where a copy stands. Only a `verified` copy counts as a witness."""

    ABSENT = "absent"
    WRITING = "writing"
    VERIFIED = "verified"
    SUSPECT = "suspect"
    DELETING = "deleting"


class BundleStatus(StrEnum):
    """Where a bundle (a tar of several runs in the archive) stands."""

    OPEN = "open"
    WRITING = "writing"
    WRITTEN = "written"
    VERIFIED = "verified"


class InboxStatus(StrEnum):
    """What became of a message from outside."""

    NEW = "new"
    DONE = "done"
    IGNORED = "ignored"


class OutboxStatus(StrEnum):
    """What became of a message to the outside."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


LIVE_JOBS = (JobStatus.SUBMITTING, JobStatus.PENDING, JobStatus.RUNNING)
"""Statuses in which a job may have something outside that runs or could start."""

ENDED_JOBS = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)

RESTING_RUNS = (RunStatus.PROCESSED, RunStatus.ARCHIVED, RunStatus.FAILED, RunStatus.CANCELLED)


class Step(NamedTuple):
    """One legal step: from `source` to `to`, taken by one of `who` (a daemon's name or `verb`), and when."""

    source: str
    to: str
    who: tuple[str, ...]
    when: str


def _steps(sources: Iterable[str], to: Iterable[str], who: str, when: str) -> list[Step]:
    targets = list(to)
    return [Step(str(a), str(b), tuple(who.split()), when) for a in sources for b in targets if a != b]


_R, _J, _C, _B, _O = RunStatus, JobStatus, CopyStatus, BundleStatus, OutboxStatus
_RESTING_JOBS = (_J.WAITING, _J.BLOCKED, _J.NEW)

_TABLES: dict[str, list[Step]] = {
    "runs": [
        *_steps([_R.ACQUIRED], [_R.TRANSFERRING], "Transfer", "a copy is begun"),
        *_steps([_R.TRANSFERRING], [_R.ONDECK], "Transfer", "the copy at the processing site is verified"),
        *_steps([_R.ACQUIRED], [_R.ONDECK], "Transfer", "the data already lie at the site"),
        *_steps([_R.TRANSFERRING], [_R.ACQUIRED], "Transfer", "the try failed or was broken off"),
        *_steps([_R.ONDECK], [_R.PROCESSING], "JobOrganizer", "its jobs exist"),
        *_steps([_R.ONDECK], [_R.PROCESSED], "JobOrganizer", "no module wants it"),
        *_steps([_R.PROCESSING], [_R.PROCESSED], "Process", "every job has come to its end or waits for a person"),
        *_steps([_R.PROCESSING], [_R.FAILED], "Process", "nothing can move and a job is failed or unsatisfied"),
        *_steps([_R.PROCESSED], [_R.ARCHIVED], "DiskMonitor", "every copy wanted in the archive is verified"),
        *_steps([_R.PROCESSED, _R.ARCHIVED, _R.FAILED], [_R.PROCESSING], "verb", "a job is added or reopened"),
        *_steps([_R.ACQUIRED], [_R.FAILED], "RunsProvider Transfer", "it can't be taken, or tries are used up"),
        *_steps([_R.TRANSFERRING], [_R.FAILED], "Transfer", "tries are used up"),
        *_steps([_R.ONDECK], [_R.FAILED], "JobOrganizer", "tries are used up"),
        *_steps([_R.FAILED, _R.CANCELLED], [_R.ACQUIRED, _R.ONDECK, _R.PROCESSING], "verb", "the run is reset"),
        *_steps(
            [_R.ACQUIRED, _R.TRANSFERRING, _R.ONDECK, _R.PROCESSED, _R.FAILED],
            [_R.CANCELLED],
            "verb",
            "cancel",
        ),
        *_steps(
            [_R.PROCESSING],
            [_R.CANCELLED],
            "verb Process",
            "cancel, at the latest when its last live job ended",
        ),
    ],
    "jobs": [
        *_steps([_J.BLOCKED], [_J.NEW], "JobOrganizer", "its gates are open"),
        *_steps([_J.NEW], [_J.BLOCKED], "JobOrganizer Process", "a gate has closed"),
        *_steps([_J.BLOCKED], [_J.CANCELLED], "JobOrganizer", "the gate's time is over"),
        *_steps([_J.NEW], [_J.SUBMITTING], "Process", "its attempt is written"),
        *_steps([_J.SUBMITTING], [_J.PENDING, _J.RUNNING], "Process", "the batch system has it"),
        *_steps([_J.PENDING], [_J.RUNNING], "Process", "it has started"),
        *_steps(LIVE_JOBS, [_J.DONE, _J.FAILED, _J.CANCELLED], "Process", "its end was seen"),
        *_steps(LIVE_JOBS, [_J.NEW], "Process", "revoked, machinery, reset, or a failure is left"),
        *_steps(LIVE_JOBS, [_J.WAITING], "Process", "refused, held, or it may still run"),
        *_steps(_RESTING_JOBS, (*_RESTING_JOBS, _J.CANCELLED), "verb", "hold, start, reset, cancel"),
        *_steps([_J.DONE, _J.FAILED, _J.CANCELLED], [_J.NEW, _J.BLOCKED], "verb", "reset, retry"),
        *_steps([_J.DONE, _J.FAILED, _J.CANCELLED], [_J.WAITING], "verb", "hold"),
        *_steps([_J.FAILED], [_J.CANCELLED], "verb", "cancel"),
        *_steps([_J.WAITING], [_J.DONE, _J.FAILED, _J.NEW, _J.CANCELLED], "Process", "its end was seen after all"),
    ],
    "copies": [
        *_steps([_C.ABSENT], [_C.WRITING], "Transfer DiskMonitor", "it is being written"),
        *_steps([_C.WRITING], [_C.VERIFIED], "Transfer DiskMonitor", "flushed, read back, equal to the manifest"),
        *_steps([_C.WRITING], [_C.ABSENT], "Transfer DiskMonitor", "the write failed"),
        *_steps([_C.VERIFIED], [_C.SUSPECT], "DiskMonitor Transfer", "it was read and differed, or was not seen"),
        *_steps([_C.SUSPECT], [_C.VERIFIED], "DiskMonitor", "read back, equal after all"),
        *_steps([_C.SUSPECT], [_C.WRITING], "DiskMonitor", "it is being healed from a verified copy"),
        *_steps([_C.SUSPECT], [_C.ABSENT], "verb", "fsck saw that it is gone as a whole, and that others have it"),
        *_steps([_C.VERIFIED], [_C.DELETING], "DiskMonitor", "the proof for its removal stands"),
        *_steps([_C.DELETING], [_C.ABSENT], "DiskMonitor", "its files are gone"),
        *_steps([_C.DELETING], [_C.SUSPECT], "DiskMonitor", "something was left over, or the proof fell"),
    ],
    "bundles": [
        *_steps([_B.OPEN], [_B.WRITING], "DiskMonitor", "it is large or old enough"),
        *_steps([_B.WRITING], [_B.WRITTEN], "DiskMonitor", "the tar lies in the archive, flushed"),
        *_steps([_B.WRITTEN], [_B.VERIFIED], "DiskMonitor", "read back, every member equal to its manifest"),
        *_steps([_B.WRITING, _B.WRITTEN], [_B.OPEN], "DiskMonitor", "the step failed"),
    ],
    "inbox": _steps([InboxStatus.NEW], [InboxStatus.DONE, InboxStatus.IGNORED], "RunsProvider", "it was looked at"),
    "outbox": [
        *_steps([_O.QUEUED], [_O.SENDING], "Messenger", "it is the oldest of its stream"),
        *_steps([_O.SENDING], [_O.SENT], "Messenger", "the sink has taken it"),
        *_steps([_O.SENDING], [_O.QUEUED], "Messenger", "the sink is away"),
        *_steps([_O.SENDING], [_O.FAILED], "Messenger", "the sink refused it, or tries are used up"),
        *_steps([_O.FAILED], [_O.QUEUED], "verb", "a person sends it again"),
    ],
}


def _merged(steps: list[Step]) -> tuple[Step, ...]:
    """One `Step` a pair: who and when of doubles are joined."""
    merged: dict[tuple[str, str], Step] = {}
    for step in steps:
        pair = (step.source, step.to)
        if pair in merged:
            old = merged[pair]
            who = tuple(dict.fromkeys(old.who + step.who))
            step = Step(*pair, who, old.when if step.when == old.when else f"{old.when}; {step.when}")
        merged[pair] = step
    return tuple(merged.values())


LEGAL_STEPS: dict[str, tuple[Step, ...]] = {table: _merged(steps) for table, steps in _TABLES.items()}
"""Table name → its legal steps. A row may be born in any of its statuses."""

STATUSES: dict[str, tuple[str, ...]] = {
    "runs": tuple(RunStatus),
    "jobs": tuple(JobStatus),
    "copies": tuple(CopyStatus),
    "bundles": tuple(BundleStatus),
    "inbox": tuple(InboxStatus),
    "outbox": tuple(OutboxStatus),
}
"""Table name → its statuses, in the order of a row's usual way."""


def is_legal(table: str, source: str, to: str) -> bool:
    """Whether a row of `table` may go from `source` to `to`; staying where it is is always legal."""
    return source == to or any(s.source == source and s.to == to for s in LEGAL_STEPS[table])
