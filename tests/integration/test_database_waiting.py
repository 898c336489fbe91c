"""Waiting for what other processes commit, and for a server that comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support.postgresql import PostgresqlServer, no_server_because
from support.rows import make_one

from ondeck.db.engine import Database
from ondeck.db.schema import create

OTHER = """
import sys, time
from ondeck.db.engine import Database
from sqlalchemy import text
database = Database(sys.argv[1])
sys.stdin.readline()
with database.write() as session:
    session.execute(text("INSERT INTO runs (name, status) VALUES ('r' || :n, 'acquired')"), {"n": sys.argv[2]})
    if sys.argv[3] == "rollback":
        session.rollback()
print(time.time(), flush=True)
"""


class Other:
    """Another process that commits, or takes back, a step when it is told to."""

    def __init__(self, url: str, number: int, end: str) -> None:
        command = [sys.executable, "-c", OTHER, url, str(number), end]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def done(self) -> float:
        """When it was done."""
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return float(out)


def test_a_commit_of_another_process_wakes_within_a_second(database: Database, db_url: str) -> None:
    waiter = database.waiter()
    other = Other(db_url, 1, "commit")
    assert not waiter.wait(0.2)
    other.go()
    assert waiter.wait(30)
    woke = time.time()
    assert woke - other.done() < 1.0
    assert not waiter.wait(0.2)
    waiter.close()


def test_what_another_process_takes_back_wakes_nobody(database: Database, db_url: str) -> None:
    waiter = database.waiter()
    other = Other(db_url, 1, "rollback")
    other.go()
    other.done()
    assert not waiter.wait(0.5)
    make_one(database, "runs", "acquired")
    assert waiter.wait(5)
    waiter.close()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    """A server that the test may stop."""
    if reason := no_server_because():
        pytest.skip(reason)
    folder = Path(tmp_path_factory.mktemp("pg"))
    for parent in (folder, *folder.parents[:3]):
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    server = PostgresqlServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_restart_of_the_server_is_survived(own_server: PostgresqlServer) -> None:
    url = own_server.create()
    create(url)
    database = Database(url)
    waiter = database.waiter()
    make_one(database, "runs", "acquired")
    assert waiter.wait(5)

    own_server.stop()
    for _ in range(3):  # the wait says that it broke, and goes on saying so
        with pytest.raises(psycopg2.Error):
            waiter.wait(0.1)
            waiter.wait(0.1)
    with pytest.raises(OperationalError), database.read() as session:
        session.execute(text("SELECT 1"))

    own_server.start()
    assert waiter.wait(10), "what came while it was away is unknown"
    make_one(database, "runs", "acquired")
    assert waiter.wait(5)
    assert not waiter.wait(0.2)
    waiter.close()
    database.dispose()


def test_a_server_that_crashes_loses_no_committed_step(own_server: PostgresqlServer) -> None:
    url = own_server.create()
    create(url)
    database = Database(url)
    make_one(database, "runs", "acquired")
    own_server.stop(signal.SIGQUIT)
    own_server.start()
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM transitions")).scalar_one() == 1
    database.dispose()
