"""Inserting what may be there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from .actor import actor
from .base import Base


def insert_new(session: Session, model: type[Base], rows: Sequence[dict[str, Any]], unique: Sequence[str]) -> list[Any]:
    """Insert those of `rows` whose `unique` columns are not there yet; returns the primary keys of the new ones.

    Two instances may do it at once: each row is inserted by one of them. Keys of `rows` are the model's attributes.
    """
    if not rows:
        return []
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert(model) if dialect == "postgresql" else sqlite.insert(model)
    key = inspect(model).primary_key[0]
    statement = insert.on_conflict_do_nothing(index_elements=list(unique)).returning(key)
    return list(session.scalars(statement, list(rows)))


def born(reason: str) -> dict[str, Any]:
    """The columns which say who made a row, and why: its birth in the history."""
    return {"actor": actor(), "reason": reason}
