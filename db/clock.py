"""The database's clock, the only one that leases, back-offs and histories know.

Hosts disagree about the time; the database is one. Tests shorten long waits by an offset added here
(`ONDECK_TEST_CLOCK_OFFSET`, seconds).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Dialect, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

NOW: Final = object()
"""Stands for the database's time among the columns that `steps.advance` sets."""

_offset = float(os.environ.get("ONDECK_TEST_CLOCK_OFFSET", "0"))


def set_offset(seconds: float) -> None:
    """Add `seconds` to the database's time as this process sees it (tests only)."""
    global _offset
    _offset = seconds


class UTCDateTime(TypeDecorator[datetime]):
    """An aware point in time: TIMESTAMPTZ on PostgreSQL, fixed-width UTC text (sortable) on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type in `dialect`."""
        return TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Python to database; a naive time is an error of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone: {value!r}")
        if dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")  # years have four digits

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Database to Python, aware, in UTC. A text that was typed by hand may say its zone."""
        if value is None:
            return None
        when = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads like SQL's now()
    """The database's time, in statements made by SQLAlchemy."""

    type = UTCDateTime()
    inherit_cache = False  # the offset stands in the text


@compiles(now)
def _now(_element: now, compiler: SQLCompiler, **_kw: Any) -> str:
    return now_sql(compiler.dialect.name)


class created(FunctionElement[datetime]):  # noqa: N801 - a column default, free of the tests' offset
    """The time a row is made, as a column's default."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(created)
def _created(_element: created, compiler: SQLCompiler, **_kw: Any) -> str:
    if compiler.dialect.name == "postgresql":
        return "statement_timestamp()"
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


def now_sql(dialect: str) -> str:
    """SQL text for the database's time."""
    if dialect == "postgresql":
        return "statement_timestamp()" + (f" + interval '{_offset!r} seconds'" if _offset else "")
    shift = f", '{_offset!r} seconds'" if _offset else ""
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{shift}) || '000')"


def later_sql(dialect: str, parameter: str) -> str:
    """SQL text for the database's time plus the bound number of seconds `:parameter`."""
    if dialect == "postgresql":
        return f"{now_sql(dialect)} + make_interval(secs => :{parameter})"
    shift = f", '{_offset!r} seconds'" if _offset else ""
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{shift}, :{parameter} || ' seconds') || '000')"


def database_time(session: Session) -> datetime:
    """What time it is by the database's clock."""
    name = session.get_bind().dialect.name
    value = session.execute(text(f"SELECT {now_sql(name)}")).scalar_one()
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
