"""Jobs as detached processes of the site itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel, Field

from ...config.section import Section
from ...config.units import PositiveDuration
from ..attemptbulk import WrongName
from ..attemptfiles import TOKEN, ClaimFile, check_token
from ..command import Command, Result
from ..quote import shown, words_of
from ..scripts import Script
from . import (
    BatchSystem,
    JobSpec,
    JobState,
    Rejected,
    Seen,
    Snapshot,
    Submission,
    Submitted,
    Unknown,
    Verdict,
)

#: What /proc says of a process → our word; else it runs. (Z and X are no processes any more.)
STATES = {"T": JobState.SUSPENDED, "t": JobState.SUSPENDED}
GONE = ("Z", "X", "x")

REFUSED = 65  # exit code of local-submit.sh
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CARRIES = re.compile(rb"/proc/(\d{1,10})/environ:ONDECK_(TOKEN|BATCH_ID)=([0-9a-z.]{1,40})")
PROCESS = re.compile(rb"p (\d{1,10}|self) (\S) (-?\d{1,10}) (\d{1,20})")

SUBMIT = Script("local-submit")
POLL = Script("local-poll")
CANCEL = Script("local-cancel")


@dataclass(frozen=True, slots=True)
class LocalSnapshot(Snapshot):
    """Also which machine, boot and process space was looked at, when this look began (`ticks` since boot,
    `at` in epoch seconds), and {pid: (session, start time in ticks)} of all processes."""

    boot_id: str = "-"
    pidns: str = "-"
    machine: str = "-"
    ticks: int = 0
    at: int = 0
    processes: Mapping[int, tuple[int, int]] = field(default_factory=dict)


class LocalOptions(Section):
    """[sites.NAME.batch], system = "local"."""

    kill_after: PositiveDuration = Field(
        timedelta(seconds=10),
        description="a job that is told to end (cancelled, or its walltime is over) and does not is killed after this",
    )


class LocalBatch(BatchSystem):
    """No queue: a job runs as soon as it is submitted, as a session of its own. Needs /proc (proc(5)).

    A job is known by the variable ONDECK_TOKEN in the environment of its processes, which their children
    keep: a wrapper that was killed and whose payload lives on is a job that runs. The batch id is PID.START
    of the session's leader. The walltime is kept by the wrapper; cores, memory and queue are not enforced.
    """

    name = "local"
    Options = LocalOptions

    def __init__(self, options: BaseModel | None = None) -> None:
        super().__init__(options)
        self.kill_after = timedelta(seconds=10)
        if isinstance(self.options, LocalOptions):
            self.kill_after = self.options.kill_after

    def submit(self, spec: JobSpec) -> Command:
        """See BatchSystem.submit. Raises BadToken, WrongName."""
        for name, value in spec.env.items():
            if not NAME.fullmatch(name) or name.startswith("ONDECK_"):
                raise WrongName(path=shown(name), what="a variable", right="letters, digits, _, not ONDECK_…")
            if "\0" in value:
                raise WrongName(path=shown(value), what=f"the value of {name}", right="without NUL")
        env = [f"{name}={value}" for name, value in spec.env.items()]
        walltime = "" if spec.walltime is None else f"{max(spec.walltime.total_seconds(), 0.1):.3f}"
        env += [f"ONDECK_WALLTIME={walltime}", f"ONDECK_KILL_AFTER={math.ceil(self.kill_after.total_seconds())}"]
        return SUBMIT.command(spec.directory, check_token(spec.token), *env, name=f"submit {spec.token}")

    def parse_submit(self, result: Result) -> Submission:
        """See BatchSystem.parse_submit."""
        if result.code == REFUSED:
            return Rejected(words_of(result.err))
        if result.code == 0 and (found := re.fullmatch(rb"(\d{1,10}\.\d{1,20})\n", result.out)):
            return Submitted(found[1].decode())
        return Unknown(words_of(result.err) or f"exit code {result.code}, {shown(result.out[:200])!r}")

    def poll(self, user: str = "") -> Command:
        """See BatchSystem.poll; the user is always the one who asks."""
        return POLL.command()

    def parse_poll(self, result: Result, tokens: Iterable[str] | None = None) -> LocalSnapshot:
        """See BatchSystem.parse_poll."""
        head, *rest = result.out.split(b"\0")
        facts = {"host": "", "boot_id": "-", "pidns": "-", "machine": "-", "ticks": "", "at": ""}
        canary = ended = False
        carried: dict[int, dict[str, str]] = {}
        processes: dict[int, tuple[str, int, int]] = {}
        me = False
        for record in rest:
            if found := CARRIES.fullmatch(record):
                carried.setdefault(int(found[1]), {})[found[2].decode()] = found[3].decode()
            elif found := PROCESS.fullmatch(record):
                if found[1] == b"self":
                    me = True
                else:
                    processes[int(found[1])] = (
                        found[2].decode("ascii", "replace"),
                        int(found[3]),
                        int(found[4]),
                    )
            elif record == b"/proc/self/environ:ONDECK_CANARY=1":
                canary = True
            elif record == b"end":
                ended = True
            else:
                key, _, value = record.decode("utf-8", "surrogateescape").partition(" ")
                if key in facts:
                    facts[key] = value
        ok = result.code == 0 and head == b"ondeck-local 1"
        ticks, at = _number(facts.pop("ticks")), _number(facts.pop("at"))
        whole = ok and canary and me and ended and bool(facts["host"] and ticks and at)
        return LocalSnapshot(
            ok,
            whole,
            _jobs(carried, processes, None if tokens is None else set(tokens)) if ok else {},
            words="" if whole else words_of(result.err) or "no whole answer; are /proc, GNU grep and sed there?",
            ticks=ticks,
            at=at,
            processes={p: (s, t) for p, (letter, s, t) in processes.items() if letter not in GONE},
            **facts,
        )

    def cancel(self, jobs: Sequence[tuple[str, str | None]]) -> Command:
        """See BatchSystem.cancel; answers within about two seconds. Raises BadToken."""
        wait = f"{self.kill_after.total_seconds():.3f}"
        return CANCEL.command(wait, *sorted({check_token(token) for token, _ in jobs}))

    def verdict(self, claim: ClaimFile, snapshot: Snapshot) -> Verdict | None:
        """See BatchSystem.verdict. Where no process of a start is left on its own machine, that start has
        ended.

        The files are read after the look at the processes, so a claim may be younger than that look: then it
        says nothing.
        """
        if claim.by != "job" or not isinstance(snapshot, LocalSnapshot) or not (snapshot.ok and snapshot.complete):
            return None
        if not claim.boot_id or snapshot.boot_id == "-" or claim.ticks is None or claim.pid is None:
            return None
        if claim.boot_id != snapshot.boot_id:
            same = claim.host == snapshot.host and (claim.machine or "-") == snapshot.machine
            words = f"{snapshot.host} was started again after the job had begun there"
            return Verdict("node", words=words) if same and claim.at < snapshot.at else None
        if not claim.pidns or claim.pidns != snapshot.pidns or claim.ticks >= snapshot.ticks:
            return None
        if claim.token in snapshot.jobs or _lives(claim.pid, claim.ticks, snapshot.processes):
            return None
        return Verdict("vanished", words="its processes are gone and left no exit file")


def _lives(pid: int, ticks: int, processes: Mapping[int, tuple[int, int]]) -> bool:
    """Whether this very process lives, or may have left others in its session. A number is given to a new
    process only when no session bears it any more."""
    if pid in processes:
        return processes[pid][1] == ticks
    return any(session == pid for session, _ in processes.values())


def _number(word: str) -> int:
    """A number of at most 20 digits; 0 if it is none."""
    return int(word) if re.fullmatch("[0-9]{1,20}", word) else 0


def _jobs(
    carried: Mapping[int, Mapping[str, str]],
    processes: Mapping[int, tuple[str, int, int]],
    tokens: set[str] | None,
) -> dict[str, tuple[Seen, ...]]:
    """The jobs by token; one for each batch id, however many processes and sessions it has."""
    found: dict[str, dict[str, list[str]]] = {}  # token, batch id, letters of the states
    leaders: dict[str, str] = {}
    for pid, values in sorted(carried.items()):
        token, batch_id = values.get("TOKEN", ""), values.get("BATCH_ID", "")
        letter, session, _ = processes.get(pid, ("?", 0, 0))
        if not TOKEN.fullmatch(token) or letter in GONE or (tokens is not None and token not in tokens):
            continue
        found.setdefault(token, {}).setdefault(batch_id, []).append(letter)
        if session in processes:
            leaders.setdefault(token, f"{session}.{processes[session][2]}")
    jobs: dict[str, tuple[Seen, ...]] = {}
    for token, ids in found.items():
        if "" in ids:  # not come to the wrapper yet, or it hides its id
            letters = ids.pop("")
            ids.setdefault(next(iter(ids), leaders.get(token, "")), []).extend(letters)
        jobs[token] = tuple(
            Seen(token, batch_id or None, _state(letters), "".join(sorted(set(letters))))
            for batch_id, letters in ids.items()
        )
    return jobs


def _state(letters: Iterable[str]) -> JobState:
    states = {STATES.get(letter, JobState.RUNNING) for letter in letters}
    return states.pop() if len(states) == 1 else JobState.RUNNING
