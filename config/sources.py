"""[sources.NAME]: where runs come from."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from .section import Named, Plugged
from .wrong import Wrong


def _begin(value: str) -> str:
    if value in ("now", "all") or (value.startswith("after:") and len(value) > len("after:")):
        return value
    raise Wrong(
        "not a place to begin", 'give "now", "all" or "after:RUN" (the name of the last run not to take)'
    )


Begin = Annotated[
    str, AfterValidator(_begin), WithJsonSchema({"type": "string", "pattern": "^(now|all|after:.+)$"})
]


class Source(Named, Plugged):
    """A source. The keys of its kind are in `options` (`table` as they were written)."""

    internal: ClassVar[frozenset[str]] = frozenset({"name", "table", "options"})
    group: ClassVar[str] = "ondeck.sources"
    type_key: ClassVar[str] = "type"

    type: str = Field(description="kind of the source", examples=["directory"])
    storage: str | None = Field(default=None, description="the storage that holds its runs", examples=["daq"])
    begin: Begin | None = Field(
        default=None,
        description="first run to take: now, all or after:RUN; without it you are asked if there are many",
        examples=["now", "all", "after:RUN"],
    )
    remove: Literal["never", "ondeck", "archived"] = Field(
        default="never", description="when the source's copy of a run may go, by proof only"
    )
