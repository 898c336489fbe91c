"""Whether two listeners could both take one run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from .conditions import Bits, Condition, Contains, Equals, OneOf, Range, Scalar
from .listeners import Listener

_TYPED = (Contains, Bits, Range)


class Overlap(NamedTuple):
    """A run that both would take; parameters of which no example is known are absent."""

    example: dict[str, Scalar]

    def words(self) -> str:
        """The run in words."""
        from .problems import toml_value

        pairs = " and ".join(f"{key} = {toml_value(value)}" for key, value in self.example.items())
        return f"a run with {pairs}" if pairs else "any run"


def overlap(one: Listener, other: Listener) -> Overlap | None:
    """None when no run can match both (a parameter is taken to be one value, not a list of them)."""
    example: dict[str, Scalar] = {}
    sources = set(one.sources or other.sources) & set(other.sources or one.sources)
    if (one.sources or other.sources) and not sources:
        return None
    if sources:
        example["source"] = min(sources)
    for key in sorted({*one.match, *other.match}):
        conditions = [listener.match[key] for listener in (one, other) if key in listener.match]
        if len(conditions) == 2 and disjoint(*conditions):
            return None
        witness = next(_witnesses(conditions), None)
        if witness is not None:
            example[key] = witness
    return Overlap(example)


def disjoint(one: Condition, other: Condition) -> bool:
    """Whether it is certain that no single value fulfils both conditions."""
    for finite, second in ((one, other), (other, one)):
        if isinstance(finite, (Equals, OneOf)):
            return not any(second.matches(value) for value in finite.examples())
        if isinstance(finite, Range) and finite.minimum is not None and finite.minimum == finite.maximum:
            return not second.matches(finite.minimum) and not _whole_match(finite.minimum, second)
    if isinstance(one, Contains) or isinstance(other, Contains):
        return isinstance(one, (Bits, Range)) or isinstance(other, (Bits, Range))
    if isinstance(one, Range) and isinstance(other, Range):
        return _highest(one) < _lowest(other) or _highest(other) < _lowest(one)
    for bits, numbers in ((one, other), (other, one)):
        if isinstance(bits, Bits) and isinstance(numbers, Range):
            lowest = _lowest(numbers)
            return bits.least(lowest if lowest > -math.inf else 0) > _highest(numbers)
    return False


def _whole_match(number: float, condition: Condition) -> bool:
    """A range from 4.0 to 4.0 holds the whole number 4 too."""
    return number == int(number) and condition.matches(int(number))


def _lowest(numbers: Range) -> float:
    return -math.inf if numbers.minimum is None else numbers.minimum


def _highest(numbers: Range) -> float:
    return math.inf if numbers.maximum is None else numbers.maximum


def _witnesses(conditions: list[Condition]) -> Iterator[Scalar]:
    """Values that fulfil all the conditions, as far as they can be guessed."""
    guesses: list[Scalar] = [
        value for condition in conditions for value in itertools.islice(condition.examples(), 1000)
    ]
    texts = [condition.text for condition in conditions if isinstance(condition, Contains)]
    masks = [condition for condition in conditions if isinstance(condition, Bits)]
    lowest = max((_lowest(c) for c in conditions if isinstance(c, Range)), default=0)
    if texts:
        guesses += ["".join(texts), *(f"{''.join(texts)}-{number}" for number in range(1000))]
    if masks:
        union = Bits(0)
        for mask in masks:
            union = Bits(union.bits | mask.bits)
        start = union.least(lowest if lowest > -math.inf else 0)
        guesses += [start, *(start | 1 << place for place in range(64))]
    if not texts and not masks:
        base = lowest if lowest > -math.inf else 0
        guesses += [base + step for step in range(1000)]
    yield from (value for value in guesses if all(condition.matches(value) for condition in conditions))
