"""What all tables share: the declarative base, column types, and the mixin of rows that are worked on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, Integer, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from .clock import UTCDateTime, created
from .states import STATUSES

Key = BigInteger().with_variant(Integer, "sqlite")
"""Row numbers; SQLite gives them by itself only to INTEGER."""

Document = JSON().with_variant(JSONB, "postgresql")


class Base(DeclarativeBase):
    """All tables of the run database."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: Key,
        str: Text,
        datetime: UTCDateTime,
        dict[str, Any]: Document,
        list[Any]: Document,
    }


def one_of(name: str, column: str, words: tuple[str, ...]) -> CheckConstraint:
    """A constraint: `column` is one of `words`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(w)) for w in words)})", name=name)


def as_typed(
    texts: Iterable[str], numbers: Iterable[str], times: Iterable[str], documents: Mapping[str, str]
) -> tuple[CheckConstraint, ...]:
    """Constraints: the columns hold what their types say (`documents`: column → JSON's object or array).

    SQLite takes anything in any column, and one such row, typed by hand or by a DAQ, would stop all who read it.
    """
    sqlite = {
        **{f"{c}_text": f"typeof({c}) = 'text'" for c in texts},
        **{f"{c}_whole_number": f"typeof({c}) IN ('integer', 'null')" for c in numbers},
        **{
            f"{c}_time": f"{c} IS NULL OR {c} GLOB '????-??-??*' AND julianday({c}) IS NOT NULL"
            f" AND date(substr({c}, 1, 10), '+0 days') = substr({c}, 1, 10)"
            for c in times
        },
        **{f"{c}_{kind}": f"json_valid({c}) AND json_type({c}) = '{kind}'" for c, kind in documents.items()},
    }
    postgresql = {f"{c}_{kind}": f"jsonb_typeof({c}) = '{kind}'" for c, kind in documents.items()}
    return (
        *(CheckConstraint(sql, name=name).ddl_if(dialect="sqlite") for name, sql in sqlite.items()),
        *(CheckConstraint(sql, name=name).ddl_if(dialect="postgresql") for name, sql in postgresql.items()),
    )


def waiting_in_line(table: str, status: str, *before: str) -> Index:
    """The partial index of the rows that wait in `status`, in the order in which they are claimed.

    What a poll costs depends on the rows that wait, not on those of years past. Queries must write the
    status as a literal, else the planner can't choose the index.
    """
    columns = [*(text(c) for c in before), text("priority DESC"), text("id")]
    return Index(
        f"{table}_{status}",
        *columns,
        postgresql_where=text(f"status = '{status}'"),
        sqlite_where=text(f"status = '{status}'"),
    )


class Worked:
    """A row that daemons work on, one at a time, under a lease.

    `epoch` rises with each claim and each verb; whoever writes under an older one changes nothing.
    `steps` rises with each step; `actor` and `reason` say by whom and why the last one was taken.
    """

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-10)
    status: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    lease_until: Mapped[datetime | None]
    leased_by: Mapped[str | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime | None]
    blocked_by: Mapped[str | None]
    blocked_since: Mapped[datetime | None]
    reason: Mapped[str | None]
    actor: Mapped[str | None]
    steps: Mapped[int] = mapped_column(server_default=text("0"))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        table: str = cls.__tablename__  # type: ignore[attr-defined]
        extra: tuple[Any, ...] = getattr(cls, "constraints", ())
        numbers: dict[str, Any] = {"sqlite_autoincrement": True}  # none is given twice: histories hang on them
        held = text("lease_until IS NOT NULL")  # few rows are: who looks for those of the dead reads no others
        leased = Index(f"{table}_leased", "leased_by", postgresql_where=held, sqlite_where=held)
        return (one_of("status_known", "status", STATUSES[table]), *extra, leased, numbers)


class Created:
    """When a row was made, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=created())
