"""A job's payload is started exactly once: all orders of events for one job and two instances of Process.

Modelled: at most 3 attempts. Time is abstract: whatever could be slow may happen at any later moment, so no result
rests on a grace time. Faults: an instance crashes, or stops while its lease runs out and goes on then (its outside
actions work, its writes carry an old epoch); an answer to a submission is lost; a batch job shows up late, is listed
wrongly, or is forgotten; the batch system starts it again (its first start killed, or alive on a cut-off node); a
node dies after the claim; a person resets, holds, cancels, starts; a backup of the database is restored.

I1 a payload starts only if every earlier start has an exit file or a verdict about that very start; I2 what is done
has exit code 0; I4 never two attempts that run or could start; I5 no write of who was overtaken has effect; I6 a job
at rest has nothing outside that runs or could start; I7 nothing is run again after code 0 unless a person asks; I8
"may still run" is said only of what has started; I9 the link is the published attempt; REST without further faults
done, failed, cancelled or waiting can be reached from everywhere. (I6, I7: until a backup is restored.)

Pending stands for running, too. Not modelled: caches of network file systems, verdicts that lie, lost files.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.exactly_once_outside import outside
from models.exactly_once_process import process
from models.exactly_once_state import IDLE, Directory, Job, State, bounded, may_run
from models.search import Step, Table, Violation

IMPLEMENTED = {
    "revoke": "ondeck.daemons.following:Follower._take_away",
    "claim": "ondeck.sites.attempts:wrapper",
    "token": "ondeck.daemons.submission:Submitter._write_attempts",
    "epoch": "ondeck.db.steps:advance",
    "mkdir": "ondeck.daemons.submission:Submitter._not_made",
    "one directory": "ondeck.daemons.submission:Submitter._attempt",
    "start in claim": "ondeck.sites.attemptfiles:parse_claim",
    "code 75": "ondeck.sites.batch.local:LocalBatch.verdict",
    "later start": "ondeck.sites.batch:BatchSystem.verdict",
    "terminal": "ondeck.sites.batch.reconcile:conclude",
    "order": "ondeck.daemons.following:Follower.step",
    "go": "ondeck.rules.verbs:start_jobs",
    "own claim": "ondeck.sites.attempts:_revoked",
    "row first": "ondeck.daemons.following:Follower._ended",
}
"""Rule → where the code keeps it."""

ELSEWHERE = {"restored": "whoever restores a backup stops all daemons first"}
"""Rules that are kept by other means."""


class ExactlyOnce:
    """The model. `without`: a rule that is left out; `only`: look at these invariants alone; the rest are bounds."""

    def __init__(
        self, without: str = "", *, only: str = "", requeues: int = 1, verbs: int = 1, restore: bool = False
    ) -> None:
        self.without, self.only, self.requeues, self.verbs, self.restore = without, only, requeues, verbs, restore
        self.table = Table("jobs")

    def start(self) -> State:
        """A new job, nothing outside."""
        directories = (Directory(),) * (6 if self.without == "one directory" else 3)
        backup = () if self.restore else None
        return State(Job(), (IDLE, IDLE), directories, (), self.requeues, self.verbs, backup)

    def bad(self, invariant: str, words: str) -> None:
        """Raises Violation, if this invariant is looked at."""
        if not self.only or invariant == self.only:
            raise Violation(f"{invariant}: {words}")

    def where(self, number: int, token: int) -> int:
        """Which directory an attempt has."""
        return number - 1 + (3 if self.without == "one directory" and token == 2 else 0)

    def check(self, state: State) -> None:
        """The invariants of a state."""
        job, directories = state.job, state.directories
        if job.status == "done":
            if not job.published or directories[self.where(job.published, job.token)].code != 0:
                self.bad("I2", "done without exit code 0 of the published attempt")
            if self.without == "row first" and state.link != job.published:
                self.bad("I9", f"the link leads to attempt {state.link}, published is {job.published}")
        able = {
            b.directory
            for b in state.batch
            if b.payload == "alive" or (b.phase == "queued" and not directories[b.directory].claim)
        }
        if len(able) > 1:
            self.bad("I4", "two attempts run or can start")
        resting = job.status in ("new", "done", "failed", "cancelled") or (job.status == "waiting" and not may_run(job))
        if not state.restored and able and resting:
            self.bad("I6", f"the job is {job.status} {job.why}, but a batch job runs or can start")
        if not state.restored and may_run(job) and all(b.payload == "no" for b in state.batch):
            self.bad("I8", "it may still run, but nothing has ever started")

    def steps(self, state: State) -> Iterator[Step]:
        """What Process, the batch system, leases, persons and backups may do."""
        for source in (process, outside):
            for label, free, to in source(self, state):
                yield Step(label, free, self.normal(to))

    def at_rest(self, state: State) -> bool:
        """Whether the job has come to an end, or waits for a person."""
        return state.job.status in ("done", "failed", "cancelled", "waiting") or bounded(state.job)

    def normal(self, state: State) -> State:
        """One state for all that have the same future: instances that were overtaken and only have a write ahead,
        and past attempts that can't run any more, don't matter."""
        job, instances, directories, batch = state.job, state.instances, state.directories, state.batch
        if self.without not in ("epoch", "restored"):
            acts = {"mkdir", "token", "submit", "adopt", "cancel", "revoke"}
            acts |= {"ended"} if self.without == "row first" else set()
            instances = tuple(sorted(i if i.epoch != "old" or i.step in acts else IDLE for i in instances))
        careless = self.without in ("claim", "start in claim", "one directory", "mkdir")
        if not careless and state.backup in (None, ("used",)):
            batch = tuple(
                b
                for b in batch
                if b.directory >= job.number - 1 or not directories[b.directory].claim or b.payload in ("alive", "node")
            )
            left = {b.directory for b in batch}
            directories = tuple(
                Directory(1, "process", 0 if d.code == 0 else -1)
                if d.claim and k < job.number - 1 and k not in left and k != job.published - 1
                else d
                for k, d in enumerate(directories)
            )
        return state._replace(instances=instances, directories=directories, batch=batch)
