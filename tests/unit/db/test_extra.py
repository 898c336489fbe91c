from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.db.extra import TYPES, value_of

_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
_PYTHON = {"text": str, "integer": int, "real": float, "boolean": bool, "time": datetime}


@given(kind=st.sampled_from(list(TYPES)), value=_ANY)
def test_a_value_is_of_the_column_s_type_or_nothing(kind: str, value: Any) -> None:
    made = value_of(kind, value)
    if made is not None:
        assert type(made) is _PYTHON[kind]
        if kind == "integer":
            assert -(2**63) <= made < 2**63
        if kind == "real":
            assert math.isfinite(made)
        if kind == "time":
            assert made.utcoffset() is not None
            assert made.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        ("text", 5, "5"), ("text", True, "true"), ("integer", 5.0, 5), ("integer", 5.5, None), ("integer", True, None),
        ("real", 5, 5.0), ("real", True, None), ("real", json.loads("1e999"), None), ("boolean", 1, None),
        ("boolean", False, False), ("time", "2026-01-31", "2026-01-31T00:00:00+00:00"), ("time", 5, None),
        ("integer", 2**63, None), ("real", 10**400, None),
    ],
)  # fmt: skip
def test_values(kind: str, value: Any, made: Any) -> None:
    got = value_of(kind, value)
    assert (got.isoformat() if isinstance(got, datetime) else got) == made
