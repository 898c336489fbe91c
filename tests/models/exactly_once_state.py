"""What the model of submission is about: one job, its attempts' directories, two instances of Process, batch jobs."""

from __future__ import annotations

from typing import NamedTuple

RULES: dict[str, str] = {
    "revoke": "an attempt is given up only with its claim taken",
    "claim": "the payload is started only by who has the claim",
    "token": "the attempt with its token is written before it is submitted, and its directory holds that token",
    "epoch": "who was overtaken can write nothing",
    "mkdir": "a directory that was there is never submitted to",
    "one directory": "all tokens of an attempt share one directory",
    "start in claim": "the claim says which start of a batch job it belongs to",
    "code 75": "a start that met the claim of another says nothing about the attempt",
    "later start": "a verdict counts only if it is about the start that has the claim",
    "terminal": "also after a verdict, what has not started is given up only with its claim taken",
    "order": "the batch system is asked first, then the files are read",
    "go": "a job that may still run is not started anew because a person says go",
    "own claim": "a claim that another Process has taken is as good as one's own",
    "restored": "after a restored backup no epoch of before it counts",
    "row first": "the row says what is published before the link does",
}
"""Rules of the protocol; each can be left out."""


class Job(NamedTuple):
    """The row: `number` and `token` of the last attempt; `wanted` by a person; `why` a waiting one waits."""

    status: str = "new"
    number: int = 0
    token: int = 0
    wanted: str = ""
    leased: bool = False
    why: str = ""
    published: int = 0


class Instance(NamedTuple):
    """An instance of Process before its next action. `epoch`: "current", "old", or of before a restored backup:
    "future" (the number is yet to come again), "again" (it has come again)."""

    step: str = "idle"
    number: int = 0
    token: int = 0
    epoch: str = "old"


class Directory(NamedTuple):
    """An attempt's directory: `token` -1: not there, 0: without token; `claim`: "process" or the number of a start;
    `code`: of the exit file, -1: none."""

    token: int = -1
    claim: str = ""
    code: int = -1


class Batch(NamedTuple):
    """A batch job. `phase`: queued, payload, dead (its node), ended. `listed`: not yet, yes, forgotten. `payload`: no,
    alive, exit (its file is written), node (died with it), killed. `start`: how often it was started before."""

    directory: int
    token: int
    phase: str = "queued"
    listed: str = "not yet"
    verdict: str = ""
    payload: str = "no"
    start: int = 0


class State(NamedTuple):
    """Everything. `left`: starts of a batch job again, acts of a person. `backup`: None there is none to come, (): not
    made yet, (row,): made, ("used",): restored. `restored`: it was. `link`: the attempt that the link leads to."""

    job: Job
    instances: tuple[Instance, ...]
    directories: tuple[Directory, ...]
    batch: tuple[Batch, ...]
    requeues: int
    verbs: int
    backup: tuple[object, ...] | None
    restored: bool = False
    link: int = 0


ATTEMPTS = 3
"""How many attempts there are at most."""

IDLE = Instance()
LIVE = ("submitting", "pending")


def may_run(job: Job) -> bool:
    """Whether the row waits because its payload may still run."""
    return job.why == "may run"


def bounded(job: Job) -> bool:
    """Whether the model ends here: a person wants one more attempt than there are in it."""
    return job.status == "new" and job.number == ATTEMPTS


def raised(instances: tuple[Instance, ...]) -> list[tuple[Instance, ...]]:
    """Somebody has claimed the row: every other holder's epoch is old now; after a restore a number may come again."""
    out: list[tuple[Instance, ...]] = [()]
    for one in instances:
        ways = ("future", "again") if one.epoch == "future" else ("old",)
        out = [(*others, one._replace(epoch=way)) for others in out for way in ways]
    return out


def two(first: Instance, second: Instance) -> tuple[Instance, ...]:
    """The two instances are alike: which is which does not matter."""
    return (first, second) if first <= second else (second, first)
