"""[sites.NAME]: a place, how it is reached, and the batch system that it may have."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from .section import Named, Plugged
from .units import ConfigPath, Duration, PositiveDuration

LOCAL_SLOTS = 2


class Batch(Plugged):
    """[sites.NAME.batch]. Its system's own keys are in `options` (`table`: as written)."""

    group: ClassVar[str] = "ondeck.batch"
    type_key: ClassVar[str] = "system"

    system: str = Field(description="name of the batch system", examples=["local"])
    slots: int | None = Field(
        default=None,
        ge=1,
        description="jobs at once; without it 2 for local and no limit elsewhere",
        examples=[2],
    )
    poll: PositiveDuration = Field(
        default=timedelta(seconds=2), description="shortest time between two questions"
    )
    grace: Duration = Field(
        default=timedelta(seconds=60),
        description="how long an attempt may be invisible before it counts as absent",
    )
    lost_after: PositiveDuration = Field(
        default=timedelta(hours=1),
        description="started, then neither exit file nor verdict for so long: a person must look",
    )

    @model_validator(mode="after")
    def _local_has_no_queue(self) -> Self:
        return self._fill(slots=LOCAL_SLOTS) if self.system == "local" and self.slots is None else self


class Site(Named):
    """A place."""

    transport: Literal["local"] = Field(description="how the site is reached", examples=["local"])
    work: ConfigPath = Field(
        description="directory at the site in which the attempts' directories are made", examples=["work"]
    )
    batch: Batch | None = Field(
        default=None, description="the batch system there; without it no jobs run there"
    )
