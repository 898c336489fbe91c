"""What Process does, one action that can't be divided at a time; before and after each it may be stopped for long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from models.exactly_once_state import ATTEMPTS, IDLE, LIVE, Batch, Instance, State, bounded, may_run, raised, two
from models.search import Step, put

if TYPE_CHECKING:
    from models.exactly_once import ExactlyOnce

_AS_WANTED = {"": "new", "reset": "new", "hold": "waiting", "cancel": "cancelled"}


def process(model: ExactlyOnce, state: State) -> Iterator[Step]:
    """The next actions of both instances."""
    for i in (0, 1) if state.instances[0] != state.instances[1] else (0,):
        acting = Acting(model, state, state.instances[i], state.instances[1 - i])
        if acting.me.step == "idle":
            yield from acting.take()
        else:
            yield Step(f"crash at {acting.me.step}", False, acting.to("idle"))
            yield from getattr(acting, "_" + acting.me.step.replace(" ", "_"))()


class Acting:
    """One instance, and what it sees. A method _STEP a step."""

    def __init__(self, model: ExactlyOnce, state: State, me: Instance, other: Instance) -> None:
        self.model, self.state, self.me, self.other, self.job = model, state, me, other, state.job
        self.at = model.where(me.number, me.token) if me.number else 0
        self.here = state.directories[self.at]
        listed = (b for b in state.batch if b.listed == "yes")
        self.found = [b for b in listed if (b.directory, b.token) == (self.at, me.token)]

    def to(self, step: str, *, other: Instance | None = None, me: Instance | None = None, **changes: Any) -> State:
        """The state after an action; then comes `step`."""
        then = IDLE if step == "idle" else (me or self.me)._replace(step=step)
        return self.state._replace(instances=two(then, other or self.other), **changes)

    def here_is(self, **changes: Any) -> dict[str, Any]:
        """The change of this attempt's directory."""
        return {"directories": put(self.state.directories, self.at, self.here._replace(**changes))}

    def write(self, step: str, status: str | None = None, **columns: Any) -> State:
        """A write on the condition of the epoch, then `step`; refused: nothing changes, and that was it."""
        me, job = self.me, self.job
        if me.epoch not in ("current", "again"):
            before = {"new": ("new",), "refused": ("submitting",), "sent": ("submitting",)}.get(me.step, LIVE)
            if me.step == "sent" and self.model.without == "token":
                before = ("submitting", "new")
            if self.model.without != "epoch" or job.status not in before:
                return self.to("idle")
        if me.epoch != "current":
            self.model.bad("I5", f"the write of an instance that was overtaken ({me.step}) has effect")
        elif status and self.model.without != "token":  # else it is a protocol of its own
            self.model.table.take(job.status, status, "Process")
        row = job._replace(**columns)
        if status:
            row = row._replace(status=status)
        if step == "idle":
            row = row._replace(leased=False)
        return self.to(step, job=row, me=me._replace(number=row.number, token=row.token))

    def take(self) -> Iterator[Step]:
        """Claim the row."""
        job = self.job
        if job.leased or not (job.status in ("new", *LIVE) or may_run(job)) or bounded(job):
            return
        step = "new" if job.status == "new" else "cancel" if job.wanted else "look"
        me = Instance(step, job.number, job.token, "current")
        for (other,) in raised((self.other,)):
            to = self.to(step, job=job._replace(leased=True), me=me, other=other)
            yield Step(f"claims the row, {step}", True, to)

    # ---- submission

    def _new(self) -> Iterator[Step]:
        number, token = self.me.number + 1, int(self.state.restored) + 1
        if self.model.without == "token":
            me = self.me._replace(number=number, token=token)
            yield Step(f"sets out for attempt {number}", True, self.to("mkdir", me=me))
        else:
            to = self.write("mkdir", "submitting", number=number, token=token)
            yield Step(f"writes attempt {number}, token {token}", True, to)

    def _mkdir(self) -> Iterator[Step]:
        name = f"mkdir {self.me.number}"
        if self.here.token < 0:
            step = "submit" if self.model.without == "token" else "token"
            yield Step(name, True, self.to(step, **self.here_is(token=0)))
        else:
            yield Step(f"{name}: it is there", True, self.to("token" if self.model.without == "mkdir" else "adopt"))

    def _token(self) -> Iterator[Step]:
        yield Step(f"token into {self.me.number}", True, self.to("submit", **self.here_is(token=self.me.token)))

    def _submit(self) -> Iterator[Step]:
        number = self.me.number
        batch = tuple(sorted((*self.state.batch, Batch(self.at, self.me.token))))
        free = self.job._replace(leased=False) if self.me.epoch == "current" else self.job
        yield Step(f"submits {number}", True, self.to("sent", batch=batch))
        yield Step(f"submits {number}, the answer is lost", False, self.to("idle", batch=batch, job=free))
        yield Step(f"the submission of {number} is lost", False, self.to("idle", job=free))
        yield Step(f"the submission of {number} is refused", False, self.to("refused"))

    def _adopt(self) -> Iterator[Step]:
        if self.here.token == 0:
            yield Step("a directory without token", True, self.to("revoke"))
        elif self.here.token == self.me.token:
            yield Step("a directory with our token", True, self.write("idle"))
        else:
            yield Step(f"adopts token {self.here.token}", True, self.write("idle", token=self.here.token))

    def _sent(self) -> Iterator[Step]:
        to = self.write("idle", "pending", number=self.me.number, token=self.me.token)
        yield Step("-> pending", True, to)

    def _refused(self) -> Iterator[Step]:
        yield Step("-> waiting: refused", True, self.write("idle", "waiting", why="refused", number=self.me.number))

    # ---- following

    def _look(self) -> Iterator[Step]:
        if self.here.token > 0 and self.here.token != self.me.token:
            yield Step("another token in the directory", True, self.to("adopt"))
        elif self.here.code >= 0:
            yield Step(f"sees exit code {self.here.code}", True, self.to("ended"))
        elif self.model.without == "order":
            yield Step("sees no exit file", True, self.to("ask"))
        else:
            yield from self._ask()

    def _ask(self) -> Iterator[Step]:
        if not self.found:
            yield Step("not found", True, self.to("revoke"))
        elif self.found[0].phase == "ended":
            yield Step(f"sees verdict {self.found[0].verdict}", True, self.to("verdict"))
        else:
            to = self.write("idle", "waiting" if self.job.status == "waiting" else "pending")
            yield Step("sees it live", True, to)
            yield Step("it is wrongly not listed", False, self.to("revoke"))

    def _decided(self) -> bool:
        """Whether a verdict is about the start that has the claim: then it is the end of the attempt."""
        if not self.found or self.found[0].phase != "ended" or self.here.claim in ("", "process"):
            return False
        if self.found[0].verdict == "75":
            return self.model.without == "code 75"
        return self.model.without == "later start" or self.here.claim == str(self.found[0].start)

    def _read_again(self) -> bool:
        return self.here.code >= 0 and self.model.without != "order"

    def _verdict(self) -> Iterator[Step]:
        if self._read_again():
            yield Step(f"sees exit code {self.here.code}", True, self.to("ended"))
        elif self._decided() or (not self.here.claim and self.model.without == "terminal"):
            yield Step("the verdict ends the attempt", True, self.to("give up"))
        else:
            yield Step("the verdict is not about the start that has the claim", True, self.to("revoke"))

    def _lost(self) -> Iterator[Step]:
        if self._read_again():
            yield Step(f"sees exit code {self.here.code}", True, self.to("ended"))
        elif self._decided():
            yield Step("the verdict ends the attempt", True, self.to("give up"))
        else:
            number = self.me.number
            to = self.write("idle", "waiting", why="may run", number=number)
            yield Step("it has started, no end is seen: -> waiting (may run)", True, to)
            to = self.write("idle", "waiting" if self.job.status == "waiting" else "pending", number=number)
            yield Step("it has started: follows it", True, to)

    # ---- ends

    def _cancel(self) -> Iterator[Step]:
        def end(b: Batch) -> Batch:
            if b not in self.found or b.phase == "ended":
                return b
            payload = "killed" if b.phase in ("payload", "dead") else b.payload
            return b._replace(phase="ended", verdict="cancelled", payload=payload)

        batch = tuple(sorted(map(end, self.state.batch)))
        yield Step(f"cancels {self.me.number} at the batch system", True, self.to("revoke", batch=batch))

    def _revoke(self) -> Iterator[Step]:
        number, claim = self.me.number, self.here.claim
        if self.model.without == "revoke":
            yield Step("gives up without the claim", True, self.to("give up"))
        elif self.here.token < 0:
            yield Step(f"mkdir {number} to take its claim", True, self.to("revoke", **self.here_is(token=0)))
        elif not claim:
            yield Step(f"takes claim {number}", True, self.to("give up", **self.here_is(claim="process")))
        elif claim == "process" and self.model.without != "own claim":
            yield Step(f"claim {number} is Process's already", True, self.to("give up"))
        else:
            yield Step(f"claim {number} is taken", True, self.to("lost"))

    def _end(self, **columns: Any) -> State:
        status = _AS_WANTED[self.job.wanted]
        if not self.job.wanted and self.me.number == ATTEMPTS:  # no try is left
            status = "failed"
        return self.write("idle", status, wanted="", why="held" if status == "waiting" else "", **columns)

    def _give_up(self) -> Iterator[Step]:
        yield Step(f"{self.me.number} is given up", True, self._end(number=self.me.number, token=self.me.token))

    def _ended(self) -> Iterator[Step]:
        if self.here.code == 0 and not self.job.wanted:
            link = self.me.number if self.model.without == "row first" else 0
            yield Step(f"publishes {self.me.number}", True, self.to("done", link=link))
        else:
            yield Step(f"{self.me.number} has ended", True, self._end())

    def _done(self) -> Iterator[Step]:
        to = self.write("idle", "done", why="", published=self.me.number)
        yield Step(f"-> done, published {self.me.number}", True, to)
