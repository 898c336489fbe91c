"""How a benchmark says what it found, and what it ends with."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Sequence

_COMPARE = {">=": operator.ge, "<=": operator.le}


class Verdicts:
    """The cases of one benchmark."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missed: list[str] = []

    def say(self, words: str) -> None:
        """An absolute figure, or whatever else a reader wants to know."""
        print(f"  {words}", flush=True)

    def judge(self, case: str, ratio: float, compare: str, goal: float, name: str | None = None) -> None:
        """Print the line of a case, and remember it when its goal is missed."""
        title = f"{name or self.name}[{case}]"
        print(f"{title}: ratio {ratio:.3f} (goal {compare} {goal:g})", flush=True)
        if not _COMPARE[compare](ratio, goal):
            self.missed.append(title)

    def code(self) -> int:
        """The exit code: 1 when a goal was missed."""
        if self.missed:
            print(f"missed: {', '.join(self.missed)}")
        return 1 if self.missed else 0


def spread(values: Sequence[float]) -> str:
    """Median, least and most of some values."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
