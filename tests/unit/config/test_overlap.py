from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.config import Config
from ondeck.config.conditions import Condition, Equals, OneOf, parse_condition
from ondeck.config.listeners import Listener
from ondeck.config.overlap import disjoint, overlap

from .conftest import GOOD

SMALL = st.one_of(
    st.integers(-3, 9),
    st.sampled_from(["a", "b", "ab", "AB"]),
    st.booleans(),
    st.lists(st.integers(-3, 9) | st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3),
    st.fixed_dictionaries({"not": st.lists(st.integers(-3, 9), min_size=1, max_size=3)}),
    st.fixed_dictionaries({"contains": st.sampled_from(["a", "b", "ab"])}),
    st.fixed_dictionaries({"bits": st.integers(1, 7)}),
    st.tuples(st.integers(-3, 9), st.integers(0, 6)).map(lambda t: {"min": t[0], "max": t[0] + t[1]}),
    st.fixed_dictionaries({"min": st.integers(-3, 9)}),
    st.fixed_dictionaries({"max": st.integers(-3, 9)}),
).map(parse_condition)
UNIVERSE = [*range(-5, 40), "a", "b", "ab", "AB", "xyz", "abab", True, False, None, 0.5, 3.5]


def listener(name: str, *, sources: tuple[str, ...] = (), **match: object) -> Listener:
    return Listener.model_validate({"name": name, "sources": list(sources), "match": match})


@given(SMALL, SMALL)
def test_certain_means_certain(one: Condition, other: Condition) -> None:
    both = [value for value in UNIVERSE if one.matches(value) and other.matches(value)]
    assert disjoint(one, other) == disjoint(other, one)
    if both:
        assert not disjoint(one, other)


@given(st.dictionaries(st.sampled_from("xy"), SMALL), st.dictionaries(st.sampled_from("xy"), SMALL))
def test_an_example_is_taken_by_both(one: dict[str, Condition], other: dict[str, Condition]) -> None:
    first = Listener.model_validate({"name": "a", "match": one})
    second = Listener.model_validate({"name": "b", "match": other})
    found = overlap(first, second)
    if found is not None and found.example.keys() >= {*one, *other}:
        assert first.takes({"params": found.example})
        assert second.takes({"params": found.example})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("physics", "cosmics"),
        (1, 2),
        (True, 1),
        ([1, 2], [3, 4]),
        ("a", {"not": ["a", "b"]}),
        ([1, 2], {"not": [1, 2]}),
        ({"max": 4}, {"min": 5}),
        ({"min": 1, "max": 3}, 4),
        ({"contains": "a"}, {"min": 1}),
        ({"contains": "A"}, "bcd"),
        ({"bits": 8}, {"max": 7}),
        ({"bits": 5}, {"min": 6, "max": 6}),
        ({"bits": 5}, [1, 4]),
        ({"bits": 1}, {"contains": "1"}),
        ({"min": 4, "max": 4}, {"not": [4]}),
    ],
)
def test_what_excludes_each_other(one: object, other: object) -> None:
    assert disjoint(parse_condition(one), parse_condition(other))
    assert overlap(listener("a", x=one), listener("b", x=other)) is None


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("a", ["b", "a"], 'a run with x = "a"'),
        ({"min": 3}, {"max": 3}, "a run with x = 3"),
        ({"min": 3}, {"max": 8.5}, "a run with x = 3"),
        ({"bits": 2}, {"bits": 4}, "a run with x = 6"),
        ({"bits": 6}, {"min": 9, "max": 14}, "a run with x = 14"),
        ({"contains": "phy"}, {"contains": "sics"}, 'a run with x = "physics"'),
        ({"contains": "phy"}, {"not": ["phy"]}, 'a run with x = "phy-0"'),
        ({"not": ["a"]}, {"not": ["other"]}, 'a run with x = "other1"'),
        ({"min": 3}, {"not": [3, 4]}, "a run with x = 5"),
    ],
)
def test_what_does_not_with_an_example(one: object, other: object, words: str) -> None:
    found = overlap(listener("a", x=one), listener("b", x=other))
    assert found is not None
    assert found.words() == words


def test_other_keys_and_sources() -> None:
    both = overlap(listener("a", x=1), listener("b", y="c"))
    assert both is not None
    assert both.example == {"x": 1, "y": "c"}
    anything = overlap(listener("a"), listener("b"))
    assert anything is not None
    assert anything.words() == "any run"
    assert overlap(listener("a", sources=("p",)), listener("b", sources=("q",))) is None
    shared = overlap(listener("a", sources=("p", "q")), listener("b"))
    assert shared is not None
    assert shared.example == {"source": "p"}


def test_the_file_is_refused_naming_both(wrong: Callable[[str], str]) -> None:
    more = '[listeners.second]\nstorage = "disk"\nmatch = {detmask = {bits = 6}}\n'
    assert wrong(GOOD + more) == (
        "[listeners.second.priority] = 0: listeners all and second could both take a run with detmask = 6; "
        "let their matches exclude each other, or give them different priorities (higher takes it)"
    )


def test_priorities_settle_it(make: Callable[[str], Config]) -> None:
    more = '[listeners.second]\nstorage = "disk"\nmatch = {detmask = {bits = 6}}\npriority = 1\n'
    assert set(make(GOOD + more).listeners) == {"all", "second"}


def test_the_shipped_kind_of_rules_do_not_overlap() -> None:
    """Rules that exclude each other by a tag, as experiments write them."""
    scans = {"run_type": {"contains": "calib"}, "tag": "EnergyScan"}
    rest = {"run_type": {"contains": "calib"}, "tag": {"not": ["EnergyScan", "ParsScan"]}}
    assert overlap(listener("scan", **scans), listener("rest", **rest)) is None
    assert isinstance(parse_condition("x"), Equals)
    assert isinstance(parse_condition(["x"]), OneOf)
