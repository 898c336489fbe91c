"""What a poll costs depends on the rows that wait, not on those that are archived.

Beside many archived runs there are few that wait. Everything that a daemon asks in one step is counted in work, not in
time: on SQLite the instructions of its virtual machine, on PostgreSQL the pages that are touched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from support.postgresql import PostgresqlServer

from ondeck.config import Config, load
from ondeck.daemons.attemptrows import open_attempts
from ondeck.daemons.base import Daemon, Lane
from ondeck.daemons.concluding import Concluder
from ondeck.daemons.diskmonitor import DiskMonitor
from ondeck.daemons.gathering import Gatherer
from ondeck.daemons.joborganizer import JobOrganizer
from ondeck.daemons.messenger import Messenger
from ondeck.daemons.process import Process
from ondeck.daemons.runsprovider import RunsProvider
from ondeck.daemons.submission import Submitter
from ondeck.daemons.transfer import Transfer
from ondeck.db.engine import Database
from ondeck.db.models import Bundle, Copy, Job, Run
from ondeck.db.schema import create
from ondeck.db.steps import Claim, advance, claim, hold_on, look, release, renew
from ondeck.db.tables import Outbox
from ondeck.rules import gates, probes
from ondeck.tools.disks import all_disks, initialise

RUNS = 10_000
AT_MOST = {"sqlite": 20_000, "postgresql": 150}
"""Instructions, or pages: for one statement. To look at every run once costs more than three times as much."""

CONFIG = """
name = "plans"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
slots = 2
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
high = 90
low = 80
capacity = "1T"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[sources.daq]
type = "directory"
storage = "daq"
remove = "archived"
[listeners.all]
modules = ["sums"]
storage = "disk"
archive = "tape"
[modules.sums]
template = "sums.sh"
site = "here"
[sinks.mail]
type = "mail"
host = "127.0.0.1"
port = 9
sender = "a@example.org"
recipients = ["b@example.org"]
"""

ARCHIVED = """
INSERT INTO runs (name, number, listener, status, to_archive) SELECT 'r' || i, i, 'all', 'archived', true FROM NUMBERS
INSERT INTO jobs (run_id, module, status, site) SELECT id, 'sums', 'done', 'here' FROM runs
INSERT INTO attempts (job_id, number, token, site, directory, ended_at)
    SELECT id, 1, 't' || id, 'here', '/none', created_at FROM jobs
INSERT INTO manifests (digest, nbytes, nfiles, content) VALUES ('d', 5, 1, '')
INSERT INTO copies (run_id, storage, path, status, nbytes, manifest, wanted)
    SELECT id, 'daq', name, 'absent', 5, 'd', false FROM runs
INSERT INTO copies (run_id, storage, path, status, nbytes, manifest, wanted)
    SELECT id, 'disk', 'daq/' || name, 'absent', 5, 'd', false FROM runs
INSERT INTO bundles (storage, path, status) SELECT 'tape', 'b' || id, 'verified' FROM runs WHERE number % 4 = 0
INSERT INTO copies (run_id, storage, path, form, status, nbytes, manifest, verified_at, bundle_id)
    SELECT id, 'tape', 'daq/' || name, 'bundled', 'verified', 5, 'd', created_at, 1 FROM runs
INSERT INTO receipts (copy_id, opened_at, closed_at, outcome, rule, actor)
    SELECT id, created_at, created_at, 'removed', 'full', 'x' FROM copies WHERE storage = 'disk'
INSERT INTO outbox (stream, sink, subject, body, status) SELECT 'runs', 'mail', 's', 'b', 'sent' FROM runs
INSERT INTO inbox (topic, sha256, body, status) SELECT 't', name, '', 'done' FROM runs
"""

WAITING = """
INSERT INTO runs (name, listener, status) SELECT 'acquired' || i, 'all', 'acquired' FROM NUMBERS WHERE i <= 3
INSERT INTO runs (name, listener, status) SELECT 'processing' || i, 'all', 'processing' FROM NUMBERS WHERE i <= 6
INSERT INTO jobs (run_id, module, status, site)
    SELECT id, 'sums', 'blocked', 'here' FROM runs WHERE name = 'processing1'
INSERT INTO jobs (run_id, module, status, site) SELECT id, 'sums', 'new', 'here' FROM runs WHERE name = 'processing2'
INSERT INTO jobs (run_id, module, status, site)
    SELECT id, 'sums', 'pending', 'here' FROM runs WHERE name = 'processing3'
INSERT INTO jobs (run_id, module, status, site)
    SELECT id, 'sums', 'running', 'here' FROM runs WHERE name = 'processing4'
INSERT INTO jobs (run_id, module, status, site)
    SELECT id, 'sums', 'running', 'here' FROM runs WHERE name = 'processing5'
INSERT INTO jobs (run_id, module, status, site)
    SELECT id, 'sums', 'waiting', 'here' FROM runs WHERE name = 'processing6'
INSERT INTO runs (name, listener, status, to_archive)
    SELECT 'processed' || i, 'all', 'processed', true FROM NUMBERS WHERE i <= 3
INSERT INTO copies (run_id, storage, path, status, nbytes, manifest, verified_at)
    SELECT id, 'disk', 'daq/' || name, 'verified', 5, 'd', created_at FROM runs WHERE status <> 'archived'
INSERT INTO copies (run_id, storage, path, form, status, nbytes) SELECT id, 'tape', '', 'bundled', 'absent', 5 FROM runs
    WHERE status = 'processed'
INSERT INTO runs (name, listener, status) VALUES ('failed', 'all', 'failed')
INSERT INTO outbox (stream, sink, subject, body, status, not_before)
    VALUES ('runs', 'mail', 's', 'b', 'queued', '9000-01-01')
INSERT INTO sites (name, paused_at, paused_by) SELECT 'here', created_at, 'x' FROM runs WHERE number = 1
"""


def statements(block: str, dialect: str) -> Iterator[str]:
    numbers = f"generate_series(1, {RUNS}) AS n(i)"
    if dialect == "sqlite":
        numbers = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {RUNS}) SELECT i FROM n)"
    for sql in block.strip().replace("\n    ", " ").splitlines():
        yield sql.replace("NUMBERS", numbers)


class Filled(NamedTuple):
    """A run database with many archived runs."""

    db: Database
    config: Config


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("plans")
    for name in ("daq", "raw", "archive", "work", "templates"):
        (folder / name).mkdir()
    (folder / "templates" / "sums.sh").write_text("true\n")
    (folder / "ondeck.toml").write_text(CONFIG)
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/ondeck.db"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create()
    create(url)
    db, config = Database(url), load(folder / "ondeck.toml")
    for disk in all_disks(config):
        initialise(config, db, disk)
    with db.write() as session:
        for block in (ARCHIVED, WAITING):
            for sql in statements(block, db.dialect):
                session.connection().exec_driver_sql(sql.replace("%", "%%") if db.dialect == "postgresql" else sql)
    if db.dialect == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    yield Filled(db, config)
    db.dispose()


class Cost(NamedTuple):
    """What one statement costs, in the unit of AT_MOST."""

    work: int
    sql: str


class Meter:
    """Notes the statements that are executed, and does each once more to see what it costs."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._seen: list[tuple[str, Any]] = []

    def costs(self, run: Callable[[], object]) -> list[Cost]:
        """What the statements of `run` cost; each is done in a transaction of the meter's own, and taken back."""
        self._seen.clear()
        listener = (self.db.engine, "before_cursor_execute", self._note)
        event.listen(*listener)
        try:
            run()
        finally:
            event.remove(*listener)
        raw = self.db.engine.raw_connection()
        try:
            again = self._steps if self.db.dialect == "sqlite" else self._pages
            return [Cost(again(raw.dbapi_connection, sql, parameters), sql) for sql, parameters in self._seen]
        finally:
            raw.rollback()
            raw.close()

    def _note(self, _connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if sql.lstrip().upper().startswith(("SELECT", "WITH", "UPDATE", "INSERT")):
            self._seen.append((sql, parameters))

    @staticmethod
    def _steps(connection: Any, sql: str, parameters: Any) -> int:
        count = 0

        def more() -> int:
            nonlocal count
            count += 100
            return 0

        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.set_progress_handler(more, 100)
        connection.execute(sql, parameters).fetchall()
        connection.set_progress_handler(None, 0)
        return count

    @staticmethod
    def _pages(connection: Any, sql: str, parameters: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
            plan = cursor.fetchone()[0]
        top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def dear(filled: Filled, run: Callable[[], object]) -> list[Cost]:
    """The statements of `run` that cost too much."""
    costs = Meter(filled.db).costs(run)
    assert costs, "nothing was asked"
    return [cost for cost in costs if cost.work > AT_MOST[filled.db.dialect]]


def in_write(filled: Filled, ask: Callable[[Session], object]) -> list[Cost]:
    """The same, of what is asked in one transaction, which is taken back."""

    def run() -> None:
        with filled.db.write() as session:
            ask(session)
            session.rollback()

    return dear(filled, run)


def test_the_meter_sees_a_scan(filled: Filled) -> None:
    """Without an index every archived run is looked at: the meter must tell."""
    scan = "SELECT count(*) FROM runs WHERE comments = 'x'"
    assert in_write(filled, lambda session: session.execute(text(scan)))
    assert in_write(
        filled, lambda session: session.execute(text("SELECT max(id) FROM runs WHERE status = 'cancelled'"))
    )


# ---- whole steps ----

DAEMONS: list[tuple[type[Daemon], str]] = [
    (RunsProvider, "daq"),
    (Transfer, "daq"),
    (JobOrganizer, "runs"),
    (Process, "here"),
    (Process, "(runs)"),
    (DiskMonitor, "daq"),
    (DiskMonitor, "disk"),
    (DiskMonitor, "tape"),
    (Messenger, "mail"),
]


@pytest.mark.parametrize(("kind", "lane"), DAEMONS, ids=[f"{kind.name}-{lane}" for kind, lane in DAEMONS])
def test_a_step_costs_what_waits(filled: Filled, kind: type[Daemon], lane: str) -> None:
    daemon = kind(filled.config, filled.db)
    assert lane in daemon.lanes()
    place = Lane(lane, daemon.name)
    try:
        daemon.step(place)  # what can be done is done
        assert dear(filled, lambda: daemon.step(place)) == []
    finally:
        daemon.close(place)


# ---- single questions ----

LEASE = timedelta(seconds=60)

CLAIMS: list[tuple[type[Any], str, str]] = [
    *((Run, s, "") for s in ("acquired", "transferring", "ondeck", "processing")),
    *((Job, s, "site = 'here'") for s in ("waiting", "blocked", "new", "submitting", "pending", "running")),
    (Run, "acquired", "listener IS NULL AND source = 'daq'"),
    (Run, "processed", "id IN (1, 2, 3)"),
    (Copy, "deleting", "id = 5"),
    (Copy, "verified", "id = 5 AND wanted"),
    (Copy, "suspect", "id = 5"),
    (Bundle, "open", "id = 5"),
    (Bundle, "writing", "storage = 'tape' AND status <> 'verified'"),
    (Outbox, "queued", "sink = 'mail'"),
    (Outbox, "sending", "sink = 'mail'"),
]


@pytest.mark.parametrize(("model", "status", "where"), CLAIMS, ids=[f"{m.__tablename__}-{s}" for m, s, _ in CLAIMS])
def test_a_claim_costs_what_waits(filled: Filled, model: type[Any], status: str, where: str) -> None:
    assert in_write(filled, lambda session: claim(session, model, status, 10, lease=LEASE, where=where)) == []


HELD = [Claim("runs", number, "archived", 0) for number in range(1, 4)]

QUESTIONS: dict[str, Callable[[Filled, Session], object]] = {
    "advance": lambda f, s: advance(s, HELD, "archived", "why"),
    "renew": lambda f, s: renew(s, HELD, LEASE),
    "release": lambda f, s: release(s, HELD),
    "hold_on": lambda f, s: hold_on(s, HELD),
    "look": lambda f, s: look(s, Run, range(1, 11)),
    "live jobs": lambda f, s: gates.live_jobs(s, "here"),
    "data": lambda f, s: gates.data(s, 7, "disk"),
    "space": lambda f, s: (
        probes.record(s, "space", "disk", {"free": 10}, LEASE),
        gates.space(s, f.config, "disk", 5),
    ),
    "open attempts": lambda f, s: open_attempts(s, "here"),
    "candidates": lambda f, s: Submitter(f.config, f.db, "here", None, LEASE).candidates(s, 10),  # type: ignore[arg-type]
    "concluding": lambda f, s: list(Concluder(f.config, f.db, LEASE).ready(s)),
    "waiting for the archive": lambda f, s: Gatherer(f.config, f.db, "tape").waiting(s),
    "bundles that are due": lambda f, s: Gatherer(f.config, f.db, "tape").due(s),
    "the next bundle": lambda f, s: Gatherer(f.config, f.db, "tape").next_due(s),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_costs_what_waits(filled: Filled, question: str) -> None:
    assert in_write(filled, lambda session: QUESTIONS[question](filled, session)) == []
