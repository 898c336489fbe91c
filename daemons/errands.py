"""Errands: runs that are to be copied, from where to where, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config.listeners import Listener
from ..db.models import Run
from ..db.steps import Claim
from ..sites.storage import Manifest, Storage

LARGE = 64_000_000
"""Bytes from which on a run is copied by itself."""
BATCH = 100
"""Most small runs that are copied together,"""
BATCH_BYTES = 256_000_000
"""and their most bytes."""


@dataclass(eq=False)
class Errand:
    """One run to be copied. `manifest`: what it consists of, once that was read at its source."""

    claim: Claim
    run: Run
    listener: Listener
    source: Storage
    source_path: str
    target: Storage
    path: str
    manifest: Manifest | None = None

    @property
    def part(self) -> str:
        """The name under which the copy is written: it bears the epoch, so that an older holder writes elsewhere."""
        return f"{self.folder}/.{self.name}.{self.claim.epoch}.part"

    @property
    def folder(self) -> str:
        """The directory at the target in which the copy lies."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The copy's name in its directory."""
        return self.path.rpartition("/")[2]

    @property
    def in_place(self) -> bool:
        """Whether the data lie already where they are wanted."""
        return self.source.name == self.target.name

    @property
    def content(self) -> Manifest:
        """The manifest, which was read by now."""
        assert self.manifest is not None
        return self.manifest


def by_itself(run: Run) -> bool:
    """Whether a run is copied by itself: it is large."""
    return (run.nbytes or 0) > LARGE


def together(runs: Sequence[Run], large: int) -> list[Run]:
    """Those of `runs` (all for one storage, in their order) that are begun in one step.

    Up to `large` large ones, and as many small ones as go together. Runs that had trouble go in smaller company the
    more often they had it, in the end alone: so one that spoils it for all is found.
    """
    found: list[Run] = []
    small: list[Run] = []
    nbytes = 0
    for run in runs:
        if by_itself(run):
            if large > 0:
                found.append(run)
                large -= 1
        elif not small or (
            run.tries == small[0].tries
            and len(small) < max(1, BATCH // 3**run.tries)
            and nbytes + (run.nbytes or 0) <= BATCH_BYTES
        ):
            small.append(run)
            nbytes += run.nbytes or 0
    return found + small
