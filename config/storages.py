"""[storages.NAME]: a directory at a site which holds copies."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .section import Named, Section
from .units import ConfigPath, Duration, PositiveDuration, PositiveSize, Size
from .wrong import Wrong


class Bundle(Section):
    """[storages.NAME.bundle]: a bundle is written when the first of these is reached."""

    count: int = Field(default=10, ge=1, description="runs in a bundle")
    size: PositiveSize = Field(default=20 * 1000**3, description="bytes in a bundle")
    age: PositiveDuration = Field(
        default=timedelta(days=1), description="how long a bundle waits for more runs"
    )


class Storage(Named):
    """A place for copies. `low` is never without `high`: alone, `high` is both."""

    site: str = Field(description="the site on which it lies", examples=["here"])
    path: ConfigPath = Field(description="its directory there", examples=["raw"])
    kind: Literal["disk", "archive"] = Field(default="disk", description="an archive takes bundles of runs")
    high: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="percent of use above which room is made; without it never",
        examples=[90.0],
    )
    low: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="percent of use at which making room ends; without it: high",
        examples=[80.0],
    )
    capacity: PositiveSize | None = Field(
        default=None, description="percent are of this size instead of the file system's", examples=["2T"]
    )
    reserve: Size = Field(default=1000**3, description="free space that a transfer must leave")
    verify_max_age: Duration = Field(
        default=timedelta(0),
        description="a witness verified longer ago is read again before a copy is removed",
    )
    bundle: Bundle = Field(default=Bundle(), description="when a bundle is written (archives)")

    @model_validator(mode="after")
    def _marks(self) -> Self:
        if self.high is None and self.low is not None:
            raise Wrong(
                "low without high", "say also above which percentage room is made: high = 90.0", key="low"
            )
        if self.high is not None and self.low is not None and self.low > self.high:
            raise Wrong(
                f"above high = {self.high:g}",
                "making room ends at low: give low at most as large as high",
                key="low",
            )
        if "bundle" in self.model_fields_set and self.kind != "archive":
            raise Wrong("only archives have bundles", 'write kind = "archive" in this storage', key="bundle")
        return self._fill(low=self.high) if self.low is None else self
