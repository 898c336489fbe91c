"""The run database.

Revision: 0001, the first
"""

from __future__ import annotations

from alembic import op

from ondeck.migrations.ddl_0001 import POSTGRESQL, SQLITE

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables, indexes and triggers."""
    connection = op.get_bind()
    postgresql = connection.dialect.name == "postgresql"
    for statement in POSTGRESQL if postgresql else SQLITE:
        connection.exec_driver_sql(statement.replace("%", "%%") if postgresql else statement)
