"""What all tables share: the declarative base, column types, and the mixin of rows that are worked on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
    type_annotation_map = {
        int: Key,
        str: Text,
        datetime: UTCDateTime,
        dict[str, Any]: Document,
        list[Any]: Document,
    }


def one_of(name: str, column: str, words: tuple[str, ...]) -> CheckConstraint:
    """A constraint: `column` is one of `words`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(w)) for w in words)})", name=name)


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
        return (one_of("status_known", "status", STATUSES[table]), *extra)


class Created:
    """When a row was made, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=created())
