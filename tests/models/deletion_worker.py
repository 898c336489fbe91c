"""How an instance of DiskMonitor removes a copy, one action that can't be divided at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.deletion_state import IDLE, NONE, State, Worker
from models.search import Step, put

if TYPE_CHECKING:
    from models.deletion import Deletion


def work(model: Deletion, state: State, i: int) -> Iterator[Step]:
    """The next actions of worker i."""
    acting = Acting(model, state, i)
    for label, to in getattr(acting, "_" + state.workers[i].step)():
        yield Step(f"{i} at {model.lanes[i]}: {label}", True, to)


def idle(state: State, i: int) -> State:
    """Worker i is done, or forgets: directories that bear its name are left for others to find."""
    names = tuple("left" if name == i else name for name in state.name)
    return state._replace(workers=put(state.workers, i, IDLE), name=names)


class Acting:
    """One worker and what it sees. A method _STEP a step, which gives words and states."""

    def __init__(self, model: Deletion, state: State, i: int) -> None:
        self.model, self.state, self.i, self.on = model, state, i, model.on
        self.copy = model.lanes[i]
        self.me = state.workers[i]
        self.disk = model.disks[self.copy]

    def then(self, step: str, state: State | None = None, **changes: object) -> State:
        """The state when this worker goes on with `step`."""
        base = self.state if state is None else state
        me = self.me._replace(step=step, **changes)  # type: ignore[arg-type]
        return base._replace(workers=put(base.workers, self.i, me))

    def released(self, state: State) -> State:
        """The copy is nobody's."""
        return state._replace(owner=put(state.owner, self.copy, None), leased=put(state.leased, self.copy, False))

    def abort(self, state: State) -> State:
        """It is broken off: name back, copy wanted, receipt closed; what can't be done now is found by others."""
        c, i = self.copy, self.i
        home = state.root[c] == self.disk
        if state.owner[c] != i:  # overtaken: it can write nothing
            if home and state.name[self.disk] == i and self.on["rename back"]:
                state = state._replace(name=put(state.name, self.disk, None))
            return idle(state, i)
        state = self.released(state)
        if not home and self.on["name"]:
            return idle(state, i)
        if home:
            state = state._replace(name=put(state.name, self.disk, None))
        state = idle(state, i)
        if state.status[c] == "deleting":
            if not self.on["give up"]:
                return state
            state = self.model.move(state, c, "suspect")
        elif not self.on["rewant"]:
            return state._replace(pins=put(state.pins, c, None))
        return state._replace(wanted=put(state.wanted, c, True), pins=put(state.pins, c, None))

    # ---- the steps

    def _idle(self) -> Iterator[tuple[str, State]]:
        c, state, on = self.copy, self.state, self.on
        if state.leased[c]:
            return
        taken = state._replace(owner=put(state.owner, c, self.i), leased=put(state.leased, c, True))
        me = Worker(old=state.name[self.disk])
        if state.status[c] == "deleting":
            step = "uuid" if on["name first"] or not on["again"] else "open"
            me = me._replace(step=step, up=step == "uuid")
            yield "takes up deleting", taken._replace(workers=put(state.workers, self.i, me))
        elif state.status[c] == "verified" and state.pins[c]:
            if on["undo"]:
                yield "undoes what was left", self.abort(taken)
        elif state.status[c] == "verified" and state.wanted[c]:
            for some in self.model.witnesses(state, c):
                if not on["lock"]:
                    me = me._replace(step="looked", seen=some, old=None)
                    yield f"(1) looks: {sorted(some)}", taken._replace(workers=put(state.workers, self.i, me))
                elif not (on["pin"] and self.model.pinned(state, c)):
                    yield f"(1) unwanted, pins {sorted(some)}", self.pin(taken, some)

    def pin(self, state: State, some: frozenset[int]) -> State:
        """(1) The copy is unwanted, an open receipt pins its witnesses."""
        c = self.copy
        workers = put(state.workers, self.i, Worker("open"))
        return state._replace(wanted=put(state.wanted, c, False), pins=put(state.pins, c, some), workers=workers)

    def _looked(self) -> Iterator[tuple[str, State]]:
        if self.on["pin"] and self.model.pinned(self.state, self.copy):
            yield "(1) is refused", idle(self.released(self.state), self.i)
        else:
            yield f"(1) writes, pins {sorted(self.me.seen)}", self.pin(self.state, self.me.seen)

    def _open(self) -> Iterator[tuple[str, State]]:
        state, model = self.state, self.model
        todo = (state.pins[self.copy] or NONE) - self.me.seen if self.on["read"] else NONE
        for x in todo:
            disk = state.root[x]
            if not model.at_home(state, x) or disk is None:
                yield f"(2) {x} is not mounted", self.abort(state)
            elif state.data[disk] == "good" and state.name[disk] is None:
                good = self.me.good | {x} if disk == model.disks[x] else self.me.good
                yield f"(2) reads {x}: good", self.then("open", seen=self.me.seen | {x}, good=good)
            else:
                yield f"(2) reads {x}: bad", self.abort(model.suspect(state, x))
        if not todo:
            yield "(2) is done", self.then("ready" if self.me.up else "uuid")

    def _uuid(self) -> Iterator[tuple[str, State]]:
        if not self.model.at_home(self.state, self.copy) or (self.state.root[self.copy] is None and self.on["name"]):
            yield "its own storage is not mounted", self.abort(self.state)
        elif self.on["name"]:
            yield "sees its uuid", self.then("rename")
        else:
            yield "sees its uuid", self.then("open" if self.me.up else "ready")

    def _rename(self) -> Iterator[tuple[str, State]]:
        state, disk = self.state, self.state.root[self.copy]
        if not self.model.at_home(state, self.copy):
            yield "its own storage is not mounted", self.abort(state)
            return
        if disk is not None and state.data[disk] != "none" and state.name[disk] in (None, self.me.old):
            state = state._replace(name=put(state.name, disk, self.i))
        yield "renames", self.then("renamed", state)

    def _renamed(self) -> Iterator[tuple[str, State]]:
        state, disk = self.state, self.disk
        there = state.data[disk] != "none"
        if self.on["seen"] and (state.root[self.copy] != disk or (there and state.name[disk] != self.i)):
            yield "does not see what it has renamed", self.abort(state)
        elif self.me.up:
            step = "gone" if not there else "open" if self.on["again"] else "ready"
            yield "sees what it has renamed", self.then(step)
        else:
            yield "sees what it has renamed", self.then("ready")

    def _ready(self) -> Iterator[tuple[str, State]]:
        c, state, on = self.copy, self.state, self.on
        pins = state.pins[c]
        falls = (
            state.status[c] not in ("verified", "deleting")
            or (on["epoch"] and state.owner[c] != self.i)
            or (on["open"] and pins is None)
            or (on["reader"] and state.reads[c])
            or (on["unwanted"] and state.wanted[c])
            or (on["witnesses"] and any(state.status[x] != "verified" or not state.wanted[x] for x in pins or NONE))
        )
        if falls:
            yield "(3) the proof falls", self.abort(state)
        else:
            good = frozenset(x for x in self.me.good if state.status[x] == "verified")
            yield "(3) -> deleting", self.then("unlink", self.model.move(state, c, "deleting"), good=good)

    def _unlink(self) -> Iterator[tuple[str, State]]:
        state, disk = self.state, self.state.root[self.copy]
        name = self.i if self.on["name"] else None
        if disk is None or not self.model.at_home(state, self.copy) or state.data[disk] == "none":
            yield "(4) finds nothing", self.then("gone")
            return
        if state.name[disk] != name:
            yield "(4) finds nothing of its name", self.then("gone")
            return
        if state.data[disk] in ("good", "part"):
            self.model.look_at_unlinking(state, self.i, disk)
        now = "part" if state.data[disk] in ("good", "bad") else "none"
        names = put(state.name, disk, None) if now == "none" else state.name
        to = state._replace(data=put(state.data, disk, now), name=names)
        yield "(4) unlinks", self.then("gone" if now == "none" else "unlink", to)

    def _gone(self) -> Iterator[tuple[str, State]]:
        c, state = self.copy, self.state
        if state.owner[c] != self.i or state.status[c] != "deleting":
            yield "(5) was overtaken", self.abort(state)
        elif self.on["gone"] and (state.root[c] != self.disk or state.data[self.disk] != "none"):
            yield "(5) something is there still, or the disk away", self.abort(state)
        else:
            if state.data[self.disk] != "none":
                raise self.leak()
            to = idle(self.released(self.model.move(state, c, "absent")), self.i)
            yield "(5) absent", to._replace(pins=put(to.pins, c, None))

    @staticmethod
    def leak() -> Exception:
        """Files of an absent copy."""
        from models.search import Violation

        return Violation("LEAK: an absent copy's files are there")
