"""What can go wrong with the run database."""

from __future__ import annotations

from ..config.errors import OndeckError


class DatabaseError(OndeckError):
    """The run database can't be used."""


class NetworkFileSystem(DatabaseError):
    """The SQLite database {path} lies on {kind}, a network file system, where
    locks can't be trusted: put it on a local disk, or use PostgreSQL (postgresql://…)."""


class UnsupportedDatabase(DatabaseError):
    """The database address {url} is of a kind that ondeck doesn't know: use sqlite:///FILE or postgresql://USER@HOST/NAME."""


class NoSchema(DatabaseError):
    """The database {url} holds no run database yet: make it with `builddb`."""


class OtherSchema(DatabaseError):
    """The database {url} has schema {found}, this version of ondeck needs {needed}:
    upgrade it with `alterdb`, or use the version of ondeck that made it."""


class LeaseLost(DatabaseError):
    """The claim on {rows} is no longer ours: another instance or a person has taken over."""
