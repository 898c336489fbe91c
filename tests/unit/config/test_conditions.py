from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.config import Wrong
from ondeck.config.conditions import Bits, Condition, Contains, Equals, Not, OneOf, Range, parse_condition

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=5),
    st.integers(-20, 20),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.none(), st.floats(), st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
CONDITIONS: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Equals, SCALARS),
    st.builds(OneOf, st.lists(SCALARS, min_size=1, max_size=4).map(tuple)),
    st.builds(Not, st.lists(SCALARS, min_size=1, max_size=4).map(tuple)),
    st.builds(Contains, st.text(min_size=1, max_size=4)),
    st.builds(Bits, st.integers(1, 2**40)),
    st.tuples(st.integers(-20, 20), st.integers(0, 20)).map(lambda ends: Range(ends[0], ends[0] + ends[1])),
    st.builds(Range, st.integers(-20, 20), st.none()),
    st.builds(Range, st.none(), st.floats(-5, 5)),
)


@pytest.mark.parametrize(
    ("written", "condition", "words"),
    [
        ("physics", Equals("physics"), 'is "physics"'),
        (3, Equals(3), "is 3"),
        (True, Equals(True), "is true"),
        ([1, 2], OneOf((1, 2)), "is one of 1, 2"),
        ({"not": [1, "a"]}, Not((1, "a")), 'is none of 1, "a"'),
        ({"not": "a"}, Not(("a",)), 'is not "a"'),
        ({"contains": "phy"}, Contains("phy"), 'contains "phy"'),
        ({"bits": 6}, Bits(6), "has all bits of 6 (0x6)"),
        ({"min": 1, "max": 5}, Range(1, 5), "is from 1 to 5"),
        ({"min": 1.5}, Range(1.5, None), "is at least 1.5"),
        ({"max": 0}, Range(None, 0), "is at most 0"),
    ],
)
def test_each_form(written: object, condition: Condition, words: str) -> None:
    assert parse_condition(written) == condition
    assert condition.words() == words


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([], "matches nothing"),
        ({}, "not a condition"),
        ({"not": []}, "excludes nothing"),
        ({"nott": [1]}, "not a condition"),
        ({"contains": ""}, "needs a text"),
        ({"contains": 3}, "needs a text"),
        ({"bits": 0}, "above 0"),
        ({"bits": True}, "above 0"),
        ({"bits": -1}, "above 0"),
        ({"bits": "3"}, "above 0"),
        ({"min": "a"}, "need numbers"),
        ({"min": 3, "max": 2}, "min is above max"),
        ({"min": True}, "need numbers"),
        ({"max": float("nan")}, "need numbers"),
        ({"max": float("inf")}, "need numbers"),
        ({"min": 1, "not": [2]}, "not a condition"),
        (None, "not a condition"),
        ([[1]], "can't be compared"),
        ([{}], "can't be compared"),
        (float("nan"), "can't be compared"),
        ({"not": [None]}, "can't be compared"),
        ({"not": {}}, "can't be compared"),
        (b"x", "not a condition"),
    ],
)
def test_what_is_no_condition(written: object, message: str) -> None:
    with pytest.raises(Wrong, match=message):
        parse_condition(written)


@pytest.mark.parametrize(
    ("condition", "right", "wrong"),
    [
        (Equals("a"), ["a", ["b", "a"], ("a",)], ["A", "ab", 1, None, [], [["a"]], {"a": 1}]),
        (Equals(1), [1, 1.0, [0, 1]], [True, "1", 2, None]),
        (Equals(True), [True], [1, 1.0, "true", "True", False, None]),
        (OneOf(("L1CaloCombined", "LArgL1CaloCombined")), ["L1CaloCombined"], ["l1calocombined", "", None]),
        (
            Not(("L1CaloEnergyScan",)),
            ["other", None, 3, [], {}],
            ["L1CaloEnergyScan", ["x", "L1CaloEnergyScan"]],
        ),
        (
            Contains("larcalib"),
            ["LarCalibL1Calo", "xLARCALIBx", ["a", "larcalib"]],
            ["larcali", None, 3, b"larcalib"],
        ),
        (Contains("straße"), ["STRASSE"], ["STRASE"]),
        (Bits(6), [6, 7, 14, 532575944710, [1, 6]], [2, 4, 0, -2, 6.0, "6", True, None]),
        (Range(1, 5), [1, 5, 3.5, [0, 2]], [0, 6, 5.0001, "3", True, None, float("nan"), [[3]]]),
        (Range(None, 5), [-(10**400), 5], [6, float("inf"), float("nan")]),
        (Range(5, None), [10**400, 5, float("inf")], [4.9, -float("inf")]),
    ],
)
def test_matching(condition: Condition, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not condition.matches(value)] == []
    assert [value for value in wrong if condition.matches(value)] == []


@given(CONDITIONS, VALUES)
def test_matching_never_raises(condition: Condition, value: object) -> None:
    assert condition.matches(value) in (True, False)


@given(CONDITIONS)
def test_a_condition_is_read_back_as_it_was_written(condition: Condition) -> None:
    assert parse_condition(condition.toml()) == condition
    assert condition.words()


@given(CONDITIONS)
def test_its_examples_match(condition: Condition) -> None:
    assert all(condition.matches(value) for value in condition.examples())


@given(VALUES)
def test_anything_is_a_condition_or_refused_in_words(value: object) -> None:
    try:
        found: object = parse_condition(value)
    except Wrong as wrong:
        found = wrong
    assert isinstance(found, Condition) or (isinstance(found, Wrong) and found.wrong and found.right)


@given(st.integers(1, 2**12), st.integers(0, 2**12))
def test_the_least_number_with_bits_is_the_least(bits: int, minimum: int) -> None:
    expected = next(n for n in range(minimum, 2**14) if n & bits == bits)
    assert Bits(bits).least(minimum) == expected


def test_huge_values_are_only_values() -> None:
    huge = "physics\n\0ü" * 1_000_000
    assert Contains("PHYSICS").matches(huge)
    assert not Equals("physics").matches(huge)
    assert not Range(0, 1).matches(huge)
