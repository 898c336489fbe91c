"""Where runs come from: one file a kind of source. May import `db` and `sites`.

A source only looks; RunsProvider decides and writes. Kinds are entry points of the group `ondeck.sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel

from ..sites.storage import Storage
from ..sites.work import Work


@dataclass(frozen=True)
class Found:
    """A run as its source has it. `path` is relative to the source's storage, `nbytes` in bytes.

    `error` says what is wrong with it; then the rest is not to be used. `bare`: it only has no file of parameters.
    """

    name: str
    path: str
    nbytes: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    bare: bool = False


class Source(ABC):
    """A kind of source. `Options` are its keys in ondeck.toml."""

    Options: ClassVar[type[BaseModel]]

    def __init__(self, name: str, options: Any, storage: Storage) -> None:
        self.name, self.options, self.storage = name, options, storage

    @abstractmethod
    def complete(self, work: Work) -> list[str]:
        """The names of all runs there that are complete, in their natural order."""

    @abstractmethod
    def details(self, names: Sequence[str], work: Work) -> list[Found]:
        """What is known of the runs `names`; a run that is not there is missing from the answer."""
