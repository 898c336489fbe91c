"""Conditions of listeners: what a parameter of a run must be.

A value of another type than the condition's does not match; it is never an error. Of a list it is enough
that one element matches (for `not`: none of them may be among the values).
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from .wrong import Wrong

Scalar = str | int | float | bool

_RIGHT = (
    "give a value, a list of values, or one of "
    '{not = [..]}, {contains = ".."}, {bits = N}, {min = .., max = ..}'
)


class Condition(ABC):
    """What one parameter must be."""

    def matches(self, value: object) -> bool:
        """Whether the value of a run's parameter fulfils this. Never raises."""
        if isinstance(value, (list, tuple, set, frozenset)):
            return any(self._one(item) for item in value)
        return self._one(value)

    @abstractmethod
    def _one(self, value: object) -> bool: ...

    @abstractmethod
    def words(self) -> str:
        """The condition in plain words, such as `is one of 1, 2`."""

    @abstractmethod
    def toml(self) -> Any:
        """The condition as it is written in ondeck.toml."""

    @abstractmethod
    def examples(self) -> Iterator[Scalar]:
        """Some values that match (all, when they are finite in number), the plainest first."""


@dataclass(frozen=True)
class Equals(Condition):
    """Exactly this value."""

    value: Scalar

    def _one(self, value: object) -> bool:
        return _same(self.value, value)

    def words(self) -> str:
        return f"is {_word(self.value)}"

    def toml(self) -> Any:
        return self.value

    def examples(self) -> Iterator[Scalar]:
        yield self.value


@dataclass(frozen=True)
class OneOf(Condition):
    """One of these values."""

    values: tuple[Scalar, ...]

    def _one(self, value: object) -> bool:
        return any(_same(mine, value) for mine in self.values)

    def words(self) -> str:
        return f"is one of {_list(self.values)}"

    def toml(self) -> Any:
        return list(self.values)

    def examples(self) -> Iterator[Scalar]:
        yield from self.values


@dataclass(frozen=True)
class Not(Condition):
    """None of these values. A run that has no such parameter matches."""

    values: tuple[Scalar, ...]

    def matches(self, value: object) -> bool:
        return not OneOf(self.values).matches(value)

    def _one(self, value: object) -> bool:
        return self.matches(value)

    def words(self) -> str:
        return (
            f"is not {_word(self.values[0])}" if len(self.values) == 1 else f"is none of {_list(self.values)}"
        )

    def toml(self) -> Any:
        return {"not": list(self.values)}

    def examples(self) -> Iterator[Scalar]:
        others = (f"other{number}" if number else "other" for number in range(len(self.values) + 1))
        yield from (value for value in others if self.matches(value))


@dataclass(frozen=True)
class Contains(Condition):
    """A text which has this in it, whatever the case of its letters."""

    text: str

    def _one(self, value: object) -> bool:
        return isinstance(value, str) and self.text.casefold() in value.casefold()

    def words(self) -> str:
        return f"contains {_word(self.text)}"

    def toml(self) -> Any:
        return {"contains": self.text}

    def examples(self) -> Iterator[Scalar]:
        yield self.text


@dataclass(frozen=True)
class Bits(Condition):
    """A whole number, not negative, in which all these bits are set."""

    bits: int

    def _one(self, value: object) -> bool:
        return _is_int(value) and value >= 0 and value & self.bits == self.bits

    def words(self) -> str:
        return f"has all bits of {self.bits} (0x{self.bits:x})"

    def toml(self) -> Any:
        return {"bits": self.bits}

    def examples(self) -> Iterator[Scalar]:
        yield self.bits

    def least(self, minimum: float) -> int:
        """The smallest number with all these bits that is not below `minimum`."""
        floor = max(0, math.ceil(minimum))
        if floor & self.bits == self.bits:
            return floor
        # The answer shares floor's bits above some place, has 1 there where floor has 0, and then only ours.
        places = range(max(floor.bit_length(), self.bits.bit_length()) + 1)
        raised = (((floor >> place) | 1) << place | (self.bits & ((1 << place) - 1)) for place in places)
        return min(number for number in raised if number >= floor and number & self.bits == self.bits)


@dataclass(frozen=True)
class Range(Condition):
    """A number from `minimum` to `maximum`, both included; None is open."""

    minimum: int | float | None = None
    maximum: int | float | None = None

    def _one(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return False
        return (self.minimum is None or value >= self.minimum) and (
            self.maximum is None or value <= self.maximum
        )

    def words(self) -> str:
        if self.minimum is None:
            return f"is at most {self.maximum}"
        if self.maximum is None:
            return f"is at least {self.minimum}"
        return f"is from {self.minimum} to {self.maximum}"

    def toml(self) -> Any:
        ends = {"min": self.minimum, "max": self.maximum}
        return {key: end for key, end in ends.items() if end is not None}

    def examples(self) -> Iterator[Scalar]:
        yield from (end for end in (self.minimum, self.maximum) if end is not None)


def parse_condition(value: object) -> Condition:
    """A condition from what stands in the file. Raises Wrong when it is none, or could never choose."""
    match value:
        case Condition():
            return value
        case str() | int() | float() | bool():
            return Equals(_scalar(value))
        case list():
            return OneOf(_scalars(value, "an empty list matches nothing"))
        case dict():
            return _of_table(value)
    raise Wrong("not a condition", _RIGHT)


def _of_table(table: dict[str, object]) -> Condition:
    match sorted(table):
        case ["not"]:
            inner = table["not"]
            return Not(
                _scalars(inner if isinstance(inner, list) else [inner], "an empty list excludes nothing")
            )
        case ["contains"]:
            text = table["contains"]
            if not isinstance(text, str) or not text:
                raise Wrong("contains needs a text", 'write {contains = "part of the text"}')
            return Contains(text)
        case ["bits"]:
            bits = table["bits"]
            if not _is_int(bits) or bits <= 0:
                raise Wrong("bits needs a whole number above 0", "write {bits = 6}, or {bits = 0b110}")
            return Bits(bits)
        case ["max"] | ["min"] | ["max", "min"]:
            ends = [table.get(key) for key in ("min", "max")]
            if not all(end is None or _is_number(end) for end in ends):
                raise Wrong("min and max need numbers", "write {min = 1, max = 5}, or one of them")
            low, high = ends
            if _is_number(low) and _is_number(high) and low > high:
                raise Wrong("min is above max, so nothing can match", "write the smaller number as min")
            return Range(*(end if _is_number(end) else None for end in ends))
    raise Wrong("not a condition", _RIGHT)


def _scalars(values: list[Any], empty: str) -> tuple[Scalar, ...]:
    if not values:
        raise Wrong(empty, "list the values, or leave the key out to take any")
    return tuple(_scalar(value) for value in values)


def _scalar(value: object) -> Scalar:
    if isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise Wrong("a parameter can't be compared with this", "give texts, finite numbers, true or false")


def _same(mine: Scalar, value: object) -> bool:
    if isinstance(mine, str) or isinstance(value, str) or isinstance(mine, bool) or isinstance(value, bool):
        return type(mine) is type(value) and mine == value
    return isinstance(value, (int, float)) and mine == value


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[int | float]:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _word(value: Scalar) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: tuple[Scalar, ...]) -> str:
    return ", ".join(_word(value) for value in values)


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_LIST_SCHEMA: dict[str, Any] = {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1}


def _table_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "minProperties": 1, "additionalProperties": False}


CONDITION_SCHEMA: dict[str, Any] = {
    "description": "a value, a list of values, not, contains (whatever the case), bits (all set), min, max",
    "anyOf": [
        _SCALAR_SCHEMA,
        _LIST_SCHEMA,
        _table_schema(**{"not": {"anyOf": [_SCALAR_SCHEMA, _LIST_SCHEMA]}}),
        _table_schema(contains={"type": "string", "minLength": 1}),
        _table_schema(bits={"type": "integer", "minimum": 1}),
        _table_schema(min={"type": "number"}, max={"type": "number"}),
    ],
}

AnyCondition = Annotated[
    InstanceOf[Condition],
    BeforeValidator(parse_condition),
    PlainSerializer(lambda condition: condition.toml()),
    WithJsonSchema(CONDITION_SCHEMA),
]
