"""What is known of the detectors' lines in September 2010. The finder is held against it, never told it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Lines that are there between `low` and `high` Hz, or (not `present`) are not."""

    what: str
    low: float
    high: float
    present: bool = True

    def among(self, frequencies: Iterable[float]) -> list[float]:
        """Those of `frequencies` (Hz) that lie between, sorted."""
        return sorted(frequency for frequency in frequencies if self.low <= frequency <= self.high)

    def holds(self, frequencies: Iterable[float]) -> bool:
        """Whether the lines found at `frequencies` (Hz) agree with it."""
        return bool(self.among(frequencies)) == self.present


# The edges are those of the bins, half of one beyond the frequencies that are named.
_LIGO = (Known("mains at 60 Hz", 59.5, 60.5), Known("violin modes at 343–349 Hz", 342.5, 349.5))
_VIRGO = (
    Known("no line at 60 Hz", 57.5, 62.5, present=False),
    Known("violin modes at 440–470 Hz", 439.5, 470.5),
)
KNOWN = {"H1": _LIGO, "L1": _LIGO, "V1": _VIRGO}
