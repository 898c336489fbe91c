"""These tests share one database on PostgreSQL, which is emptied in between."""

from support.emptied import postgresql_url  # noqa: F401
