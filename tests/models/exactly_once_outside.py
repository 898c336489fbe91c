"""What happens without Process: the batch system and its jobs, leases, persons, backups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from models.exactly_once_state import IDLE, LIVE, Batch, Instance, Job, State, may_run, raised
from models.search import Step, put

if TYPE_CHECKING:
    from models.exactly_once import ExactlyOnce


def outside(model: ExactlyOnce, state: State) -> Iterator[Step]:
    """All of it."""
    for i, one in enumerate(state.batch):
        yield from _batch(model, state, i, one)
    if state.job.leased:
        lives = any(i.epoch == "current" for i in state.instances)
        yield Step("the lease runs out", not lives, state._replace(job=state.job._replace(leased=False)))
    if state.verbs:
        yield from _person(model, state)
    yield from _backup(model, state)


def _batch(model: ExactlyOnce, state: State, i: int, one: Batch) -> Iterator[Step]:
    here = state.directories[one.directory]
    name = f"job of {one.directory % 3 + 1}" + (f", token {one.token}," if one.token > 1 else "")

    def to(requeues: int | None = None, here_is: dict[str, Any] | None = None, **changes: Any) -> State:
        directories = put(state.directories, one.directory, here._replace(**here_is or {}))
        batch = tuple(sorted(put(state.batch, i, one._replace(**changes))))
        left = state.requeues if requeues is None else requeues
        return state._replace(directories=directories, batch=batch, requeues=left)

    if one.listed == "not yet":
        yield Step(f"{name} is listed", True, to(listed="yes"))
    if one.listed == "yes":
        yield Step(f"{name} is forgotten", False, to(listed="forgotten"))
    if one.phase == "queued":
        yield Step(f"{name} dies before its claim", False, to(phase="ended", verdict="failed"))
        blind = model.without == "start in claim" and here.claim != "process" and one.start
        if not here.claim or model.without == "claim" or blind:
            if any(b.payload in ("alive", "node") for b in state.batch):
                model.bad("I1", f"{name} starts its payload while an earlier start has not ended")
            untouched = not state.restored and state.verbs == model.verbs
            if untouched and any(d.code == 0 for d in state.directories):
                model.bad("I7", f"{name} starts its payload again after code 0")
            claimed = to(phase="payload", payload="alive", here_is={"claim": str(one.start)})
            yield Step(f"{name} CLAIMS, ITS PAYLOAD STARTS", True, claimed)
        else:
            yield Step(f"{name} meets a claim: code 75", True, to(phase="ended", verdict="75"))
    elif one.phase == "payload":
        yield Step(f"the node of {name} dies", False, to(phase="dead", payload="node"))
    elif one.phase == "dead":
        yield Step(f"{name} is judged with its node", True, to(phase="ended", verdict="failed", payload="killed"))
    if one.payload == "alive":
        end = {"phase": "ended", "verdict": "ended"} if one.phase == "payload" else {}
        for code in (0, 1):
            yield Step(f"{name} writes exit code {code}", True, to(payload="exit", here_is={"code": code}, **end))
    if state.requeues and one.phase in ("payload", "dead", "ended") and not one.start:
        again: dict[str, Any] = {"phase": "queued", "verdict": "", "start": 1, "requeues": state.requeues - 1}
        killed = "killed" if one.payload in ("alive", "node") else one.payload
        yield Step(f"{name} is started again", False, to(**again, payload=killed))
        if one.payload == "alive":
            yield Step(f"{name} is started again, its first start lives on a cut-off node", False, to(**again))


def _person(model: ExactlyOnce, state: State) -> Iterator[Step]:
    job, verbs = state.job, state.verbs - 1
    ways: list[tuple[str, Job]] = []
    if (job.status in LIVE or may_run(job)) and not (may_run(job) and model.without == "go"):
        ways = [(v, job._replace(wanted=v)) for v in ("reset", "hold", "cancel") if v != job.wanted]
    elif job.status == "new":
        ways = [("hold", job._replace(status="waiting", why="held")), ("cancel", job._replace(status="cancelled"))]
    elif job.status in ("waiting", "done", "failed", "cancelled"):
        ways = [("reset", job._replace(status="new", wanted="", why=""))]
    for verb, row in ways:
        model.table.take(job.status, row.status, "verb")
        for instances in raised(state.instances):
            to = state._replace(job=row, instances=tuple(sorted(instances)), verbs=verbs)
            yield Step(f"person: {verb}", False, to)
    if may_run(job) and state.batch and all(b.payload != "alive" for b in state.batch):  # he has looked
        batch = tuple(sorted(b._replace(payload="killed") if b.payload == "node" else b for b in state.batch))
        row = job._replace(status="new", wanted="", why="")
        for instances in raised(state.instances):
            to = state._replace(job=row, instances=tuple(sorted(instances)), batch=batch, verbs=verbs)
            yield Step("person: reset --ended", False, to)


def _backup(model: ExactlyOnce, state: State) -> Iterator[Step]:
    if state.backup == () and (model.without != "restored" or state.instances == (IDLE, IDLE)):
        yield Step("a backup is made", False, state._replace(backup=(state.job,)))
    elif state.backup and isinstance(state.backup[0], Job):
        epoch = "future" if model.without == "restored" else "old"
        instances: list[Instance] = [i if i == IDLE else i._replace(epoch=epoch) for i in state.instances]
        row = state.backup[0]._replace(leased=False)
        to = state._replace(job=row, instances=tuple(sorted(instances)), backup=("used",), restored=True)
        yield Step("THE BACKUP IS RESTORED", False, to)
