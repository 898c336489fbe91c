"""Backups of a run database, and their return: as an administrator does it while the daemons are stopped."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy import make_url

from .postgresql import PostgresqlServer


def back_up(url: str, folder: Path, server: Callable[[], PostgresqlServer]) -> Callable[[], None]:
    """Copy the database at `url`; what is returned puts the copy in its place, whatever has happened since."""
    name = str(make_url(url).database)
    if url.startswith("sqlite"):
        kept = folder / "backup.db"
        with contextlib.closing(sqlite3.connect(name)) as old, contextlib.closing(sqlite3.connect(kept)) as new:
            old.backup(new)

        def restore() -> None:
            for end in ("-wal", "-shm"):
                Path(name + end).unlink(missing_ok=True)
            Path(name).write_bytes(kept.read_bytes())

        return restore
    admin = server().admin_url.replace("+psycopg2", "")
    copy = f"{name}_backup"
    _execute(admin, "CREATE DATABASE {} TEMPLATE {}", copy, name)

    def put_back() -> None:
        _execute(admin, "DROP DATABASE {} WITH (FORCE)", name)
        _execute(admin, "CREATE DATABASE {} TEMPLATE {}", name, copy)

    return put_back


def _execute(admin: str, statement: str, *names: Any) -> None:
    connection = psycopg2.connect(admin)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    finally:
        connection.close()
