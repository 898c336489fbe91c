"""What happens around the workers of the model of removals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.deletion_state import State
from models.deletion_worker import idle
from models.search import Step, put

if TYPE_CHECKING:
    from models.deletion import Deletion


def free_events(model: Deletion, state: State) -> Iterator[Step]:
    """What comes of itself, sooner or later."""
    for c in range(3):
        for label, to in (*_around(model, state, c), *_restore(model, state, c)):
            yield Step(label, True, to)
    x = state.looking
    if x is not None:
        to = state._replace(looking=None, reads=put(state.reads, x, state.reads[x] | {"job"}))
        yield Step(f"a job starts to read {x}", True, to)


def _around(model: Deletion, state: State, c: int) -> Iterator[tuple[str, State]]:
    disk, status = model.disks[c], state.status[c]
    home, owner = state.root[c] == disk, state.owner[c]
    if not home:
        yield f"{c} is mounted again", state._replace(root=put(state.root, c, disk))
    if state.leased[c] and (owner is None or state.workers[owner].step == "idle"):
        yield f"the lease of {c} runs out", state._replace(leased=put(state.leased, c, False))
    if "job" in state.reads[c]:
        yield f"a job has read {c}", state._replace(reads=put(state.reads, c, state.reads[c] - {"job"}))
    if not home or state.leased[c]:
        return
    renamed = state.name[disk] is not None
    if status == "verified" and not state.pins[c] and (state.data[disk] != "good" or renamed):
        yield f"somebody reads {c}: suspect", model.suspect(state, c)
    if status == "suspect" and renamed and model.on["rename back"]:
        yield f"the suspect {c} gets its name back", state._replace(name=put(state.name, disk, None))
    if status == "suspect" and state.data[disk] == "good" and not renamed:
        yield f"the suspect {c} is read: verified", model.move(state, c, "verified")


def _restore(model: Deletion, state: State, c: int) -> Iterator[tuple[str, State]]:
    """Copies are written anew from others, where that makes sense: each copy on a disk of its own."""
    disk, status = model.disks[c], state.status[c]
    damaged = status == "suspect" and state.data[disk] != "good" and model.on["repair"]
    if len(set(model.disks)) == 3 and ((status == "absent" and state.wanted[c]) or damaged):
        for x in range(3):
            if state.status[x] == "verified" and x != c:
                reads = put(state.reads, x, state.reads[x] | {c})
                yield f"{c} is written anew from {x}", model.move(state, c, "writing")._replace(reads=reads)
    for x in range(3):
        if c not in state.reads[x] or state.root[c] != disk or state.root[x] != model.disks[x]:
            continue
        to = state._replace(reads=put(state.reads, x, state.reads[x] - {c}))
        if state.data[model.disks[x]] == "good" and state.name[model.disks[x]] is None:
            to = model.move(to, c, "verified")
            yield (
                f"{c} is equal to {x}",
                to._replace(
                    wanted=put(to.wanted, c, True), data=put(to.data, disk, "good"), name=put(to.name, disk, None)
                ),
            )
        else:
            yield f"{c} can't be written from {x}", model.suspect(model.move(to, c, "absent"), x)


def events(model: Deletion, state: State) -> Iterator[Step]:
    """What may happen a few times at most; `state` has one less to come."""
    for c in range(3):
        for kind, label, to in _event(model, state, c):
            if kind in model.kinds:
                yield Step(label, False, to)
    if "crash" in model.kinds:
        for i, worker in enumerate(state.workers):
            if worker.step != "idle":
                yield Step(f"{i} CRASHES", False, idle(state, i))


def _event(model: Deletion, state: State, c: int) -> Iterator[tuple[str, str, State]]:
    disk, owner = model.disks[c], state.owner[c]
    if state.data[disk] == "good":
        yield "rot", f"{c} ROTS", state._replace(data=put(state.data, disk, "bad"))
        if c == 0:
            yield "purge", "THE DAQ PURGES 0", state._replace(data=put(state.data, 0, "none"))
    if state.root[c] == disk:
        for other in (None, (disk + 1) % 3, (disk + 2) % 3):
            yield "mount", f"THE ROOT OF {c} SHOWS {other}", state._replace(root=put(state.root, c, other))
    if state.leased[c] and owner is not None and state.workers[owner].step != "idle":
        yield "expire", f"THE LEASE OF {c} RUNS OUT", state._replace(leased=put(state.leased, c, False))
    if not state.wanted[c] and state.status[c] in ("verified", "absent"):
        to = state._replace(
            wanted=put(state.wanted, c, True), owner=put(state.owner, c, None), leased=put(state.leased, c, False)
        )
        yield "want", f"A PERSON WANTS {c}", to
    if state.status[c] == "verified" and state.looking is None and "job" not in state.reads[c]:
        if not model.on["reading lock"]:
            yield "job", f"A JOB LOOKS AT {c}", state._replace(looking=c)
        elif state.wanted[c] and not state.pins[c]:
            to = state._replace(reads=put(state.reads, c, state.reads[c] | {"job"}))
            yield "job", f"A JOB STARTS TO READ {c}", to
