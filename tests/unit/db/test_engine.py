"""Opening the run database: which addresses, with what guarantees, and waiting for a change."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from support.rows import LEASE, make_one, new, row

from ondeck.db import engine
from ondeck.db.engine import Database, Waiter, refuse_network_file_system
from ondeck.db.errors import NetworkFileSystem, UnsupportedDatabase
from ondeck.db.models import Run
from ondeck.db.steps import advance, claim, look, release, renew

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
server:/x /mnt/données nfs rw 0 0
server:/y /mnt/back\\134slash nfs rw 0 0
AFS /afs afs rw 0 0
user@host: /mnt/ssh fuse.sshfs rw 0 0
pool /mnt/ceph fuse.ceph-fuse rw 0 0
/dev/sdb1 /mnt/nfs/local ext4 rw 0 0
server:/z /mnt/late xfs rw 0 0
server:/z /mnt/late nfs rw 0 0
server:/z /home/u nfs rw 0 0
/dev/sdc /home/u ext4 rw 0 0
odd
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with network file systems."""
    file = tmp_path / "mounts"
    file.write_text(MOUNTS, "utf-8")
    monkeypatch.setattr(engine, "MOUNTS", file)


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/nfs/ondeck.db", "nfs4"),
        ("/mnt/nfs/deep/er/ondeck.db", "nfs4"),
        ("/mnt/with space/ondeck.db", "cifs"),
        ("/mnt/données/ondeck.db", "nfs"),
        ("/mnt/back\\slash/ondeck.db", "nfs"),
        ("/afs/cell/user/ondeck.db", "afs"),
        ("/mnt/ssh/ondeck.db", "fuse.sshfs"),
        ("/mnt/ceph/ondeck.db", "fuse.ceph-fuse"),
        ("/mnt/late/ondeck.db", "nfs"),
    ],
)
def test_a_network_file_system_is_refused(path: str, kind: str) -> None:
    with pytest.raises(NetworkFileSystem, match=r"postgresql://") as caught:
        Database(f"sqlite:///{path}")
    assert path in str(caught.value)
    assert f"lies on {kind}," in str(caught.value)


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    "path", ["/var/ondeck.db", "/mnt/nfsx/ondeck.db", "/mnt/nfs/local/ondeck.db", "/home/u/ondeck.db", "/mnt/ondeck.db"]
)
def test_a_local_file_system_is_taken(path: str) -> None:
    refuse_network_file_system(Path(path))


@pytest.mark.usefixtures("mounts")
def test_a_link_to_a_network_file_system_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to("/mnt/nfs")
    with pytest.raises(NetworkFileSystem):
        refuse_network_file_system(tmp_path / "here" / "ondeck.db")


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOUNTS", tmp_path / "none")
    refuse_network_file_system(Path("/mnt/nfs/ondeck.db"))


@pytest.mark.parametrize(
    "url",
    ["mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "oracle://x", "nonsense", "", "postgresql+asyncpg://h/d"],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match="sqlite:///FILE or postgresql://"):
        Database(url)


@pytest.mark.parametrize("url", ["mysql://u:geheim@h/d", "postgresql:u:geheim@h/d", "postgres//u:geheim@h/d"])
def test_a_refused_address_does_not_show_its_password(url: str) -> None:
    with pytest.raises(UnsupportedDatabase) as caught:
        Database(url)
    assert "geheim" not in str(caught.value)


def test_the_masked_address_does_not_show_its_password() -> None:
    database = Database("postgresql://u:geheim@h/d")
    assert database.masked == "postgresql+psycopg2://u:***@h/d"


def test_the_driver_is_ours_whatever_is_installed(postgresql_url: str) -> None:
    database = Database(postgresql_url.replace("+psycopg2", ""))
    assert database.url.drivername == "postgresql+psycopg2"
    database.dispose()


# ---- guarantees ----


def test_sqlite_is_durable_and_keeps_its_references(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.write() as session:
        asked = {p: session.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "synchronous", "foreign_keys")}
    database.dispose()
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_postgresql_is_durable_and_in_utc(postgresql_url: str) -> None:
    database = Database(
        postgresql_url + "?options=-c%20synchronous_commit%3Doff%20-c%20work_mem%3D5MB&connect_timeout=7"
    )
    with database.write() as session:
        asked = {p: session.scalar(text(f"SHOW {p}")) for p in ("synchronous_commit", "timezone", "work_mem")}
        raw = session.connection().connection.dbapi_connection
        parameters = raw.get_dsn_parameters()  # type: ignore[union-attr]
    database.dispose()
    assert asked["timezone"] == "UTC"
    assert asked["work_mem"] == "5MB", "the address's own options hold, too"
    assert parameters["connect_timeout"] == "7"
    assert parameters["tcp_user_timeout"] == "40000"


def test_synchronous_commit_is_on(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.write() as session:
        session.execute(text("SELECT 1"))
        assert session.scalar(text("SHOW synchronous_commit")) == "on"
    database.dispose()


def test_who_writes_has_the_write_lock_from_the_beginning(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    path = sqlite_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        with database.write() as session:
            session.execute(text("SELECT 1"))
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        with database.read() as session:
            session.scalar(text("SELECT count(*) FROM runs"))
            other.execute("BEGIN IMMEDIATE")  # who only reads hinders nobody
            other.execute("ROLLBACK")
    database.dispose()


def test_who_reads_sees_one_state(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM runs")) == 0
        make_one(database, "runs", "acquired")
        assert session.scalar(text("SELECT count(*) FROM runs")) == 0
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM runs")) == 1
    database.dispose()


def test_a_second_writer_waits_for_the_first(database: Database) -> None:
    first = make_one(database, "runs", "acquired")
    done: list[float] = []

    def second() -> None:
        with database.write() as session:
            look(session, Run, [first])
            done.append(time.monotonic())

    with database.write() as session:
        look(session, Run, [first])
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert not done
        released = time.monotonic()
    thread.join(20)
    assert done
    assert done[0] >= released


def test_an_exception_takes_the_transaction_back(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        new(session, "runs", "acquired")
        raise RuntimeError
    with database.read() as session:
        assert session.scalars(select(Run)).all() == []


def test_rows_stay_readable_after_the_transaction(database: Database) -> None:
    run = make_one(database, "runs", "acquired", params={"a": 1})
    with database.read() as session:
        found = session.get_one(Run, run)
    assert (found.status, found.params) == ("acquired", {"a": 1})


def test_many_threads_share_one_database(database: Database) -> None:
    run = make_one(database, "runs", "acquired", nbytes=0)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                with database.write() as session:
                    one = look(session, Run, [run])
                    nbytes = session.get_one(Run, run, populate_existing=True).nbytes or 0
                    assert len(advance(session, one, "acquired", "more", nbytes=nbytes + 1)) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert (row(database, "runs", run).nbytes, row(database, "runs", run).steps) == (30, 30)


def test_a_missing_postgresql_is_an_error_soon() -> None:
    database = Database("postgresql://u@127.0.0.1:1/d")
    began = time.monotonic()
    with pytest.raises(OperationalError), database.read() as session:
        session.execute(text("SELECT 1"))
    assert time.monotonic() - began < 10
    database.dispose()


# ---- waiting for a change ----


@pytest.fixture
def waiter(database: Database) -> Iterator[Waiter]:
    made = database.waiter()
    yield made
    made.close()


def woken(waiter: Waiter, timeout: float = 0.25) -> bool:
    return waiter.wait(timeout)


def test_a_step_before_the_wait_is_not_missed(database: Database, waiter: Waiter) -> None:
    make_one(database, "runs", "acquired")
    assert woken(waiter, 5)
    assert not woken(waiter), "once for each change"


def test_a_step_during_the_wait_ends_it_soon(database: Database, waiter: Waiter) -> None:
    run = make_one(database, "runs", "acquired")
    assert woken(waiter, 5)
    stepped: list[float] = []

    def step() -> None:
        time.sleep(0.2)
        with database.write() as session:
            advance(session, look(session, Run, [run]), "transferring", "why")
        stepped.append(time.monotonic())

    thread = threading.Thread(target=step)
    thread.start()
    assert waiter.wait(20)
    woke = time.monotonic()
    thread.join()
    assert woke - stepped[0] < 1.0


def test_nothing_happens_nothing_is_heard(waiter: Waiter) -> None:
    began = time.monotonic()
    assert not waiter.wait(0.3)
    assert 0.25 < time.monotonic() - began < 5
    assert not waiter.wait(0)


def test_what_is_taken_back_is_not_heard(database: Database, waiter: Waiter) -> None:
    with database.write() as session:
        new(session, "runs", "acquired")
        session.rollback()
    with contextlib.suppress(RuntimeError), database.write() as session:
        new(session, "runs", "acquired")
        raise RuntimeError
    assert not woken(waiter)


def test_leases_and_other_writes_without_a_step_wake_nobody(database: Database) -> None:
    run = make_one(database, "runs", "acquired")
    waiter = database.waiter()
    with database.write() as session:
        held = claim(session, Run, "acquired", 1, lease=timedelta(seconds=5))
        renew(session, held, LEASE)
    with database.write() as session:
        release(session, held)
        session.execute(text("INSERT INTO sites (name) VALUES ('here')"))
        session.execute(text(f"UPDATE runs SET comments = 'x' WHERE id = {run}"))
    assert not woken(waiter)
    waiter.close()


def test_a_verb_that_moves_nothing_is_heard(database: Database) -> None:
    run = make_one(database, "runs", "archived")
    waiter = database.waiter()
    with database.write() as session:
        advance(session, look(session, Run, [run]), "archived", "a comment")
    assert woken(waiter, 5)
    waiter.close()


def test_two_waiters_both_hear(database: Database) -> None:
    waiters = [database.waiter() for _ in range(2)]
    make_one(database, "outbox", "queued")
    assert [woken(w, 5) for w in waiters] == [True, True]
    for one in waiters:
        one.close()


def test_a_waiter_keeps_no_transaction_open(database: Database, waiter: Waiter) -> None:
    """An idle transaction would hold back the WAL's checkpoint, and PostgreSQL's vacuum."""
    make_one(database, "runs", "acquired")
    assert woken(waiter, 5)
    with database.write() as session:
        if database.dialect == "postgresql":
            idle = (
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"
            )
            assert session.scalar(text(idle)) == 0
    if database.dialect == "sqlite":
        with contextlib.closing(sqlite3.connect(str(database.url.database))) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0
