"""A glance at the run database: whether there is anything at all that a step would look at more closely.

Most steps find nothing to do. They cost one statement, which reads the first entry of some small indexes.
"""

from __future__ import annotations

from sqlalchemy import text

from ..db.engine import Database


def anything(db: Database, *rows: str, **values: str) -> bool:
    """Whether one of `rows` is there: SQL from FROM on, constants of the caller with their statuses as literals.

    Nothing else than partial indexes may be needed for it.
    """
    asked = " OR ".join(f"EXISTS (SELECT 1 FROM {one})" for one in rows)
    with db.read() as session:
        return bool(session.execute(text(f"SELECT {asked}"), values).scalar_one())
