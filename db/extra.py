"""Columns that `alterdb add-param` has added to runs: found by comparing the table with the model.

A column takes the run's parameter of the same name; one of another type leaves it empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, Table, Text, inspect, select, update
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, TIMESTAMP
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from .clock import UTCDateTime
from .models import Run

TYPES: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "integer": BigInteger(),
    "real": Float(53),
    "boolean": Boolean(create_constraint=False),
    "time": UTCDateTime(),
}
"""The types of added columns by the names that people use."""

_DECLARED = {
    "sqlite": {"text": "TEXT", "integer": "INTEGER", "real": "REAL", "boolean": "BOOLEAN", "time": "TIMESTAMP"},
    "postgresql": {
        "text": "text", "integer": "bigint", "real": "double precision", "boolean": "boolean", "time": "timestamptz",
    },
}  # fmt: skip
_BIGGEST = 2**63
_BATCH = 500


def declared(dialect: str, kind: str) -> str:
    """SQL for the type `kind`, one of TYPES."""
    return _DECLARED[dialect][kind]


def extra_columns(session: Session) -> dict[str, str]:
    """Name → type (one of TYPES) of the columns of runs that are not the model's own, in their order."""
    own = {column.name for column in Run.__table__.columns}
    found = inspect(session.connection()).get_columns("runs")
    return {column["name"]: _kind(column["type"]) for column in found if column["name"] not in own}


def _kind(given: TypeEngine[Any]) -> str:
    match given:
        case Boolean():
            return "boolean"
        case Integer():
            return "integer"
        case Float() | DOUBLE_PRECISION():
            return "real"
        case TIMESTAMP():
            return "time"
    return "time" if given.__visit_name__ in ("TIMESTAMP", "datetime", "timestamp") else "text"


def runs_with(extras: Mapping[str, str]) -> Table:
    """The table runs with its added columns, for queries."""
    own = [Column(c.name, c.type, primary_key=c.primary_key) for c in Run.__table__.columns]
    return Table("runs", MetaData(), *own, *(Column(name, TYPES[kind]) for name, kind in extras.items()))


def fill(session: Session, params_of: Mapping[int, Mapping[str, Any]]) -> int:
    """Set the added columns of runs (by id) from their parameters; returns how many runs have got something."""
    extras = extra_columns(session)
    if not extras or not params_of:
        return 0
    table, count = runs_with(extras), 0
    for run_id, params in params_of.items():
        values = {name: value_of(kind, params.get(name)) for name, kind in extras.items()}
        given = {name: value for name, value in values.items() if value is not None}
        if given:
            session.execute(update(table).where(table.c.id == run_id).values(given))
            count += 1
    return count


def fill_batch(session: Session, after: int) -> tuple[int, int]:
    """Fill the added columns of some runs with an id above `after`: (last id or 0 at the end, how many were filled)."""
    rows = session.execute(select(Run.id, Run.params).where(Run.id > after).order_by(Run.id).limit(_BATCH)).all()
    return (rows[-1].id if rows else 0), fill(session, {row.id: row.params for row in rows})


def value_of(kind: str, value: Any) -> Any:
    """`value` as a column of the type `kind` takes it; None when it is of another type."""
    match kind, value:
        case "text", bool():
            return "true" if value else "false"
        case "text", str() | int() | float():
            return str(value)
        case "boolean", bool():
            return value
        case ("integer", bool()) | ("real", bool()):
            return None
        case "integer", int() if -_BIGGEST <= value < _BIGGEST:
            return value
        case "integer", float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case "real", int() | float():
            return _real(value)
        case "time", str():
            return _moment(value)
    return None


def _real(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _moment(value: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(value)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
