"""Breadth first through all states that a model can reach."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from ondeck.db.states import LEGAL_STEPS

T = TypeVar("T")


class Violation(Exception):
    """A rule of the model does not hold."""


class IllegalStep(Violation):
    """The model wants a step that the run database refuses."""


class Step(NamedTuple):
    """What may happen next: `free` without a fault, a person, or anything else that is not bound to come."""

    label: str
    free: bool
    state: Hashable


class Model(Protocol):
    """States are hashable; two that are equal have the same future."""

    def start(self) -> Hashable: ...

    def check(self, state: Hashable) -> None:
        """Raises Violation."""

    def steps(self, state: Hashable) -> Iterator[Step]:
        """Raises Violation, too."""

    def at_rest(self, state: Hashable) -> bool:
        """Whether the state is one of those that must be reachable by free steps from everywhere."""


class Found(NamedTuple):
    """What a search has found: a violation and the shortest way to it, or none. `whole`: all states were seen."""

    states: int
    violation: str | None
    trace: tuple[str, ...]
    whole: bool

    def words(self) -> str:
        """For a person: what was found, and how one gets there."""
        how = "" if self.whole or self.violation else ", cut off"
        return "\n    ".join((f"{self.states} states{how}: {self.violation or 'holds'}", *self.trace))


def put(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    """The tuple with another value at `index`."""
    return (*values[:index], value, *values[index + 1 :])


class Table:
    """The legal steps of one table of the run database, and which of them a model has taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.legal = {(step.source, step.to, who) for step in LEGAL_STEPS[name] for who in step.who}
        self.taken: set[tuple[str, str, str]] = set()

    def take(self, source: str, to: str, who: str) -> None:
        """A row goes from `source` to `to`; raises IllegalStep where the run database would refuse that."""
        if source == to:
            return
        if (source, to, who) not in self.legal:
            raise IllegalStep(f"{self.name}: {source} -> {to} by {who} is no legal step")
        self.taken.add((source, to, who))

    def not_taken(self) -> set[tuple[str, str]]:
        """Legal steps that nobody has taken in the model."""
        taken = {(source, to) for source, to, _ in self.taken}
        return {(step.source, step.to) for step in LEGAL_STEPS[self.name]} - taken


def search(model: Model, limit: int = 3_000_000, *, rest: bool = True) -> Found:
    """Look at all states, at most about `limit`; with `rest` also whether each can come to rest by free steps."""
    start = model.start()
    index: dict[Hashable, int] = {start: 0}
    states, parents, labels = [start], array("i", [-1]), [""]
    free_to, free_from = array("i"), array("i")

    def found(at: int, words: str, *more: str) -> Found:
        trace = [*reversed(more)]
        while at > 0:
            trace.append(labels[at])
            at = parents[at]
        return Found(len(states), words, tuple(reversed(trace)), False)

    at = 0
    while at < len(states) < limit:
        try:
            model.check(states[at])
            for label, free, state in model.steps(states[at]):
                seen = index.get(state)
                if seen is None:
                    seen = index[state] = len(states)
                    states.append(state)
                    parents.append(at)
                    labels.append(label)
                if free and rest:
                    free_to.append(seen)
                    free_from.append(at)
        except Violation as violation:
            return found(at, str(violation))
        at += 1
    if at < len(states):
        return Found(len(states), None, (), False)
    if rest:
        good = reaching(len(states), free_from, free_to, (i for i, s in enumerate(states) if model.at_rest(s)))
        stuck = good.find(0)
        if stuck >= 0:
            return found(stuck, "REST: it can't come to rest by itself", f"=> {states[stuck]}")
    return Found(len(states), None, (), True)


def reaching(count: int, sources: array[int], targets: array[int], goals: Iterable[int]) -> bytearray:
    """For each of `count` states 1 if one of `goals` can be reached from it by the edges, else 0."""
    first, following = array("i", [-1]) * count, array("i", [-1]) * len(targets)
    for edge, target in enumerate(targets):
        following[edge], first[target] = first[target], edge
    good = bytearray(count)
    todo = []
    for goal in goals:
        good[goal] = 1
        todo.append(goal)
    while todo:
        edge = first[todo.pop()]
        while edge >= 0:
            source = sources[edge]
            if not good[source]:
                good[source] = 1
                todo.append(source)
            edge = following[edge]
    return good


def shortest(searches: Iterable[Callable[[], Found]]) -> Found | None:
    """The shortest counterexample among several searches; None when all hold."""
    found = [one for one in (run() for run in searches) if one.violation]
    return min(found, key=lambda one: len(one.trace), default=None)
