"""A copy is removed only when others have its data: all orders of events for one run with copies 0 (on the DAQ's disk),
1 (the cluster's) and 2 (the archive), and two instances of DiskMonitor.

Each worker may be stopped between any two of its actions and go on later with an old epoch. Events, a few in all, at
any moment: a copy rots, the DAQ purges its own, a storage's root shows no disk or another one's, a lease runs out
although its holder lives, a worker crashes, a person wants a copy again, a job starts to read. Without limit: disks
come back, leases of the dead run out, somebody reads a verified copy and sees what is wrong with it, suspects are read
again, copies are written anew, reading ends.

At each unlinking of files that are still good: D1 another disk has the data whole, or has a witness that this worker
has read back whole for this receipt and that was verified still at the last question (rot after that can't be
excluded; `strict` counts it too); D2 they belong to no witness of an open receipt; D3 nobody reads them; NAME they
belong to a copy that is `deleting`. LEAK when a copy becomes absent its own disk holds no files of it. REST without
further events all receipts come to be closed and no copy stays unwanted, deleting, writing or suspect (unless no whole
copy is left), none absent that is wanted and could be restored.

Not modelled: other people's files in the directory, witnesses that were verified lately.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from models.deletion_events import events, free_events
from models.deletion_state import IDLE, NONE, RULES, State
from models.deletion_worker import work
from models.search import Step, Table, Violation, put

IMPLEMENTED = {
    "daq": "ondeck.daemons.proof:Proof.witnesses",
    "verified": "ondeck.daemons.proof:Proof.witnesses",
    "wanted": "ondeck.daemons.proof:Proof.witnesses",
    "one disk": "ondeck.daemons.proof:Proof.witnesses",
    "pin": "ondeck.db.triggers:postgresql",
    "lock": "ondeck.daemons.removal:Remover._open",
    "read": "ondeck.daemons.proof:Proof.read_witnesses",
    "epoch": "ondeck.daemons.removal:Remover._decide",
    "open": "ondeck.daemons.removal:Remover._decide",
    "reader": "ondeck.daemons.proof:Proof.needed",
    "mounted": "ondeck.sites.storage:Storage.check",
    "witnesses": "ondeck.daemons.removal:Remover._decide",
    "unwanted": "ondeck.daemons.removal:Remover._decide",
    "reading lock": "ondeck.daemons.archiving:Archiver._begin",
    "name": "ondeck.daemons.removal:Remover._rename_to",
    "seen": "ondeck.daemons.removal:Remover._prove_and_remove",
    "gone": "ondeck.daemons.removal:Remover._prove_and_remove",
    "again": "ondeck.daemons.removal:Remover._prove_and_remove",
    "name first": "ondeck.daemons.removal:Remover._prove_and_remove",
    "give up": "ondeck.daemons.removal:Remover._undo",
    "rewant": "ondeck.daemons.removal:Remover._undo",
    "undo": "ondeck.daemons.removal:Remover.take_up",
    "suspect": "ondeck.daemons.proof:Proof._make_suspect",
}
"""Rule → where the code keeps it."""

ELSEWHERE = {
    "repair": "damaged copies are reported, not healed yet; a person does that",
    "rename back": "only by who still holds the copy, and by who finds its receipt open",
}
"""Rules that the code does not keep whole, and what there is."""

ALL = ("rot", "purge", "mount", "expire", "crash", "want", "job")
SHAPES = (((1, 2), (0, 1, 2)), ((1, 1), (0, 1, 2)), ((0, 1), (0, 1, 2)), ((1, 2), (0, 1, 1)))
"""Which copies the workers remove, and on which disk each copy lies."""


class Deletion:
    """The model. `lanes`: for each worker the copy that it removes; `disks`: where each copy lies; `left`: how many
    events there are at most; `without`: a rule that is left out."""

    def __init__(
        self,
        lanes: tuple[int, ...] = (1, 2),
        disks: tuple[int, int, int] = (0, 1, 2),
        left: int = 1,
        *,
        without: str = "",
        minimum: int = 1,
        strict: bool = False,
        kinds: tuple[str, ...] = ALL,
    ) -> None:
        self.lanes, self.disks, self.left = lanes, disks, left
        self.minimum, self.strict, self.kinds = minimum, strict, kinds
        self.on = {rule: rule != without for rule in RULES}
        self.table = Table("copies")

    def start(self) -> State:
        """Three verified copies."""
        return State(
            status=("verified",) * 3,
            wanted=(True,) * 3,
            data=tuple("good" if i in self.disks else "none" for i in range(3)),
            name=(None,) * 3,
            root=self.disks,
            owner=(None,) * 3,
            leased=(False,) * 3,
            pins=(None,) * 3,
            reads=(NONE,) * 3,
            looking=None,
            workers=(IDLE,) * len(self.lanes),
            left=self.left,
        )

    def check(self, state: State) -> None:
        """All that must hold is asked where files are unlinked."""

    def steps(self, state: State) -> Iterator[Step]:
        """What may happen."""
        for i in range(len(self.lanes)):
            yield from work(self, state, i)
        yield from free_events(self, state)
        if state.left:
            yield from events(self, state._replace(left=state.left - 1))

    def at_rest(self, state: State) -> bool:
        """Whether all is as it should be."""
        whole = any(state.status[x] == "verified" and state.data[self.disks[x]] == "good" for x in range(3))
        fine = (
            (state.status[c] == "verified" and state.wanted[c])
            or (state.status[c] == "absent" and not (state.wanted[c] and whole))
            or (state.status[c] == "suspect" and not whole)
            for c in range(3)
        )
        return not any(state.pins) and all(w.step == "idle" for w in state.workers) and all(fine)

    # ---- what several of them need

    def at_home(self, state: State, copy: int) -> bool:
        """Whether a storage shows its own disk, as far as one looks."""
        return state.root[copy] == self.disks[copy] or not self.on["mounted"]

    def move(self, state: State, copy: int, to: str, who: str = "DiskMonitor") -> State:
        """A legal step of a copy."""
        self.table.take(state.status[copy], to, who)
        first, second, third = put(state.status, copy, to)
        return state._replace(status=(first, second, third))

    def suspect(self, state: State, copy: int) -> State:
        """A copy was read and differs."""
        if state.status[copy] != "verified":
            return state
        state = self.move(state, copy, "suspect")
        if not self.on["suspect"]:
            return state
        return state._replace(
            pins=put(state.pins, copy, None),
            wanted=put(state.wanted, copy, True),
            owner=put(state.owner, copy, None),
            leased=put(state.leased, copy, False),
        )

    def witnesses(self, state: State, copy: int) -> Iterator[frozenset[int]]:
        """The sets of witnesses that step (1) may take."""
        fit = [
            x
            for x in range(3)
            if x != copy
            and (state.status[x] == "verified" or not self.on["verified"])
            and (state.wanted[x] or not self.on["wanted"])
            and (self.disks[x] != self.disks[copy] or not self.on["one disk"])
        ]
        for some in combinations(fit, self.minimum):
            if any(some) or not self.on["daq"]:
                yield frozenset(some)

    def pinned(self, state: State, copy: int) -> bool:
        """Whether the copy is a witness of an open receipt."""
        return any(p and copy in p for p in state.pins)

    def look_at_unlinking(self, state: State, i: int, disk: int) -> None:
        """What must hold when worker i unlinks good files on a disk. Raises Violation."""
        here = [x for x in range(3) if self.disks[x] == disk]
        good = state.workers[i].good
        if not any(state.status[x] == "deleting" for x in here):
            raise Violation("NAME: files of a copy that is not deleting")
        if any(p and p & set(here) for p in state.pins):
            raise Violation("D2: files of a witness")
        if any(state.reads[x] for x in here):
            raise Violation("D3: files that somebody reads")
        if not any(
            self.disks[x] != disk and (state.data[self.disks[x]] == "good" or (not self.strict and x and x in good))
            for x in range(3)
        ):
            raise Violation("D1: the last good files")
