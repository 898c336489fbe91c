"""What may be removed, and what stays whatever happens: the uuid, the root, the names."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.trees import ODD, grow, look

from ondeck.sites.storage import Manifest, Missing, NotMounted, NotPlainFile, OutsideRoot, Storage, WrongDisk
from ondeck.sites.transport import LocalTransport

GOING = ".run1.7.3.deleting"
PART = ".run1.1.part"


def going(disks: Any) -> Manifest:
    """A verified copy on disk that has been renamed to be removed."""
    disks.run()
    manifest: Manifest = disks.daq.manifest("run1")
    disks.disk.pull(disks.daq, "run1", PART)
    disks.disk.rename(PART, GOING)
    return manifest


# ---- unlink


def test_all_is_removed(disks: Any) -> None:
    manifest = going(disks)
    assert disks.disk.unlink(GOING, manifest) == []
    assert disks.disk.listing(".") == []
    assert len(look(disks.daq.path("run1"))) >= manifest.nfiles
    with pytest.raises(Missing):
        disks.disk.unlink(GOING, manifest)


def test_what_is_not_in_the_manifest_stays(disks: Any) -> None:
    manifest = going(disks)
    top = Path(disks.disk.path(GOING))
    (top / "sub" / "late\n").write_text("new")
    os.mkfifo(top / "pipe")
    assert disks.disk.unlink(GOING, manifest) == ["pipe", "sub", "sub/late\n"]
    assert (top / "sub" / "late\n").read_text() == "new"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", lambda p: p.write_bytes(b"{ }")),
        ("run.json", lambda p: os.utime(p, ns=(0, p.stat().st_mtime_ns + 1))),
        ("run.json", lambda p: (p.unlink(), p.symlink_to("{}"))),
        ("run.json", lambda p: (p.unlink(), p.mkdir(), (p / "x").touch())),
        ("link", lambda p: (p.unlink(), p.symlink_to("sub/data.bim"))),
        ("link", lambda p: (p.unlink(), p.write_text("sub/data.bin"))),
    ],
)
def test_what_has_changed_stays(disks: Any, name: str, change: Any) -> None:
    manifest = going(disks)
    path = Path(disks.disk.path(GOING), name)
    change(path)
    assert disks.disk.unlink(GOING, manifest)[0] == name
    assert os.path.lexists(path)


def test_a_link_goes_though_its_time_is_another(disks: Any) -> None:
    manifest = going(disks)
    os.utime(Path(disks.disk.path(GOING), "link"), ns=(0, 5), follow_symlinks=False)
    assert disks.disk.unlink(GOING, manifest) == []


def test_a_directory_that_became_a_link_is_not_followed(disks: Any, folder: Path) -> None:
    """What it points to may be the witness: same names, sizes and times."""
    manifest = going(disks)
    witness = folder / "witness"
    sub = Path(disks.disk.path(GOING), "sub")
    sub.rename(witness)
    before = look(witness)
    sub.symlink_to(witness)
    assert disks.disk.unlink(GOING, manifest) == ["sub"]
    assert look(witness) == before


def test_an_empty_manifest_removes_no_file(disks: Any) -> None:
    going(disks)
    before = {k: v for k, v in look(disks.disk.path(GOING)).items() if v[0] != "d"}
    assert disks.disk.unlink(GOING, Manifest([]))
    assert {k: v for k, v in look(disks.disk.path(GOING)).items() if v[0] != "d"} == before


def test_a_list_that_is_cut_off_removes_nothing(disks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = going(disks)
    run = disks.disk.transport.run

    def cut(command: Any, **kwargs: Any) -> Any:
        return run(command._replace(input=command.input[: -len(b"=end\0")]), **kwargs)

    monkeypatch.setattr(disks.disk.transport, "run", cut)
    assert len([p for p in disks.disk.unlink(GOING, manifest) if "/" not in p]) >= 10
    assert set(look(disks.daq.path("run1"))) - set(look(disks.disk.path(GOING))) == {b"sub/nothing"}


def test_only_the_top_is_left(nobody: Any) -> None:
    manifest = going(nobody)
    Path(nobody.disk.root).chmod(0o755)  # root's: nobody may empty its own directory, but not remove it
    assert nobody.disk.unlink(GOING, manifest) == ["."]


def test_removal_stops_when_the_directory_is_renamed(disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took the lease over and renamed the directory back while our rm was on its way."""
    manifest = going(disks)
    gate, asked = folder / "gate", folder / "asked"
    os.mkfifo(gate)
    (folder / "bin").mkdir()
    slow = folder / "bin" / "rm"
    slow.write_text(f'#!/bin/sh\n: >"{asked}"\nread -r go <"{gate}"\nexec /bin/rm "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")

    def take_back() -> None:
        while not asked.exists():
            time.sleep(0.005)
        Path(disks.disk.path(GOING)).rename(disks.disk.path("run1"))
        gate.write_text("go\n")

    thread = threading.Thread(target=take_back)
    thread.start()
    with pytest.raises(Missing, match="renamed meanwhile"):
        disks.disk.unlink(GOING, manifest)
    thread.join()
    assert disks.disk.verify("run1", manifest) == []
    assert look(disks.disk.path("run1")) == look(disks.daq.path("run1"))


def test_a_second_look_after_a_crash_half_way(disks: Any) -> None:
    manifest = going(disks)
    Path(disks.disk.path(GOING), "run.json").unlink()
    Path(disks.disk.path(GOING), "link").unlink()
    disks.disk.rename(GOING, ".run1.7.4.deleting")
    assert disks.disk.unlink(".run1.7.4.deleting", manifest) == []


# ---- parts


def test_a_part_goes_whole_and_nothing_else(disks: Any) -> None:
    disks.run()
    disks.disk.pull(disks.daq, "run1", PART)
    disks.disk.pull(disks.daq, "run1", ".run1.2.part")
    Path(disks.disk.path(PART), "out").symlink_to(disks.daq.root)
    before = look(disks.daq.root)
    disks.disk.remove_part(PART)
    disks.disk.remove_part(PART)
    disks.disk.remove_part("nowhere/.x.1.part")
    assert disks.disk.listing(".") == [".run1.2.part"]
    assert look(disks.daq.root) == before
    Path(disks.disk.path(".b.3.part")).write_text("a tar")
    disks.disk.remove_part(".b.3.part")
    assert not disks.disk.exists(".b.3.part")


def test_a_part_that_is_a_link_is_not_ours(disks: Any) -> None:
    disks.run()
    Path(disks.disk.path(PART)).symlink_to(disks.daq.path("run1"))
    with pytest.raises(NotPlainFile, match="symbolic link"):
        disks.disk.remove_part(PART)
    with pytest.raises(NotPlainFile):
        disks.disk.pull(disks.daq, "run1", PART)
    assert disks.disk.exists(PART)
    assert len(look(disks.daq.path("run1"))) > 5


# ---- everything that changes something proves where it is


def acts(storage: Storage, daq: Storage, manifest: Manifest) -> dict[str, Callable[[], Any]]:
    return {
        "pull": lambda: storage.pull(daq, "run1", ".run1.9.part"),
        "fsync": lambda: storage.fsync("run1"),
        "rename": lambda: storage.rename("run1", "run2"),
        "rename back": lambda: storage.rename(GOING, "run3"),
        "remove_part": lambda: storage.remove_part(PART),
        "unlink": lambda: storage.unlink(GOING, manifest),
        "make": lambda: storage.make("new"),
        "bundle": lambda: daq.bundle(storage, ".b.1.part", [("run1", "run1")]),
        "bundle from": lambda: storage.bundle(daq, ".b.1.part", [("run1", "run1")]),
        "pull from": lambda: daq.pull(storage, "run1", ".run1.9.part"),
        "manifest": lambda: storage.manifest("run1"),
        "verify": lambda: storage.verify("run1", manifest),
        "verify_bundle": lambda: storage.verify_bundle("b", {}),
        "exists": lambda: storage.exists("run1"),
        "listing": storage.listing,
        "having": lambda: storage.having("x"),
        "read": lambda: storage.read("run1/run.json"),
        "space": storage.space,
        "check": storage.check,
    }


NOWHERE = Storage("nowhere", "/", LocalTransport("here"))
NAMES = list(acts(NOWHERE, NOWHERE, Manifest([])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", ["another uuid", "no uuid", "no root"])
def test_on_another_disk_nothing_is_done(disks: Any, folder: Path, name: str, other: str) -> None:
    manifest = going(disks)
    for copy in ("run1", PART):
        grow(ODD, os.fsencode(disks.disk.path(copy)))
    uuid = Path(disks.disk.root, ".ondeck-storage")
    error: type[Exception] = NotMounted
    words = rf"storage disk: .*{disks.disk.root}"
    if other == "another uuid":
        uuid.write_text("uuid-of-somebody\n")
        error, words = WrongDisk, "its .ondeck-storage holds uuid-of-somebody, expected is uuid-of-disk"
    elif other == "no uuid":
        uuid.unlink()
    else:
        Path(disks.disk.root).rename(folder / "unmounted")
    before = look(folder)
    with pytest.raises(error, match=words):
        acts(disks.disk, disks.daq, manifest)[name]()
    assert look(folder) == before


@pytest.mark.parametrize("name", ["manifest", "verify", "rename", "remove_part", "unlink", "fsync", "pull", "bundle"])
def test_a_directory_that_leads_out_of_the_root(disks: Any, folder: Path, name: str) -> None:
    manifest = going(disks)
    for copy in ("run1", PART, GOING):
        grow(ODD, os.fsencode(folder / copy))
    Path(disks.disk.path("lab")).symlink_to(folder)
    before = look(folder)
    disk, daq = disks.disk, disks.daq
    attempt: dict[str, Callable[[], Any]] = {
        "manifest": lambda: disk.manifest("lab/run1"),
        "verify": lambda: disk.verify("lab/run1", manifest),
        "rename": lambda: disk.rename("lab/run1", "lab/run2"),
        "remove_part": lambda: disk.remove_part(f"lab/{PART}"),
        "unlink": lambda: disk.unlink(f"lab/{GOING}", manifest),
        "fsync": lambda: disk.fsync("lab/run1"),
        "pull": lambda: disk.pull(daq, "run1", "lab/.run1.9.part"),
        "bundle": lambda: daq.bundle(disk, "lab/b.tar", [("run1", "run1")]),
    }
    with pytest.raises(OutsideRoot, match=f"storage disk: lab/.* it leads to {folder}"):
        attempt[name]()
    assert look(folder) == before


def test_a_link_that_stays_inside_is_followed(disks: Any) -> None:
    disks.disk.make("real")
    Path(disks.disk.path("alias")).symlink_to("real")
    disks.run()
    disks.disk.pull(disks.daq, "run1", f"alias/{PART}")
    assert disks.disk.exists(f"real/{PART}")


def test_a_root_that_is_a_link_is_the_root(disks: Any, folder: Path) -> None:
    (folder / "mount").symlink_to(disks.disk.root)
    disk = Storage("disk", str(folder / "mount"), disks.disk.transport, disks.disk.uuid)
    disks.run()
    disk.pull(disks.daq, "run1", PART)
    disk.rename(PART, "run1")
    assert disks.disk.exists("run1")


# ---- the uuid


def test_a_uuid_is_for_good(disks: Any) -> None:
    disk = Storage("disk", disks.disk.root, disks.disk.transport)
    assert disk.read_uuid() == "uuid-of-disk"
    with pytest.raises(WrongDisk, match="holds uuid-of-disk, expected is uuid-of-other"):
        disk.initialise("uuid-of-other")
    assert disk.uuid is None
    disk.initialise("uuid-of-disk")
    assert disk.uuid == "uuid-of-disk"
    assert Path(disk.root, ".ondeck-storage").read_bytes() == b"uuid-of-disk\n"
    assert [p.name for p in Path(disk.root).iterdir()] == [".ondeck-storage"]


def test_one_of_many_uuids_wins(disks: Any, folder: Path) -> None:
    (folder / "new").mkdir()
    won = []

    def go(i: int) -> None:
        storage = Storage("new", str(folder / "new"), disks.disk.transport)
        try:
            storage.initialise(f"uuid-number-{i}")
        except WrongDisk:
            return
        won.append(storage.uuid)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new = Storage("new", str(folder / "new"), disks.disk.transport)
    assert won == [new.read_uuid()]
    assert [p.name for p in Path(new.root).iterdir()] == [".ondeck-storage"]


def test_a_root_that_is_not_there(disks: Any, folder: Path) -> None:
    gone = Storage("gone", str(folder / "gone"), disks.disk.transport)
    for act in (gone.check, gone.read_uuid, gone.listing, lambda: gone.initialise("uuid-of-gone")):
        with pytest.raises(NotMounted, match=r"Nothing was done. Mount the disk"):
            act()
    assert not (folder / "gone").exists()


def test_without_uuid_one_can_read(disks: Any) -> None:
    path = disks.run()
    Path(disks.daq.root, ".ondeck-storage").unlink()
    daq = Storage("daq", disks.daq.root, disks.daq.transport)
    daq.check()
    assert daq.read_uuid() is None
    manifest = daq.manifest("run1")
    disks.disk.pull(daq, "run1", PART)
    assert disks.disk.verify(PART, manifest) == []
    assert path.exists()
