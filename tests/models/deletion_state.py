"""What the model of removals is about: the copies of one run on three disks, and those who remove them."""

from __future__ import annotations

from typing import NamedTuple

RULES: dict[str, str] = {
    "daq": "the DAQ's copy alone is no witness",
    "verified": "(1) a witness is verified",
    "wanted": "(1) a witness is wanted",
    "one disk": "(1) two storages with one uuid are one",
    "pin": "a pinned copy can't be made unwanted",
    "lock": "(1) looks and writes under the run row's lock",
    "read": "(2) the witnesses are read again",
    "epoch": "(3) the epoch still holds",
    "open": "(3) the receipt is still open",
    "reader": "(3) nobody reads the copy",
    "mounted": "a storage that is missing, or has another uuid, is left alone",
    "witnesses": "(3) the witnesses are still verified and wanted",
    "unwanted": "(3) the copy is still unwanted",
    "reading lock": "who starts to read locks the run row and sees a verified copy",
    "name": "the directory gets a name of copy and epoch before (3), and files are unlinked only in there",
    "seen": "after the renaming its own uuid and the renamed directory are seen",
    "gone": "(5) its own uuid is seen, and no files are",
    "again": "who takes up a deleting copy does (2) and (3) again first",
    "name first": "who takes up a deleting copy renames its directory first",
    "give up": "deleting -> suspect when the proof falls at the taking up",
    "rewant": "a removal that is broken off closes the receipt and makes the copy wanted again",
    "undo": "a receipt that was left open without `deleting` is undone by whoever finds it",
    "rename back": "whoever breaks off gives the directory its name back, and so does who finds it later",
    "suspect": "verified -> suspect closes the copy's own receipt and makes it wanted again",
    "repair": "a suspect copy is written anew from a verified one",
}
"""Rules of the protocol; each can be left out."""

Copies = tuple[str, str, str]
NONE: frozenset[int] = frozenset()


class Worker(NamedTuple):
    """An instance of DiskMonitor before its next action. `seen`: witnesses read; `old`: the directory's name when it
    took the copy up; `up`: it took up a deleting copy; `good`: witnesses read back whole (only the checker knows)."""

    step: str = "idle"
    seen: frozenset[int] = NONE
    old: object = None
    up: bool = False
    good: frozenset[int] = NONE


class State(NamedTuple):
    """Copy by copy, disk by disk.

    `data`: good, bad, part (half unlinked), none. `name` of the directory: None its own, a worker's number: renamed
    under its epoch, "left": under an epoch that is over. `root`: which disk is seen there, None: none. `owner`: whose
    epoch it is. `pins`: witnesses of the open receipt. `reads`: who reads the copy ("job", or the copy it is restored
    to). `looking`: a job is about to read it. `left`: events that may still come.
    """

    status: Copies
    wanted: tuple[bool, ...]
    data: tuple[str, ...]
    name: tuple[object, ...]
    root: tuple[int | None, ...]
    owner: tuple[int | None, ...]
    leased: tuple[bool, ...]
    pins: tuple[frozenset[int] | None, ...]
    reads: tuple[frozenset[object], ...]
    looking: int | None
    workers: tuple[Worker, ...]
    left: int


IDLE = Worker()
