"""What to do about an attempt, from what the batch system and the attempt's own files say.

All conclusions are drawn here, from values alone. The order of looking matters and is the caller's: the batch system
is asked first and the files are read after that. The exit file is the primary verdict, the batch system's the
second; that a job is absent never is one: it only leads to taking the claim, after which the attempt can't start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from ..attemptfiles import ClaimFile, ExitFile
from . import BatchSystem, JobState, Seen, Snapshot, Verdict

MISSES = 2
"""How many good listings in a row must lack a job before it counts as vanished."""


@dataclass(frozen=True)
class Open:
    """An attempt that is not known to have ended, as the database has it."""

    token: str
    batch_id: str | None
    since: datetime
    wanted: str = ""
    may_run: bool = False
    missed_since: datetime | None = None
    misses: int = 0


@dataclass(frozen=True)
class Files:
    """What the attempt's directory holds."""

    token: str | None = None
    claim: ClaimFile | None = None
    exit: ExitFile | None = None


class What(Enum):
    """What to do."""

    NOTHING = "nothing is known that changes anything"
    ADOPT = "the directory belongs to another token: take that one over"
    FOLLOW = "it is seen: pending or running"
    MISSED = "a good listing lacks it"
    ENDED = "its exit file is there"
    CANCEL = "a person wants it to end: cancel it, then take the claim"
    REVOKE = "take its claim; if that succeeds, it is given up"
    GIVE_UP = "it can't start any more, and never has"
    DIED = "its payload has started and ended without an exit file"
    LOST = "its payload has started, and nothing says how it ended"


@dataclass(frozen=True)
class Conclusion:
    """`what`, with what it is about."""

    what: What
    words: str = ""
    token: str | None = None
    exit: ExitFile | None = None
    verdict: Verdict | None = None
    seen: Seen | None = None
    running: bool = False


@dataclass(frozen=True)
class Patience:
    """How long an attempt may be invisible, and how long a started one may stay without an end."""

    grace: timedelta
    lost_after: timedelta


def conclude(
    attempt: Open, files: Files, snapshot: Snapshot, system: BatchSystem, now: datetime, patience: Patience
) -> Conclusion:
    """What to do about `attempt`. Pure; `now` by the database's clock."""
    if files.token is not None and files.token != attempt.token:
        return Conclusion(What.ADOPT, f"the directory has the token {files.token}", token=files.token)
    if files.exit is not None:
        return Conclusion(What.ENDED, exit=files.exit)
    seen = snapshot.jobs.get(attempt.token, ()) if snapshot.ok else ()
    live = [s for s in seen if s.state is not JobState.ENDED]
    started = files.claim is not None and files.claim.by == "job"
    if files.claim is not None and files.claim.by == "process":
        return Conclusion(
            What.GIVE_UP, "its claim was taken before it started", seen=live[0] if live else None
        )
    verdict = system.verdict(files.claim, snapshot) if files.claim is not None and snapshot.ok else None
    if verdict is not None:
        return Conclusion(What.DIED, verdict.words, verdict=verdict)
    if attempt.wanted and (live or not started):  # what has started and isn't seen can't be cancelled: it is lost
        return Conclusion(What.CANCEL, f"{attempt.wanted} is wanted", seen=live[0] if live else None)
    if live:
        return Conclusion(
            What.FOLLOW, seen=live[0], running=started or any(s.state is JobState.RUNNING for s in live)
        )
    if seen and not started:
        words = next(
            (s.verdict.words for s in seen if s.verdict and s.verdict.words), "the batch system has ended it"
        )
        return Conclusion(What.REVOKE, words, verdict=seen[0].verdict, seen=seen[0])
    if not (snapshot.ok and snapshot.complete):
        return Conclusion(What.NOTHING, snapshot.words)
    return _absent(attempt, started, now, patience)


def _absent(attempt: Open, started: bool, now: datetime, patience: Patience) -> Conclusion:
    """A good listing lacks the attempt, and no file says how it ended."""
    if attempt.misses + 1 < MISSES or attempt.missed_since is None:
        return Conclusion(What.MISSED)
    if started:
        if attempt.may_run or now - attempt.missed_since < patience.lost_after:
            return Conclusion(What.NOTHING)
        return Conclusion(What.LOST, "neither the batch system nor an exit file says how it ended")
    if now - attempt.since < patience.grace:
        return Conclusion(What.NOTHING)
    return Conclusion(What.REVOKE, "the batch system does not know it")
