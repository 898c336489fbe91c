from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from support.postgresql import PostgresqlServer
from support.rows import make_one

from ondeck.db import schema
from ondeck.db.engine import Database
from ondeck.db.tables import StorageState
from ondeck.tools.builddb import builddb

from .conftest import CONFIG, Lab

DISKS = {"daq": "daq", "disk": "raw", "tape": "archive", "work of here": "work"}


def uuid_in(folder: Path) -> str:
    return (folder / ".ondeck-storage").read_text().strip()


def known(lab: Lab) -> dict[str, str]:
    with lab.db.read() as session:
        return dict(session.execute(select(StorageState.name, StorageState.uuid)).all())


def test_it_gives_each_storage_and_work_directory_its_uuid(lab: Lab) -> None:
    said = lab.good("builddb")
    assert "is there already, schema 0001" in said.splitlines()[0]
    assert known(lab) == {name: uuid_in(lab.folder / folder) for name, folder in DISKS.items()}
    assert len(set(known(lab).values())) == 4
    for name, folder in DISKS.items():
        assert f"{name}: {lab.folder}/{folder}: made, uuid {known(lab)[name]}\n" in said


def test_twice_changes_nothing(lab: Lab) -> None:
    lab.good("builddb")
    before = known(lab)
    said = lab.good(command=builddb)
    assert known(lab) == before
    assert said.count("is there, uuid") == 4


def test_no_storages(lab: Lab) -> None:
    lab.good("builddb", "--no-storages")
    assert known(lab) == {}
    assert not (lab.folder / "raw").exists()


def test_a_new_run_database_takes_old_disks_over(lab: Lab) -> None:
    old = str(uuid.uuid4())
    (lab.folder / "raw").mkdir()
    (lab.folder / "raw" / ".ondeck-storage").write_text(old + "\n")
    (lab.folder / "raw" / "data").write_text("precious")
    said = lab.good("builddb")
    assert known(lab)["disk"] == old == uuid_in(lab.folder / "raw")
    assert f"disk: {lab.folder}/raw: taken over, uuid {old}" in said
    assert (lab.folder / "raw" / "data").read_text() == "precious"


def test_a_disk_that_is_not_mounted_stays_as_it_is_known(lab: Lab) -> None:
    lab.good("builddb")
    before = known(lab)
    (lab.folder / "raw" / ".ondeck-storage").unlink()
    said = lab.run("builddb")
    assert said.exit_code == 0
    assert "Is it mounted?" in said.stderr
    assert known(lab) == before
    assert not (lab.folder / "raw" / ".ondeck-storage").exists()


def test_another_disk_is_refused(lab: Lab) -> None:
    lab.good("builddb")
    before = known(lab)
    (lab.folder / "raw" / ".ondeck-storage").write_text(str(uuid.uuid4()) + "\n")
    said = lab.run("builddb")
    assert said.exit_code == 1
    assert "--new-disk" in said.stderr
    assert "ondeck: 1 of the storages could not be initialised" in said.stderr
    assert known(lab) == before


def test_what_can_not_be_made_leaves_the_others_done(lab: Lab) -> None:
    (lab.folder / "raw").write_text("a file where a directory belongs")
    said = lab.run("builddb")
    assert said.exit_code == 1
    assert said.stderr.startswith(f"ondeck: disk: {lab.folder}/raw can't be made at site here: mkdir: ")
    assert set(known(lab)) == {"daq", "tape", "work of here"}


def test_another_schema_is_refused(lab: Lab) -> None:
    with lab.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert "has schema 0000, this version of ondeck needs 0001" in lab.bad("builddb")


def test_the_umask_of_the_configuration_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ondeck.toml").write_text(
        'umask = "077"\n' + CONFIG.format(url="sqlite:///deep/er/ondeck.db").replace('name = "lab"\n', "")
    )
    done = subprocess.run([sys.executable, "-m", "ondeck", "builddb"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in ("deep/er/ondeck.db", "raw", "deep/er"):
        assert (tmp_path / path).stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_several_at_once_all_succeed(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create()
    config = tmp_path / "ondeck.toml"
    config.write_text(CONFIG.format(url=url))
    config.chmod(0o600)
    words = [sys.executable, "-m", "ondeck", "builddb", "--config", str(config)]
    several = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outs = [one.communicate(timeout=60) for one in several]
    assert [one.returncode for one in several] == [0] * 4, outs
    database = Database(url)
    schema.check(database)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(StorageState)) == 4
        states = dict(session.execute(select(StorageState.name, StorageState.uuid)).all())
    database.dispose()
    assert states == {name: uuid_in(tmp_path / folder) for name, folder in DISKS.items()}


def test_storage_init_and_list(lab: Lab) -> None:
    said = lab.run("storage", "list")
    assert said.exit_code == 1
    assert said.stdout.count("not initialised") == 4
    assert "made, uuid" in lab.good("storage", "init", "disk")
    assert "work of here: " in lab.good("storage", "init", "--site-work", "here")
    assert set(known(lab)) == {"disk", "work of here"}
    assert "is there, uuid" in lab.good("storage", "init", "disk")
    lab.good("builddb")
    said = lab.run("storage", "list")
    assert said.exit_code == 0, said.output
    assert [line.split()[0] for line in said.stdout.splitlines()[2:]] == ["daq", "disk", "tape", "work"]
    (lab.folder / "raw" / ".ondeck-storage").unlink()
    said = lab.run("storage", "list")
    assert said.exit_code == 1
    assert "no: storage disk: " in said.stdout


def test_storage_init_of_what_is_not_there(lab: Lab) -> None:
    assert 'did you mean "disk"?' in lab.bad("storage", "init", "dsik")
    assert "'there'" in lab.bad("storage", "init", "--site-work", "there")
    assert lab.run("storage", "init").exit_code == 2
    assert lab.run("storage", "init", "disk", "--site-work", "here").exit_code == 2


def test_a_new_disk_only_when_nothing_counts_on_the_old_one(lab: Lab) -> None:
    lab.good("builddb")
    old = known(lab)["disk"]
    (lab.folder / "raw" / ".ondeck-storage").unlink()
    assert "Is it mounted?" in lab.bad("storage", "init", "disk")
    run = make_one(lab.db, "runs", "archived")
    make_one(lab.db, "copies", "verified", run_id=run, storage="disk")
    assert "still counts on 1 copy" in lab.bad("storage", "init", "disk", "--new-disk")
    assert known(lab)["disk"] == old
    with lab.db.write() as session:
        session.execute(text("UPDATE copies SET status = 'deleting'"))
        session.execute(text("UPDATE copies SET status = 'absent'"))
    lab.good("storage", "init", "disk", "--new-disk")
    assert known(lab)["disk"] == uuid_in(lab.folder / "raw") != old
