"""[retry]: how long ondeck waits after trouble that is not a run's fault, and how often it tries."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from .section import Section
from .units import PositiveDuration, format_duration
from .wrong import Wrong


class Retry(Section):
    """Back-off of machinery: the n-th wait is first * factor**(n-1), at most `longest`."""

    first: PositiveDuration = Field(default=timedelta(seconds=10), description="wait after the first failure")
    factor: float = Field(default=2.0, ge=1.0, le=100.0, description="how much longer each further wait is")
    longest: PositiveDuration = Field(default=timedelta(minutes=30), description="no wait is longer")
    max_tries: int = Field(default=20, ge=1, le=1_000_000, description="tries of one row before it is failed")
    breaker: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="different rows in a row with trouble at one site that pause it but for trials",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest < self.first:
            right = f'give at least first = "{format_duration(self.first)}"'
            raise Wrong(
                "shorter than the first wait", right, key="longest", value=format_duration(self.longest)
            )
        return self
