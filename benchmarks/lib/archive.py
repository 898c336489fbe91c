"""A run database that has been at work for years: many archived runs, with all that they have left behind."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from support.postgresql import PostgresqlServer

from ondeck.config import Config, load
from ondeck.db.ddl import statements
from ondeck.db.engine import Database
from ondeck.db.schema import create
from ondeck.tools.disks import all_disks, initialise

CONFIG = """
name = "polling"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
slots = 8
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
high = 99.9
low = 99.8
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[sources.daq]
type = "directory"
storage = "daq"
begin = "all"
remove = "archived"
[listeners.physics]
match = { run_type = "physics" }
modules = ["sums", "plots"]
storage = "disk"
archive = "tape"
[listeners.pedestal]
match = { run_type = "pedestal" }
storage = "disk"
archive = "tape"
archive_when = "processed"
[modules.sums]
template = "sums.sh"
site = "here"
[modules.plots]
template = "sums.sh"
site = "here"
[sinks.mail]
type = "mail"
host = "127.0.0.1"
port = 9
sender = "a@example.org"
recipients = ["b@example.org"]
"""

# A run in four has no job; the others have one or two. The DAQ's copy and the disk's are removed.
ROWS = """
INSERT INTO runs (source, name, number, listener, run_type, events, nbytes, params, status, to_archive, steps, epoch)
    SELECT 'daq', 'run' || i, i, CASE WHEN i % 4 = 0 THEN 'pedestal' ELSE 'physics' END,
    CASE WHEN i % 4 = 0 THEN 'pedestal' ELSE 'physics' END, 100000, 2000000000,
    '{"energy": 6800, "magnet": "on", "shifter": "somebody"}', 'archived', true, 5, 4 FROM NUMBERS
INSERT INTO jobs (run_id, module, status, site, settings, options, result, published_attempt, steps, epoch, walltime)
    SELECT id, m.name, 'done', 'here', '{"optional": false, "max_failures": 3, "env": {}, "idempotent": false}',
    SCRIPT, 'OK', 1, 6, 3, 3600 FROM runs JOIN (SELECT 'sums' AS name, 0 AS least UNION ALL SELECT 'plots', 1) AS m
    ON m.least <= number % 2 WHERE number % 4 <> 0 ORDER BY id
INSERT INTO attempts (job_id, number, token, site, directory, batch_id, submitted_at, started_at, ended_at, exit_code,
    verdict, host) SELECT id, 1, 'polling-' || id, 'here', '/work/daq/run/sums.0/1', id, created_at, created_at,
    created_at, 0, 'exited', 'node' FROM jobs
INSERT INTO manifests (digest, nbytes, nfiles, content) SELECT 'd' || (i - 1), 2000000000, 3, '' FROM SOME
INSERT INTO copies (run_id, storage, path, status, nbytes, nfiles, manifest, wanted, steps, epoch)
    SELECT id, 'daq', name, 'absent', nbytes, 3, 'd' || (number % 100), false, 5, 2 FROM runs
INSERT INTO copies (run_id, storage, path, status, nbytes, nfiles, manifest, wanted, steps, epoch)
    SELECT id, 'disk', 'daq/' || name, 'absent', nbytes, 3, 'd' || (number % 100), false, 5, 2 FROM runs
INSERT INTO bundles (storage, path, status, nbytes, verified_at, steps, epoch)
    SELECT 'tape', 'polling-' || number || '.tar', 'verified', 20000000000, created_at, 3, 2 FROM runs
    WHERE number % 10 = 1 ORDER BY id
INSERT INTO copies (run_id, storage, path, form, status, nbytes, nfiles, manifest, verified_at, bundle_id, steps, epoch)
    SELECT id, 'tape', 'daq/' || name, 'bundled', 'verified', nbytes, 3, 'd' || (number % 100), created_at,
    1 + (number - 1) / 10, 3, 1 FROM runs
INSERT INTO receipts (copy_id, opened_at, closed_at, outcome, rule, actor)
    SELECT id, created_at, created_at, 'removed', 'storage disk is above its high water mark', 'DiskMonitor@a:1'
    FROM copies WHERE storage = 'disk'
INSERT INTO outbox (stream, sink, subject, body, status) SELECT 'runs', 'mail', 'run failed', 'words', 'sent' FROM runs
    WHERE number % 20 = 0
INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
    SELECT 'runs', id, s.source, s.target, created_at, 'Process@a:1', 'words' FROM runs
    CROSS JOIN (SELECT NULL AS source, 'acquired' AS target UNION ALL SELECT 'acquired', 'transferring'
    UNION ALL SELECT 'processed', 'archived') AS s ORDER BY id
"""


def configuration(folder: Path) -> Config:
    """The experiment's folders and its ondeck.toml."""
    for name in ("daq", "raw", "archive", "work", "templates"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "templates" / "sums.sh").write_text("true\n")
    (folder / "ondeck.toml").write_text(CONFIG)
    return load(folder / "ondeck.toml")


def stamp(dialect: str, runs: int) -> str:
    """What a filled database was made of: it may be used again as long as this is the same."""
    words = [dialect, str(runs), CONFIG, ROWS, *statements(dialect)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _rows(dialect: str, runs: int) -> Iterator[str]:
    def numbers(count: int) -> str:
        if dialect == "postgresql":
            return f"generate_series(1, {count}) AS n(i)"
        return f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"

    script = "'" + "#!/bin/sh\n" + "echo some work that a module does\n" * 8 + "'"
    for sql in ROWS.strip().replace("\n    ", " ").splitlines():
        filled = sql.replace("NUMBERS", numbers(runs)).replace("SOME", numbers(100)).replace("SCRIPT", script)
        if dialect == "postgresql":
            filled = filled.replace("}',", "}'::jsonb,")
        yield filled


def _fill(db: Database, runs: int) -> None:
    """The rows, without triggers: their histories are among the rows."""
    with db.write() as session:
        connection = session.connection()
        if db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for sql in _rows(db.dialect, runs):
            connection.exec_driver_sql(sql.replace("%", "%%") if db.dialect == "postgresql" else sql)
        if db.dialect == "sqlite":
            for sql in statements("sqlite"):
                if sql.startswith("CREATE TRIGGER"):
                    connection.exec_driver_sql(sql)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if db.dialect == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
        else:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def filled(kept: Path, dialect: str, runs: int, server: PostgresqlServer | None) -> tuple[Config, Database]:
    """A database with `runs` archived runs and the experiment around it, made now or found in `kept`."""
    folder = kept / f"{dialect}-{runs}"
    note = folder / "made.json"
    made = json.loads(note.read_text()) if note.exists() else {}
    if made.get("stamp") == stamp(dialect, runs):
        url = f"sqlite:///{folder}/ondeck.db" if server is None else server.url(made["database"])
        return load(folder / "ondeck.toml"), Database(url)
    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(folder)
    begin = time.monotonic()
    if server is not None and "database" in made:
        server.drop(made["database"])
    url = f"sqlite:///{folder}/ondeck.db" if server is None else server.create()
    create(url)
    db = Database(url)
    _fill(db, runs)
    for disk in all_disks(config):
        initialise(config, db, disk)
    note.write_text(json.dumps({"stamp": stamp(dialect, runs), "database": db.url.database}))
    print(f"  {dialect}: {runs} archived runs made in {time.monotonic() - begin:.0f} s", flush=True)
    return config, db
