"""[listeners.NAME]: which runs are ours, and what is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from .conditions import AnyCondition, Condition, OneOf
from .section import Named

RUN_KEYS = ("name", "number", "run_type")
"""Keys of a match which are the run's own; all others are its parameters first."""


class Match(NamedTuple):
    """How one condition of a listener fared with a run."""

    key: str
    condition: Condition
    value: Any
    ok: bool


class Listener(Named):
    """A rule: all conditions must hold (none = any run)."""

    sources: tuple[str, ...] = Field(
        default=(), description="sources it listens to; empty: any", examples=[["daq"]]
    )
    match: Mapping[str, AnyCondition] = Field(
        default={},
        description="what the run's parameters must be (also name, number, run_type)",
        examples=[{"run_type": "physics"}],
    )
    modules: tuple[str, ...] = Field(
        default=(), description="modules that its runs get", examples=[["checksums"]]
    )
    storage: str | None = Field(
        default=None,
        description="the storage that its runs are copied to; none where there is nothing to copy",
        examples=["disk"],
    )
    archive: str | None = Field(
        default=None,
        description="the archive that its runs are written to; without it they are not archived",
        examples=["tape"],
    )
    archive_when: Literal["ondeck", "processed"] = Field(
        default="ondeck", description="when its runs are archived"
    )
    min_events: int = Field(
        default=0, ge=0, lt=2**63, description="with fewer events, jobs wait for validation"
    )
    min_copies: int = Field(default=1, ge=1, le=100, description="witnesses needed before a copy is removed")
    priority: int = Field(
        default=0,
        ge=-1_000_000,
        le=1_000_000,
        description="of two listeners that match a run, the higher takes it",
    )

    def matches(self, run: Mapping[str, Any]) -> list[Match]:
        """How each condition fares with a run; the listener takes it when all are `ok`.

        `run` holds source, name, number, run_type … and `params`, a mapping. The source comes first.
        """
        answers = []
        if self.sources:
            condition = OneOf(self.sources)
            answers.append(
                Match("source", condition, run.get("source"), condition.matches(run.get("source")))
            )
        params = run.get("params")
        given: Mapping[str, Any] = params if isinstance(params, Mapping) else {}
        for key, wanted in self.match.items():
            own = key in RUN_KEYS or key not in given
            value = run.get(key) if own else given[key]
            answers.append(Match(key, wanted, value, wanted.matches(value)))
        return answers

    def takes(self, run: Mapping[str, Any]) -> bool:
        """Whether all conditions hold."""
        return all(answer.ok for answer in self.matches(run))
