"""From one place to another: rsync through a remote shell, whose other end is another login shell."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.trees import look

from ondeck.sites.storage import (
    Missing,
    NoRoad,
    NotMounted,
    NotPlainFile,
    OutsideRoot,
    Storage,
    WrongDisk,
)
from ondeck.sites.transport import LocalTransport, RemoteShell, TransportFailed
from ondeck.sites.work import Work, WorkCancelled

PART = ".run1.1.part"
#: takes its options and the host, and gives the rest to a shell as one text, as sshd does
SSH = """#!/bin/sh
[ "$1" = -o ] && [ "$2" = "Identity=a b'c\\"d" ] && [ "$3" = -q ] && [ "$4 $5 $6" = "-l user far" ] || exit 255
shift 6
cd /tmp
exec {shell} -c "$*"
"""


class Far(LocalTransport):
    """Another place, as far as anybody can tell."""

    place = "far"

    def __init__(self, ssh: Path) -> None:
        super().__init__("far")
        self.ssh = ssh

    def remote_shell(self) -> RemoteShell:
        return RemoteShell((str(self.ssh), "-o", "Identity=a b'c\"d", "-q"), "user@far")


@pytest.fixture(params=["sh", "bash"])
def far(folder: Path, request: pytest.FixtureRequest) -> Far:
    """The other place; its command's path has blanks and quotes."""
    ssh = folder / "my 'remote\" shell"
    ssh.write_text(SSH.format(shell=request.param))
    ssh.chmod(0o755)
    return Far(ssh)


@pytest.fixture(params=["from afar", "to afar"])
def apart(disks: Any, far: Far, folder: Path, request: pytest.FixtureRequest) -> Any:
    """The disks, of which the DAQ's or the other one is far away; its root has blanks and quotes."""
    name = "daq" if request.param == "from afar" else "disk"
    storage = getattr(disks, name)
    root = folder / 'it\'s "far" $(touch pwned)'
    Path(storage.root).rename(root)
    return disks._replace(**{name: Storage(name, str(root), far, storage.uuid)})


def test_a_run(apart: Any) -> None:
    path = apart.run()
    manifest = apart.daq.manifest("run1")
    apart.disk.pull(apart.daq, "run1", PART)
    apart.disk.fsync(PART)
    assert apart.disk.verify(PART, manifest) == []
    assert look(apart.disk.path(PART)) == look(path)
    assert (Path(apart.disk.path(PART)) / "empty").stat().st_mtime_ns == (path / "empty").stat().st_mtime_ns
    assert not Path("/tmp/pwned").exists()


@pytest.mark.parametrize("name", ["it's", "-rf", "$(touch pwned)", "a  b", "\udcff", "host:x", "*", "~"])
def test_a_run_of_any_name(apart: Any, name: str) -> None:
    path = apart.run(name)
    apart.disk.make(f"lab {name}")
    part = f"lab {name}/.{name}.1.part"
    apart.disk.pull(apart.daq, name, part)
    assert look(apart.disk.path(part)) == look(path)


def test_many_runs(apart: Any) -> None:
    names = ["run1", "it's", "-rf", "a b", "\udcff", "$(touch pwned)", "host:x"]
    for name in names:
        apart.run(name)
    apart.disk.make("lab")
    parts = {f"lab/.{name}.1.part": name for name in names}
    apart.disk.pull_many(apart.daq, parts | {"lab/.no.1.part": "no"})
    for part, name in parts.items():
        assert look(apart.disk.path(part)) == look(apart.daq.path(name))
    assert not apart.disk.exists("lab/.no.1.part")
    assert not list(Path("/tmp").glob("ondeck-stage.*/.-rf.1.part"))


def test_a_left_over_part_is_taken_up_again(apart: Any) -> None:
    apart.run()
    apart.disk.pull(apart.daq, "run1", PART)
    old = Path(apart.disk.path(PART))
    (old / "empty").write_bytes(b"half a file")
    apart.disk.pull(apart.daq, "run1", ".run1.2.part", [PART])
    new = Path(apart.disk.path(".run1.2.part"))
    assert look(new) == look(apart.daq.path("run1"))
    assert (new / "run.json").stat().st_ino == (old / "run.json").stat().st_ino


@pytest.mark.parametrize("side", ["daq", "disk"])
@pytest.mark.parametrize("what", ["another uuid", "no root"])
def test_each_end_proves_where_it_is(apart: Any, folder: Path, side: str, what: str) -> None:
    apart.run()
    storage = getattr(apart, side)
    if what == "no root":
        Path(storage.root).rename(folder / "unmounted")
    else:
        Path(storage.root, ".ondeck-storage").write_text("uuid-of-somebody\n")
    there = Path(apart.disk.root)
    before = look(there)
    error = NotMounted if what == "no root" else WrongDisk
    with pytest.raises(error, match=f"storage {side}"):
        apart.disk.pull(apart.daq, "run1", PART)
    with pytest.raises(error, match=f"storage {side}"):
        apart.disk.pull_many(apart.daq, {PART: "run1"})
    assert {k: v for k, v in look(there).items() if v != ("d", b"")} == {
        k: v for k, v in before.items() if v != ("d", b"")
    }


def test_a_disk_that_goes_between_two_questions(apart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof stands in the process that writes, not only before it."""
    apart.run()
    uuid = Path(apart.disk.root, ".ondeck-storage")
    run = LocalTransport.run

    def change(self: Any, command: Any, **kwargs: Any) -> Any:
        if "rsync" in command.argv:
            uuid.write_text("uuid-of-somebody\n")
        return run(self, command, **kwargs)

    monkeypatch.setattr(LocalTransport, "run", change)
    with pytest.raises(WrongDisk, match="storage disk"):
        apart.disk.pull_many(apart.daq, {PART: "run1"})
    assert not Path(apart.disk.path(PART)).exists()


def test_what_is_wrong_at_the_source_is_said(apart: Any, folder: Path) -> None:
    with pytest.raises(Missing, match="storage daq: run1 is missing"):
        apart.disk.pull(apart.daq, "run1", PART)
    Path(apart.daq.path("run1")).symlink_to("run2")
    with pytest.raises(NotPlainFile, match="storage daq: run1 is a symbolic link"):
        apart.disk.pull(apart.daq, "run1", PART)
    Path(apart.disk.path("out")).symlink_to(folder)
    apart.run("run3")
    with pytest.raises(OutsideRoot, match="storage disk: out"):
        apart.disk.pull(apart.daq, "run3", f"out/{PART}")
    with pytest.raises(OutsideRoot, match="storage disk: out"):
        apart.disk.pull_many(apart.daq, {f"out/{PART}": "run3"})
    assert not (folder / PART).exists()


def test_a_shell_that_fails(apart: Any, far: Far) -> None:
    apart.run()
    far.ssh.write_text("#!/bin/sh\necho 'Permission denied (publickey)' >&2\nexit 255\n")
    with pytest.raises(TransportFailed, match=r"pull disk:\.run1\.1\.part failed: exit code .*Permission denied"):
        apart.disk.pull(apart.daq, "run1", PART)
    with pytest.raises(TransportFailed, match="Permission denied"):
        apart.disk.pull_many(apart.daq, {PART: "run1"})


def test_a_copy_that_is_broken_off(apart: Any) -> None:
    path = apart.run()
    with (path / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))
    work, end = Work("run1"), time.monotonic() + 20

    def cancel() -> None:
        part = Path(apart.disk.path(PART))
        while not list(part.glob(".big.*")) and time.monotonic() < end:
            time.sleep(0.001)
        work.cancel("the lease was lost")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(WorkCancelled, match="the lease was lost"):
        apart.disk.pull(apart.daq, "run1", PART, work=work)
    thread.join()
    apart.disk.pull(apart.daq, "run1", ".run1.2.part", [PART])
    assert apart.disk.verify(".run1.2.part", apart.daq.manifest("run1")) == []


def test_two_far_places_have_no_road(disks: Any, far: Far) -> None:
    farther = Far(far.ssh)
    farther.place = "farther"
    source = Storage("daq", disks.daq.root, far, disks.daq.uuid)
    target = Storage("disk", disks.disk.root, farther, disks.disk.uuid)
    with pytest.raises(NoRoad, match=r"from daq \(far\) to disk \(farther\): both must be on one machine, or one"):
        target.pull(source, "run1", PART)
    with pytest.raises(NoRoad):
        target.pull_many(source, {PART: "run1"})


def test_one_far_place_needs_no_shell(disks: Any, far: Far) -> None:
    disks.run()
    far.ssh.unlink()
    source = Storage("daq", disks.daq.root, far, disks.daq.uuid)
    target = Storage("disk", disks.disk.root, far, disks.disk.uuid)
    target.pull(source, "run1", PART)
    target.pull_many(source, {".run1.2.part": "run1"})
    assert look(target.path(PART)) == look(target.path(".run1.2.part")) == look(source.path("run1"))
