"""The shape of all batch systems. They make commands and read answers; others run the commands and draw
conclusions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import BaseModel

from ..attemptfiles import ClaimFile
from ..command import Command, Result
from ..quote import words_of

VerdictKind = Literal["exited", "signalled", "walltime", "memory", "node", "cancelled", "vanished", "failed"]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What is submitted: the wrapper in `directory`, under the name `token`. `memory` in bytes; `directives`:
    further options of the batch system, each one word; `env`: variables that the batch system must give the
    job."""

    token: str
    directory: str
    queue: str | None = None
    walltime: timedelta | None = None
    cores: int = 1
    memory: int | None = None
    directives: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The batch system has the job under this id."""

    batch_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It certainly has no such job, and would say so again: a person must look."""

    words: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have the job: ask for the token, never submit again."""

    words: str


Submission = Submitted | Rejected | Unknown


class JobState(StrEnum):
    """What a batch system says of a job, in ondeck's words."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    SUSPENDED = "suspended"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one start of a job ended, as the batch system has it. `code` 0 to 255; `words`: for people."""

    kind: VerdictKind
    code: int | None = None
    signal: int | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as the batch system shows it. `word`: its own word for the state; `reason`: why the job waits or
    ended; `start_count`: how often it had been started before the start that this is about, None: not told.
    Only with the state ended there is a verdict."""

    token: str
    batch_id: str | None
    state: JobState
    word: str = ""
    reason: str = ""
    start_count: int | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answer to a question. `ok`: it was answered; `complete`: a job that is not among `jobs` was not in
    the listing. Unless both hold, absence means nothing. `host`: the machine that was asked; `words`: what
    was wrong."""

    ok: bool
    complete: bool
    jobs: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    host: str = ""
    words: str = ""

    def and_also(self, seen: Iterable[Seen]) -> Snapshot:
        """This snapshot with what the history knows besides; jobs that it holds already stay as they are."""
        jobs = dict(self.jobs)
        for one in seen:
            known = jobs.get(one.token, ())
            if not any((k.batch_id, k.start_count) == (one.batch_id, one.start_count) for k in known):
                jobs[one.token] = (*known, one)
        return replace(self, jobs=jobs)


class NoKeys(BaseModel):
    """A batch system without keys of its own."""


class BatchSystem(ABC):
    """One kind of batch system. Pure: no I/O, no state but its options.

    A command whose answer did not come (broken connection, time-out) has no result to be read: for a
    submission that is Unknown, for a question no Snapshot at all.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = NoKeys
    identity: ClassVar[str] = ""
    """sh lines for the wrapper that set ONDECK_BATCH_ID and ONDECK_START_COUNT from the system's own
    variables."""

    def __init__(self, options: BaseModel | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def submit(self, spec: JobSpec) -> Command:
        """The command that submits, to be run once."""

    @abstractmethod
    def parse_submit(self, result: Result) -> Submission:
        """What became of it. Rejected only where the system certainly has no job; never raises."""

    @abstractmethod
    def poll(self, user: str = "") -> Command:
        """The one question for all jobs of a user (empty: the one who asks)."""

    @abstractmethod
    def parse_poll(self, result: Result, tokens: Iterable[str] | None = None) -> Snapshot:
        """The answer, of those tokens only if they are given. Whatever it holds, this does not raise."""

    def find(self, token: str) -> Command:
        """The question for one token, in queue and history."""
        return self.poll()

    def parse_find(self, result: Result, token: str) -> Snapshot:
        """The answer; never raises."""
        return self.parse_poll(result, (token,))

    def history(self, batch_ids: Sequence[str]) -> Command | None:
        """The question for jobs that have left the queue; None if the system keeps no history."""
        return None

    def parse_history(self, result: Result) -> Snapshot:
        """The answer; never raises. Absence from it means nothing unless it is complete."""
        return Snapshot(ok=False, complete=False, words=f"{self.name} keeps no history")

    @abstractmethod
    def cancel(self, jobs: Sequence[tuple[str, str | None]]) -> Command:
        """The command that ends these jobs, (token, batch id if known) each; jobs that are gone are no
        trouble."""

    def parse_cancel(self, result: Result) -> str:
        """What went wrong, "" if nothing; never raises. That they ended is seen by asking."""
        return "" if result.code == 0 else words_of(result.err) or f"exit code {result.code}"

    def same_id(self, one: str | None, other: str | None) -> bool:
        """Whether two batch ids name the same job."""
        return one is not None and one == other

    def verdict(self, claim: ClaimFile, snapshot: Snapshot) -> Verdict | None:
        """How the very start that holds the claim ended; None: nothing is known about that start.

        A start is known by batch id and start count. A job that could not know its count is believed to be
        the first start if the system says that there was no other.
        """
        if claim.by != "job" or claim.token is None:
            return None
        for seen in snapshot.jobs.get(claim.token, ()):
            if (
                seen.state is JobState.ENDED
                and seen.verdict is not None
                and seen.start_count is not None
                and seen.start_count == (claim.start_count or 0)
                and self.same_id(seen.batch_id, claim.batch_id)
            ):
                return seen.verdict
        return None
