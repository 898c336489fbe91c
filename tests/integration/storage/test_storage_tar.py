"""Bundles: written, read back, and never believed."""

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.trees import look

from ondeck.sites.storage import Exists, Missing, NotPlainFile, Unstable
from ondeck.sites.transport import TransportFailed

TAR = ".b1.1.part"


def write(disks: Any, *names: str) -> dict[str, Any]:
    for name in names:
        disks.run(name)
    disks.daq.bundle(disks.tape, TAR, [(name, name) for name in names])
    return {name: disks.daq.manifest(name) for name in names}


def test_a_bundle_holds_its_members(disks: Any, folder: Path) -> None:
    manifests = write(disks, "run1", "run2", "-run3")
    assert disks.tape.verify_bundle(TAR, manifests) == []
    (folder / "out").mkdir()
    subprocess.run(["tar", "-xf", disks.tape.path(TAR), "-C", str(folder / "out")], check=True)
    for name in manifests:
        assert look(folder / "out" / name) == look(disks.daq.path(name))
    assert disks.tape.listing(".") == [TAR], "reading back unpacks nothing"


def test_its_size_is_told(disks: Any) -> None:
    disks.run()
    assert disks.daq.bundle(disks.tape, TAR, [("run1", "run1")]) == Path(disks.tape.path(TAR)).stat().st_size


def test_the_same_data_give_the_same_tar(disks: Any) -> None:
    write(disks, "run1")
    disks.daq.bundle(disks.tape, ".b2.1.part", [("run1", "run1")])
    assert Path(disks.tape.path(TAR)).read_bytes() == Path(disks.tape.path(".b2.1.part")).read_bytes()


@pytest.mark.parametrize("name", ["back\\nslash", "a b", "; touch pwned", "host:x", "[x]*", "übung", "\udcff"])
def test_members_of_odd_names(disks: Any, name: str) -> None:
    manifests = write(disks, name)
    assert disks.tape.verify_bundle(TAR, manifests) == []


def test_members_below_directories(disks: Any) -> None:
    disks.daq.make("lab/user")
    disks.run("lab/user/run1")
    disks.run("lab/run2")
    manifests = {"user/run1": disks.daq.manifest("lab/user/run1"), "lab/run2": disks.daq.manifest("lab/run2")}
    disks.daq.bundle(disks.tape, TAR, [("lab/user/run1", "user/run1"), ("lab/run2", "lab/run2")])
    assert disks.tape.verify_bundle(TAR, manifests) == []


def test_hard_links_and_holes_are_whole_files(disks: Any) -> None:
    path = disks.run()
    os.link(path / "sub/data.bin", path / "hard")
    with (path / "holes").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    assert disks.tape.verify_bundle(TAR, {"run1": disks.daq.manifest("run1")}) == []


def test_the_manifest_holds_after_the_members_are_gone(disks: Any) -> None:
    manifests = write(disks, "run1")
    Path(disks.daq.path("run1")).rename(disks.daq.path("moved"))
    assert disks.tape.verify_bundle(TAR, manifests) == []


# ---- what must be found


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_one_byte_is_found(disks: Any) -> None:
    manifests = write(disks, "run1", "run2")
    tar = Path(disks.tape.path(TAR))
    flip(tar, tar.read_bytes().rindex(bytes(range(256))) + 100)
    assert [(d.path, d.what) for d in disks.tape.verify_bundle(TAR, manifests)] == [("run2/sub/data.bin", "sha256")]


def test_a_byte_of_a_heading_is_found(disks: Any) -> None:
    manifests = write(disks, "run1", "run2")
    tar = Path(disks.tape.path(TAR))
    with tarfile.open(tar, errors="surrogateescape") as t:
        at = next(m.offset_data for m in t if m.name == "run1/sub/data.bin") - 512
    flip(tar, at + 3)
    differences = disks.tape.verify_bundle(TAR, manifests)
    assert "run1/sub/data.bin" in {d.path for d in differences}
    assert {d.path for d in differences if d.what == "unreadable"} == {"."}


def test_any_cut_is_found(disks: Any) -> None:
    manifests = write(disks, "run1")
    tar = Path(disks.tape.path(TAR))
    whole = tar.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for at in (0, 1, 511, 512, 700, end // 3, end // 2, end - 1):
        tar.write_bytes(whole[:at])
        assert disks.tape.verify_bundle(TAR, manifests), at


def test_what_is_no_tar(disks: Any) -> None:
    manifests = write(disks, "run1")
    Path(disks.tape.path(TAR)).write_bytes(os.urandom(100_000))
    differences = disks.tape.verify_bundle(TAR, manifests)
    assert {d.what for d in differences} == {"missing", "unreadable"}
    assert "tar" in differences[-1].found


def test_a_bundle_that_is_not_there(disks: Any) -> None:
    manifests = write(disks, "run1")
    assert [d.what for d in disks.tape.verify_bundle("nothing", manifests)] == ["missing"]
    assert [d.what for d in disks.tape.verify_bundle("no/thing", {})] == ["missing"]
    Path(disks.tape.path("link")).symlink_to(TAR)
    assert [d.found for d in disks.tape.verify_bundle("link", manifests)] == ["a symbolic link"]


def test_members_too_many_and_too_few(disks: Any) -> None:
    manifests = write(disks, "run1", "run2")
    extra = disks.tape.verify_bundle(TAR, {"run1": manifests["run1"]})
    assert {d.what for d in extra} == {"extra"}
    assert len(extra) == manifests["run2"].nfiles
    missing = disks.tape.verify_bundle(TAR, {**manifests, "run3": manifests["run1"]})
    assert {d.what for d in missing} == {"missing"}


def add(tar: Path, *members: tuple[str, bytes, bytes, str]) -> None:
    with tarfile.open(tar, "a", format=tarfile.PAX_FORMAT) as t:
        for name, data, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), link
            t.addfile(info, io.BytesIO(data))


def test_a_member_that_stands_twice(disks: Any) -> None:
    manifests = write(disks, "run1")
    add(Path(disks.tape.path(TAR)), ("run1/run.json", b"{}", tarfile.REGTYPE, ""))
    found = disks.tape.verify_bundle(TAR, manifests)
    assert [(d.path, d.found) for d in found] == [("run1/run.json", "more than one")]


def test_a_hostile_tar_is_only_read(disks: Any, folder: Path) -> None:
    manifests = write(disks, "run1")
    add(
        Path(disks.tape.path(TAR)),
        ("../escaped", b"x", tarfile.REGTYPE, ""),
        (f"{folder}/absolute", b"x", tarfile.REGTYPE, ""),
        ("run1/out", b"", tarfile.SYMTYPE, "/etc"),
        ("run1/hard", b"", tarfile.LNKTYPE, "run1/run.json"),
        ("run1/pipe", b"", tarfile.FIFOTYPE, ""),
        ("$(touch pwned)`touch pwned`", b"x", tarfile.REGTYPE, ""),
    )
    before = sorted(p.name for p in folder.iterdir())
    found = disks.tape.verify_bundle(TAR, manifests)
    assert {d.what for d in found} <= {"extra", "unreadable"}
    assert {"../escaped", "run1/out", "run1/hard", "run1/pipe"} <= {d.path for d in found}
    assert sorted(p.name for p in folder.iterdir()) == before
    assert disks.tape.listing(".") == [TAR]


def test_a_changed_link_is_found(disks: Any) -> None:
    manifests = write(disks, "run1")
    tar = Path(disks.tape.path(TAR))
    path = Path(disks.daq.path("run1/link"))
    path.unlink()
    path.symlink_to("sub/data.bim")
    tar.unlink()
    disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    assert [(d.path, d.what) for d in disks.tape.verify_bundle(TAR, manifests)] == [("run1/link", "sha256")]


# ---- writing


def test_a_bundle_is_never_written_over(disks: Any) -> None:
    write(disks, "run1")
    before = Path(disks.tape.path(TAR)).read_bytes()
    with pytest.raises(Exists, match=r"storage tape: \.b1\.1\.part exists already"):
        disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    assert Path(disks.tape.path(TAR)).read_bytes() == before


def test_members_must_be_there(disks: Any) -> None:
    with pytest.raises(Missing, match="storage daq: run1 is missing"):
        disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    Path(disks.daq.path("run1")).symlink_to("/etc")
    with pytest.raises(NotPlainFile):
        disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    assert disks.tape.listing(".") == []


def test_what_tar_says_counts(disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks.run()
    (folder / "bin").mkdir()
    fake = folder / "bin" / "tar"
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    fake.write_text("#!/bin/sh\necho 'tar: ./x: file changed as we read it' >&2; exit 1\n")
    fake.chmod(0o755)
    with pytest.raises(Unstable, match="file changed as we read it"):
        disks.daq.bundle(disks.tape, TAR, [("run1", "run1")])
    fake.write_text("#!/bin/sh\nexit 2\n")
    with pytest.raises(TransportFailed, match="exit code 2"):
        disks.daq.bundle(disks.tape, ".b2.1.part", [("run1", "run1")])
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(TransportFailed, match="exit code 137"):
        disks.tape.verify_bundle(TAR, {})


def test_unreadable_members(nobody: Any) -> None:
    (nobody.run() / "run.json").chmod(0)
    with pytest.raises(TransportFailed, match=r"exit code 2: tar: .*run\.json: Cannot open: Permission denied"):
        nobody.daq.bundle(nobody.tape, TAR, [("run1", "run1")])
