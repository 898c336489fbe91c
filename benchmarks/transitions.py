"""Steps a second: ondeck's own claim and advance beside the bare drivers that do the same by hand.

    python benchmarks/transitions.py [--dialect postgresql|sqlite] [--pairs 7] [--batches 50]

A batch is one transaction: 100 acquired runs are claimed in the order of their priority and leased, are moved to
transferring by a compare-and-set on id, status and epoch that ends the lease, and 100 lines of history are written.
ondeck does it with `claim` and `advance`; its triggers refuse illegal steps and write the history. The yardstick is
psycopg2 or sqlite3 with constant statements: claim (with FOR UPDATE SKIP LOCKED where there is such a thing), the
same compare-and-set of all rows in one statement, the history in one INSERT of many rows (`execute_values` with a
page that takes all). Its tables have the same columns, constraints and indexes; only the triggers are dropped.

Both commit once a batch: fsync and synchronous_commit on, or WAL with synchronous=FULL. They take turns, each
beginning every second pair; the ratio is the median of the pairs' ratios of steps a second. Afterwards each run must
have moved once, and its history must say so. Ends with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
from lib.databases import DIALECTS, postgresql, temporary_folder
from lib.verdicts import Verdicts, spread
from psycopg2.extras import execute_values
from sqlalchemy import text

from ondeck.db.actor import set_actor
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.schema import create
from ondeck.db.steps import advance, claim

GOAL = 0.9
BATCH = 100
ACTOR, REASON = "Transfer@bench:1", "being copied to disk"
LEASE = timedelta(seconds=60)

Batches = Callable[[int], None]

PG_CLAIM = """
WITH picked AS MATERIALIZED (SELECT id FROM runs WHERE status = 'acquired'
    AND (lease_until IS NULL OR lease_until <= statement_timestamp())
    AND (not_before IS NULL OR not_before <= statement_timestamp())
    ORDER BY priority DESC, id LIMIT 100 FOR UPDATE SKIP LOCKED)
UPDATE runs SET epoch = epoch + 1, lease_until = statement_timestamp() + interval '60 seconds', leased_by = %s
    FROM picked WHERE runs.id = picked.id RETURNING runs.id, runs.epoch"""
PG_STEP = """
UPDATE runs SET status = 'transferring', steps = steps + 1, actor = %s, reason = %s, lease_until = NULL,
    leased_by = NULL FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, epoch)
    WHERE runs.id = v.id AND runs.epoch = v.epoch AND status = 'acquired' RETURNING runs.id"""
PG_HISTORY = """INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason) VALUES %s"""
PG_ROW = "('runs', %s, 'acquired', 'transferring', clock_timestamp(), %s, %s)"

SQLITE_NOW = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"
SQLITE_CLAIM = f"""
UPDATE runs SET epoch = epoch + 1, lease_until = (strftime('%Y-%m-%d %H:%M:%f', 'now', '60 seconds') || '000'),
    leased_by = ? WHERE id IN (SELECT id FROM runs WHERE status = 'acquired'
    AND (lease_until IS NULL OR lease_until <= {SQLITE_NOW}) AND (not_before IS NULL OR not_before <= {SQLITE_NOW})
    ORDER BY priority DESC, id LIMIT 100) RETURNING id, epoch"""
SQLITE_VALUES = ", ".join(["(?, ?)"] * BATCH)
SQLITE_STEP = f"""
WITH v(id, epoch) AS (VALUES {SQLITE_VALUES})
UPDATE runs SET status = 'transferring', steps = steps + 1, actor = ?, reason = ?, lease_until = NULL,
    leased_by = NULL FROM v WHERE runs.id = v.id AND runs.epoch = v.epoch AND status = 'acquired' RETURNING runs.id"""
SQLITE_LINE = f"('runs', ?, 'acquired', 'transferring', {SQLITE_NOW}, ?, ?)"
SQLITE_HISTORY = f"""INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
    VALUES {", ".join([SQLITE_LINE] * BATCH)}"""


def fill(url: str, runs: int) -> Database:
    """A run database with `runs` acquired runs, born by its triggers."""
    create(url)
    db = Database(url)
    numbers = f"generate_series(1, {runs}) AS n(i)"
    if db.dialect == "sqlite":
        numbers = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs}) SELECT i FROM n)"
    with db.write() as session:
        insert = "INSERT INTO runs (name, listener, status, priority)"
        session.execute(text(f"{insert} SELECT 'run' || i, 'all', 'acquired', i % 3 FROM {numbers}"))
    tidy(db)
    return db


def tidy(db: Database) -> None:
    """What a database does now and then by itself shall not fall into one side's time."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for sql in ("VACUUM ANALYZE", "CHECKPOINT") if db.dialect == "postgresql" else ("PRAGMA wal_checkpoint",):
            connection.exec_driver_sql(sql)


def drop_triggers(db: Database) -> None:
    """The yardstick writes its history itself."""
    names = "SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal"
    if db.dialect == "sqlite":
        names = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    with db.write() as session:
        for name, table in session.execute(text(names)).all():
            session.execute(text(f"DROP TRIGGER {name}" + (f" ON {table}" if db.dialect == "postgresql" else "")))


def ours(db: Database) -> Batches:
    """ondeck."""

    def run(batches: int) -> None:
        for _ in range(batches):
            with db.write() as session:
                claims = claim(session, Run, "acquired", BATCH, lease=LEASE)
                moved = advance(session, claims, "transferring", REASON)
            assert len(moved) == BATCH

    return run


def bare_postgresql(url: str) -> Batches:
    """psycopg2."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""), options="-c timezone=UTC -c synchronous_commit=on")

    def run(batches: int) -> None:
        for _ in range(batches):
            with connection, connection.cursor() as cursor:
                cursor.execute(PG_CLAIM, (ACTOR,))
                ids, epochs = zip(*cursor.fetchall(), strict=True)
                cursor.execute(PG_STEP, (ACTOR, REASON, list(ids), list(epochs)))
                moved = [(row[0], ACTOR, REASON) for row in cursor.fetchall()]
                execute_values(cursor, PG_HISTORY, moved, PG_ROW, page_size=BATCH)
            assert len(moved) == BATCH

    return run


def bare_sqlite(url: str) -> Batches:
    """sqlite3."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")

    def run(batches: int) -> None:
        for _ in range(batches):
            connection.execute("BEGIN IMMEDIATE")
            held = connection.execute(SQLITE_CLAIM, (ACTOR,)).fetchall()
            pairs = [value for pair in held for value in pair]
            moved = connection.execute(SQLITE_STEP, (*pairs, ACTOR, REASON)).fetchall()
            connection.execute(SQLITE_HISTORY, [value for (i,) in moved for value in (i, ACTOR, REASON)])
            connection.execute("COMMIT")
            assert len(moved) == BATCH

    return run


def check(db: Database, runs: int) -> None:
    """Each run has moved once, and its history says so."""
    questions = {
        "SELECT count(*) FROM runs WHERE status = 'transferring' AND steps = 1 AND epoch = 1"
        " AND lease_until IS NULL": runs,
        "SELECT count(*) FROM transitions WHERE source IS NULL AND \"to\" = 'acquired'": runs,
        "SELECT count(DISTINCT row_id) FROM transitions WHERE source = 'acquired' AND \"to\" = 'transferring'"
        f" AND table_name = 'runs' AND actor = '{ACTOR}' AND reason = '{REASON}'": runs,
        "SELECT count(*) FROM transitions": 2 * runs,
    }
    with db.read() as session:
        for question, answer in questions.items():
            found = session.execute(text(question)).scalar_one()
            assert found == answer, f"{found} instead of {answer}: {question}"


def measure(verdicts: Verdicts, dialect: str, urls: tuple[str, str], pairs: int, batches: int) -> None:
    """One case."""
    count = (pairs + 1) * batches * BATCH
    databases = [fill(url, count) for url in urls]
    drop_triggers(databases[1])
    bare = bare_postgresql if dialect == "postgresql" else bare_sqlite
    sides: list[tuple[str, Batches]] = [("ondeck", ours(databases[0])), ("bare", bare(urls[1]))]
    rates: dict[str, list[float]] = {name: [] for name, _ in sides}
    for pair in range(pairs + 1):
        for name, run in sides if pair % 2 else sides[::-1]:
            begin = time.perf_counter()
            run(batches)
            rate = batches * BATCH / (time.perf_counter() - begin)
            if pair:  # the first one warms up
                rates[name].append(rate)
        for db in databases:
            tidy(db)
    for db in databases:
        check(db, count)
        db.dispose()
    ratios = [a / b for a, b in zip(rates["ondeck"], rates["bare"], strict=True)]
    for name, found in rates.items():
        verdicts.say(f"{dialect}: {name:6} {spread(found)} steps/s in batches of {BATCH}")
    verdicts.say(f"{dialect}: ratios of the pairs {spread(ratios)}")
    verdicts.judge(dialect, statistics.median(ratios), ">=", GOAL)


def main(argv: list[str]) -> int:
    """Both databases, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dialect", choices=DIALECTS, action="append", help="only this database")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batches", type=int, default=50, help="of one side in one pair")
    asked: Any = parser.parse_args(argv)
    set_actor(ACTOR)
    verdicts = Verdicts("transitions")
    with temporary_folder() as folder:
        for dialect in asked.dialect or DIALECTS:
            if dialect == "postgresql":
                with postgresql(Path(folder) / "server") as server:
                    urls = (server.create(), server.create())
                    measure(verdicts, dialect, urls, asked.pairs, asked.batches)
            else:
                urls = (f"sqlite:///{folder}/ondeck.db", f"sqlite:///{folder}/bare.db")
                measure(verdicts, dialect, urls, asked.pairs, asked.batches)
    return verdicts.code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
