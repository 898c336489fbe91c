"""Where messages go: one file a kind of sink. May import `db`. Kinds are entry points of the group `ondeck.sinks`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from ..config.errors import OndeckError


class SinkAway(OndeckError):
    """sink {sink} can't be reached: {words}."""


class SinkRefused(OndeckError):
    """sink {sink} refuses the message: {words}."""


@dataclass(frozen=True)
class Message:
    """A message to be delivered. `id` is the same each time it is tried."""

    id: str
    subject: str
    body: str


class Sink(ABC):
    """A kind of sink. `Options` are its keys in ondeck.toml."""

    Options: ClassVar[type[BaseModel]]

    def __init__(self, name: str, options: Any) -> None:
        self.name, self.options = name, options

    @abstractmethod
    def send(self, message: Message) -> None:
        """Deliver one message. Raises SinkAway (try again later) or SinkRefused (it will never be taken)."""
