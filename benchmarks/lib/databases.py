"""Run databases for benchmarks: a SQLite file, or a PostgreSQL server of the benchmark's own, both durable."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgresql import PostgresqlServer, no_server_because

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "512MB"}
DIALECTS = ("postgresql", "sqlite")


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that goes at the end; by default on a real disk, not in a memory that looks like one."""
    folder = Path(tempfile.mkdtemp(prefix="ondeck-bench-", dir=parent or "/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgresqlServer]:
    """A server in `folder` (new, or left by another run) that gives up no durability."""
    if reason := no_server_because():
        raise SystemExit(reason)
    folder.mkdir(exist_ok=True)
    server = PostgresqlServer(folder, **DURABLE)
    try:
        server.start()
        yield server
    finally:
        server.stop()
