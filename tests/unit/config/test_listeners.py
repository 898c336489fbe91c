from __future__ import annotations

import pytest

from ondeck.config.conditions import Contains, OneOf, Range
from ondeck.config.listeners import Listener, Match

RUN = {
    "source": "daq",
    "name": "run7",
    "number": 7,
    "run_type": "Physics",
    "events": 500,
    "params": {"beam": "on", "detmask": 12, "name": "shadow", "events": 3, "tags": ["a", "b"]},
}


def test_each_condition_is_answered() -> None:
    listener = Listener.model_validate(
        {
            "name": "l",
            "sources": ["daq", "other"],
            "match": {"number": {"min": 8}, "run_type": {"contains": "phys"}},
        }
    )
    assert listener.matches(RUN) == [
        Match("source", OneOf(("daq", "other")), "daq", True),
        Match("number", Range(8, None), 7, False),
        Match("run_type", Contains("phys"), "Physics", True),
    ]
    assert not listener.takes(RUN)


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({}, True),
        ({"name": "run7"}, True),
        ({"name": "shadow"}, False),  # the run's own name, whatever its parameters say
        ({"beam": "on", "detmask": {"bits": 4}}, True),
        ({"beam": "on", "detmask": {"bits": 3}}, False),
        ({"events": 3}, True),  # parameters before other columns
        ({"tags": "b"}, True),
        ({"tags": {"not": ["b"]}}, False),
        ({"missing": 1}, False),
        ({"missing": {"not": [1]}}, True),
    ],
)
def test_where_values_come_from(match: dict[str, object], taken: bool) -> None:
    assert Listener.model_validate({"name": "l", "match": match}).takes(RUN) is taken


def test_columns_when_there_is_no_such_parameter() -> None:
    listener = Listener.model_validate({"name": "l", "match": {"events": {"min": 100}}})
    assert listener.takes({"events": 500, "params": {}})
    assert listener.takes({"events": 500, "params": None})
    assert listener.takes({"events": 500})
    assert not listener.takes({})


def test_sources() -> None:
    listener = Listener.model_validate({"name": "l", "sources": ["other"]})
    assert not listener.takes(RUN)
    assert listener.matches(RUN)[0].ok is False
