"""Removals that are overtaken: the directory never keeps the name that a removal gave it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from support.lab import Lab

from ondeck.config import load
from ondeck.daemons.base import Lane
from ondeck.daemons.diskmonitor import DiskMonitor
from ondeck.daemons.fencednames import fenced_name
from ondeck.daemons.places import Places
from ondeck.daemons.removal import Remover
from ondeck.db.engine import Database
from ondeck.db.errors import LeaseLost
from ondeck.db.models import Copy, Receipt
from ondeck.db.states import CopyStatus
from ondeck.db.steps import Claim, advance, look
from ondeck.sites.storage import Storage
from ondeck.sites.transport import TransportFailed

LEASE = timedelta(seconds=60)
RULE = "a test"


class Bench:
    """One run, whose copies at the DAQ and on the disk are verified; two removers of the DAQ's storage."""

    def __init__(self, folder: Path, url: str) -> None:
        self.lab = Lab(folder / "lab", url, remove="ondeck")
        self.lab.build()
        self.lab.write_run("run", 1)
        self.lab.once("DiskMonitor", "RunsProvider", "Transfer")  # it measures the space first
        self.config = load(self.lab.config)
        self.db = Database(url)
        self.lane = Lane("daq", "DiskMonitor")
        self.places = Places(self.config, self.db)
        self.one, self.other = (Remover(self.config, self.db, "daq", LEASE) for _ in range(2))
        self.directory = self.lab.folder / "daq" / "run"

    def copy(self) -> Copy:
        with self.db.read() as session:
            found = session.scalar(select(Copy).where(Copy.storage == "daq"))
            assert found is not None
            session.expunge(found)
            return found

    def open_receipts(self) -> int:
        with self.db.read() as session:
            return len(session.scalars(select(Receipt.id).where(Receipt.closed_at.is_(None))).all())

    def lose_lease(self) -> None:
        self.lab.execute("UPDATE copies SET lease_until = NULL, leased_by = NULL WHERE storage = 'daq'")


@pytest.fixture
def bench(tmp_path: Path, db_url: str) -> Iterator[Bench]:
    made = Bench(tmp_path, db_url)
    yield made
    made.places.close()
    made.db.dispose()
    made.lab.clean_up()


def test_a_copy_is_removed_with_proof(bench: Bench) -> None:
    assert bench.one.remove(bench.lane, bench.places, bench.copy().id, RULE)
    assert bench.copy().status == CopyStatus.ABSENT
    assert not bench.directory.exists()
    assert bench.open_receipts() == 0


def test_who_is_overtaken_before_his_rename_puts_the_name_right(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """He stops just before he renames; another undoes the removal; he goes on, and renames what nobody removes."""
    rename = bench.one._rename_to
    names = []

    def late(storage: Storage, copy: Copy, fenced: str) -> None:
        bench.lose_lease()
        assert bench.other.take_up(bench.lane, bench.places) == 1
        assert bench.copy().wanted
        rename(storage, copy, fenced)
        names.append(fenced)
        assert not bench.directory.exists()

    monkeypatch.setattr(bench.one, "_rename_to", late)
    with pytest.raises(LeaseLost):
        bench.one.remove(bench.lane, bench.places, bench.copy().id, RULE)
    assert names
    copy = bench.copy()
    assert (copy.status, copy.wanted) == (CopyStatus.VERIFIED, True)
    assert (bench.directory / "data.bin").exists()
    assert not list(bench.directory.parent.glob(".*.deleting"))
    assert bench.open_receipts() == 0


def test_who_is_overtaken_and_fails_puts_the_name_right_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = bench.one._rename_to

    def late(storage: Storage, copy: Copy, fenced: str) -> None:
        bench.lose_lease()
        assert bench.other.take_up(bench.lane, bench.places) == 1
        rename(storage, copy, fenced)
        raise TransportFailed(site="here", command="rename", words="no answer")

    monkeypatch.setattr(bench.one, "_rename_to", late)
    assert not bench.one.remove(bench.lane, bench.places, bench.copy().id, RULE)
    assert (bench.copy().status, bench.copy().wanted) == (CopyStatus.VERIFIED, True)
    assert (bench.directory / "data.bin").exists()


def test_who_is_overtaken_by_another_removal_leaves_the_name_to_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His name is found by the one who removes the copy now, who takes it to his own epoch and ends the removal."""
    rename = bench.one._rename_to

    def late(storage: Storage, copy: Copy, fenced: str) -> None:
        rename(storage, copy, fenced)
        bench.lose_lease()
        assert bench.other.take_up(bench.lane, bench.places) == 1
        bench.lab.execute("UPDATE copies SET not_before = NULL")
        assert bench.other.remove(bench.lane, bench.places, copy.id, RULE)

    monkeypatch.setattr(bench.one, "_rename_to", late)
    assert not bench.one.remove(bench.lane, bench.places, bench.copy().id, RULE)
    assert bench.copy().status == CopyStatus.ABSENT
    assert not list(bench.directory.parent.glob("*run*"))


def test_a_suspect_copy_under_the_name_of_a_removal_gets_its_name_back(bench: Bench) -> None:
    copy = bench.copy()
    with bench.db.write() as session:
        (one,) = advance(session, look(session, Copy, [copy.id]), CopyStatus.SUSPECT, "not there", wanted=True)
    bench.directory.rename(bench.directory.parent / fenced_name(copy, Claim(*one)))
    monitor = DiskMonitor(bench.config, bench.db)
    try:
        assert monitor._look_at_suspects(bench.lane, bench.places) == 1
    finally:
        monitor.close(bench.lane)
    assert bench.copy().status == CopyStatus.VERIFIED
    assert (bench.directory / "data.bin").exists()
