"""The whole schema as this version's code has it, as SQL.

Migrations are frozen copies of what this gives at their time; a test compares the two. For a new migration, look at
what this prints (`python -m ondeck.db.ddl sqlite`) and write down the difference.
"""

from __future__ import annotations

import sys

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from . import models, tables, triggers
from .base import Base

__all__ = ["models", "statements", "tables"]

STATISTICS = ["CREATE STATISTICS copies_where (mcv) ON storage, status, wanted FROM copies"]
"""PostgreSQL: what goes together. Else the planner expects many copies in an archive to be still missing there."""


def statements(dialect: str) -> list[str]:
    """Tables, indexes and triggers for `dialect` (`sqlite` or `postgresql`), in order."""
    compiler = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}[dialect]()
    out = []
    for table in Base.metadata.sorted_tables:
        elements: list[ExecutableDDLElement] = [CreateTable(table)]
        elements += [CreateIndex(i) for i in sorted(table.indexes, key=lambda i: str(i.name))]
        out += [str(e.compile(dialect=compiler)) for e in elements]
    if dialect == "postgresql":
        out += STATISTICS
    tidy = ["\n".join(line.rstrip() for line in s.strip().expandtabs(4).splitlines()) for s in out]
    return tidy + triggers.statements(dialect)


if __name__ == "__main__":
    print(";\n\n".join(statements(sys.argv[1])), end=";\n")
