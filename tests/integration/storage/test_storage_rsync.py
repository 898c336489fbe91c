"""From one storage to another: manifest, pull, fsync, verify, rename."""

import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from support.trees import ODD, TREES, Tree, grow, look, wipe

from ondeck.sites.storage import (
    Exists,
    LinkOutside,
    Manifest,
    Missing,
    NotPlainFile,
    OutsideRoot,
    Unreadable,
    Unstable,
)
from ondeck.sites.transport import Command, LocalTransport, Result, TransportFailed
from ondeck.sites.work import Work, WorkCancelled

PART = ".run1.1.part"


def take(disks: Any, part: str = PART, name: str = "run1") -> Manifest:
    manifest: Manifest = disks.daq.manifest(name)
    disks.disk.pull(disks.daq, name, part)
    disks.disk.fsync(part)
    return manifest


def test_the_road_of_a_run(disks: Any) -> None:
    path = disks.run()
    manifest = take(disks)
    assert disks.disk.verify(PART, manifest) == []
    disks.disk.rename(PART, "run1")
    assert disks.disk.listing() == ["run1"]
    assert look(disks.disk.path("run1")) == look(path)
    assert disks.disk.manifest("run1").content_equal(manifest)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(TREES)
def test_any_names_any_bytes(disks: Any, tree: Tree) -> None:
    try:
        grow(tree, os.fsencode(disks.daq.path("run")))
        manifest = take(disks, ".run.1.part", "run")
        whole = {k: v for k, v in look(disks.daq.path("run")).items() if v[0] != "d"}
        assert [os.fsencode(e.path) for e in manifest.entries] == sorted(whole)
        for entry in manifest.entries:
            kind, data = whole[os.fsencode(entry.path)]
            status = os.lstat(os.fsencode(disks.daq.path("run")) + b"/" + os.fsencode(entry.path))
            assert (entry.kind, entry.nbytes, entry.mtime_ns) == (kind, len(data), status.st_mtime_ns)
        assert disks.disk.verify(".run.1.part", manifest) == []
        assert look(disks.disk.path(".run.1.part")) == look(disks.daq.path("run"))
        # the bundle
        disks.daq.bundle(disks.tape, ".b.1.part", [("run", "run")])
        assert disks.tape.verify_bundle(".b.1.part", {"run": manifest}) == []
        # and the removal of the copy
        disks.disk.rename(".run.1.part", ".run.deleting")
        assert disks.disk.unlink(".run.deleting", manifest) == []
        assert disks.disk.listing(".") == []
        assert not Path("/pwned").exists(), "commands run in /"
    finally:
        wipe(disks.daq.path("run"))
        for storage in (disks.disk, disks.tape):
            storage.remove_part(".run.1.part")
            storage.remove_part(".b.1.part")
            if storage.exists(".run.deleting"):
                wipe(storage.path(".run.deleting"))


def test_times_modes_links_and_holes_are_kept(disks: Any) -> None:
    path = disks.run()
    (path / "empty").chmod(0o444)
    os.utime(path / "empty", ns=(0, 1_234_567_890_123_456_789))
    os.utime(path / "run.json", ns=(0, -1_500_000_001))
    with (path / "holes").open("wb") as file:
        file.seek(50_000_000)
        file.write(b"end")
    (path / "setuid").touch()
    (path / "setuid").chmod(0o4755)
    take(disks)
    copy = Path(disks.disk.path(PART))
    assert (copy / "empty").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (copy / "run.json").stat().st_mtime_ns == -1_500_000_001
    assert stat.S_IMODE((copy / "empty").stat().st_mode) == 0o444
    assert stat.S_IMODE((copy / "setuid").stat().st_mode) == 0o755
    assert (copy / "link").readlink() == Path("sub/data.bin")
    assert (copy / "holes").stat().st_blocks * 512 < 1_000_000
    assert (copy / "sub" / "nothing").is_dir()


def test_the_source_is_as_it_was(disks: Any) -> None:
    path = disks.run()
    before = look(path), {p: p.lstat().st_mtime_ns for p in path.rglob("*")}
    take(disks)
    assert (look(path), {p: p.lstat().st_mtime_ns for p in path.rglob("*")}) == before


def test_an_empty_run(disks: Any) -> None:
    Path(disks.daq.path("run1")).mkdir()
    assert take(disks).nfiles == 0
    assert disks.disk.verify(PART, Manifest([])) == []


# ---- what must be found


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda p: (p / "sub/data.bin").write_bytes(bytes(256 * 100)), "sha256"),
        (lambda p: (p / "sub/data.bin").write_bytes(b""), "size"),
        (lambda p: (p / "sub/data.bin").unlink(), "missing"),
        (lambda p: (p / "sub/new").touch(), "extra"),
        (lambda p: ((p / "empty").unlink(), (p / "empty").symlink_to("run.json")), "kind"),
        (lambda p: ((p / "empty").unlink(), os.mkfifo(p / "empty")), "kind"),
        (lambda p: ((p / "link").unlink(), (p / "link").symlink_to("sub/data.bim")), "sha256"),
    ],
)
def test_damage_is_found(disks: Any, damage: Any, what: str) -> None:
    disks.run()
    manifest = take(disks)
    damage(Path(disks.disk.path(PART)))
    assert [d.what for d in disks.disk.verify(PART, manifest)] == [what]


def test_one_byte_is_found_though_size_and_time_agree(disks: Any) -> None:
    disks.run()
    manifest = take(disks)
    file = Path(disks.disk.path(PART), "sub/data.bin")
    times = file.stat()
    with file.open("r+b") as f:
        f.seek(12345)
        f.write(b"\x00")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [(d.path, d.what) for d in disks.disk.verify(PART, manifest)] == [("sub/data.bin", "sha256")]


def test_a_copy_that_is_not_there_is_a_difference(disks: Any) -> None:
    disks.run()
    manifest = disks.daq.manifest("run1")
    assert [d.words() for d in disks.disk.verify("run1", manifest)] == [
        ".: missing: expected a directory, found nothing"
    ]
    assert [d.what for d in disks.disk.verify("run1", Manifest([]))] == ["missing"]
    Path(disks.disk.path("run1")).symlink_to(disks.daq.path("run1"))
    assert [d.found for d in disks.disk.verify("run1", manifest)] == ["a symbolic link"]


# ---- what is refused


def test_what_is_no_file_is_refused_by_name(disks: Any) -> None:
    path = disks.run()
    os.mkfifo(path / "sub" / "pipe\n")
    with pytest.raises(NotPlainFile, match=r"storage daq: run1/sub/pipe\\n is a named pipe"):
        disks.daq.manifest("run1")
    (path / "sub" / "pipe\n").unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path / "sock"))
        with pytest.raises(NotPlainFile, match=r"run1/sock is a socket"):
            disks.daq.manifest("run1")


@pytest.mark.parametrize("target", ["/etc/passwd", "../run2/x", "sub/../../x"])
def test_links_that_lead_out_are_refused_by_name(disks: Any, target: str) -> None:
    (disks.run() / "out").symlink_to(target)
    with pytest.raises(LinkOutside, match=f"run1/out is a symbolic link to {target}, which is outside of run1"):
        disks.daq.manifest("run1")


def test_what_is_missing_or_no_directory(disks: Any) -> None:
    disks.run()
    with pytest.raises(Missing, match="storage daq: run2 is missing"):
        disks.daq.manifest("run2")
    with pytest.raises(Missing):
        disks.daq.manifest("no/run2")
    with pytest.raises(NotPlainFile, match="run1/empty is not a directory"):
        disks.daq.manifest("run1/empty")
    with pytest.raises(Missing, match="storage daq: run2 is missing"):
        disks.disk.pull(disks.daq, "run2", ".run2.1.part")


def test_a_run_that_is_a_link_is_not_followed(disks: Any, folder: Path) -> None:
    grow(ODD, os.fsencode(folder / "elsewhere"))
    Path(disks.daq.path("run1")).symlink_to(folder / "elsewhere")
    with pytest.raises(NotPlainFile, match="run1 is a symbolic link"):
        disks.daq.manifest("run1")
    with pytest.raises(NotPlainFile):
        disks.disk.pull(disks.daq, "run1", PART)
    Path(disks.daq.path("cluster")).symlink_to(folder)
    with pytest.raises(OutsideRoot, match=r"cluster/elsewhere is not a path inside .*: it leads to "):
        disks.daq.manifest("cluster/elsewhere")
    with pytest.raises(OutsideRoot):
        disks.disk.pull(disks.daq, "cluster/elsewhere", PART)


def test_unreadable_files_and_directories_are_named(nobody: Any) -> None:
    path = nobody.run()
    (path / "run.json").chmod(0)
    with pytest.raises(Unreadable, match=r"storage daq: run1/run\.json can't be read"):
        nobody.daq.manifest("run1")
    with pytest.raises(TransportFailed, match=r"pull disk:\.run1\.1\.part failed: exit code 23: .*run\.json"):
        nobody.disk.pull(nobody.daq, "run1", PART)
    (path / "run.json").chmod(0o644)
    (path / "sub").chmod(0o700)
    with pytest.raises(Unreadable, match="run1/sub can't be read"):
        nobody.daq.manifest("run1")


def test_a_copy_can_be_read_and_removed_whatever_the_modes_were(nobody: Any) -> None:
    path = nobody.run()
    (path / "run.json").chmod(0o044)
    (path / "sub").chmod(0o055)
    manifest = nobody.daq.manifest("run1")
    nobody.disk.pull(nobody.daq, "run1", PART)
    assert nobody.disk.verify(PART, manifest) == []
    nobody.disk.rename(PART, ".run1.deleting")
    assert nobody.disk.unlink(".run1.deleting", manifest) == []


def test_a_file_that_can_not_be_read_at_verification(nobody: Any) -> None:
    nobody.run()
    manifest = take(nobody)
    Path(nobody.disk.path(PART), "run.json").chmod(0)
    assert [(d.path, d.what) for d in nobody.disk.verify(PART, manifest)] == [("run.json", "unreadable")]


class Meanwhile(LocalTransport):
    """Lets something happen between the first listing and the last."""

    def __init__(self, happen: Any) -> None:
        super().__init__("here")
        self.happen = happen

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        path = command.argv[-1]
        text = command.argv[2].replace("printf '=hashes", "read -r go </tmp/x; printf '=hashes")
        if text == command.argv[2]:
            return super().run(command, timeout=timeout, work=work)
        fifo = Path(self.happen.__self__.root).parent / f"go-{path}"
        os.mkfifo(fifo)
        text = text.replace("/tmp/x", f'"{fifo}"')

        def go() -> None:
            with fifo.open("w") as f:
                self.happen()
                f.write("go\n")

        thread = threading.Thread(target=go)
        thread.start()
        try:
            return super().run(command._replace(argv=("sh", "-c", text, *command.argv[3:])), timeout=timeout, work=work)
        finally:
            thread.join()
            fifo.unlink()


class Change:
    def __init__(self, root: str, act: Any) -> None:
        self.root = root
        self.act = act

    def happen(self) -> None:
        self.act(Path(self.root, "run1"))


@pytest.mark.parametrize(
    ("act", "name", "words"),
    [
        (lambda p: (p / "run.json").write_bytes(b"grown"), "run.json", "2 bytes before, 5 bytes after"),
        (lambda p: (p / "run.json").touch(), "run.json", "other time"),
        (lambda p: (p / "run.json").unlink(), "run.json", "it vanished"),
        (lambda p: (p / "sub" / "late").touch(), "sub/late", "it appeared"),
    ],
)
def test_what_changes_while_it_is_read_is_named(disks: Any, act: Any, name: str, words: str) -> None:
    disks.run()
    disks.daq.transport = Meanwhile(Change(disks.daq.root, act).happen)
    with pytest.raises(Unstable, match=f"run1/{name} changed while it was read .*{words}"):
        disks.daq.manifest("run1")


# ---- interrupted copies


def test_a_left_over_part_is_taken_up_again(disks: Any) -> None:
    path = disks.run()
    manifest = take(disks)
    old = Path(disks.disk.path(PART))
    (old / "sub/data.bin").unlink()
    (old / "empty").write_bytes(b"half a file")
    disks.disk.pull(disks.daq, "run1", ".run1.2.part", [PART])
    new = Path(disks.disk.path(".run1.2.part"))
    assert disks.disk.verify(".run1.2.part", manifest) == []
    assert (new / "run.json").stat().st_ino == (old / "run.json").stat().st_ino
    assert (new / "empty").stat().st_ino != (old / "empty").stat().st_ino
    assert (path / "run.json").stat().st_nlink == 1, "the source shares nothing"
    disks.disk.remove_part(PART)
    assert disks.disk.verify(".run1.2.part", manifest) == []


def test_a_copy_that_is_broken_off(disks: Any) -> None:
    path = disks.run()
    with (path / "big").open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1_000_000))
    work, progress = Work("run1"), [0]
    begin = time.monotonic()

    def cancel() -> None:
        while not list(Path(disks.disk.root).glob(f"{PART}/.big.*")):
            time.sleep(0.001)
        progress.append(work.progress())
        work.cancel("the lease was lost")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(WorkCancelled, match="the lease was lost"):
        disks.disk.pull(disks.daq, "run1", PART, work=work)
    thread.join()
    assert time.monotonic() - begin < 20
    assert work.progress() >= progress[-1] > 0
    assert not disks.disk.exists(f"{PART}/big")
    disks.disk.pull(disks.daq, "run1", ".run1.2.part", [PART])
    assert disks.disk.verify(".run1.2.part", disks.daq.manifest("run1")) == []


def test_a_missing_left_over_is_no_obstacle(disks: Any) -> None:
    disks.run()
    disks.disk.pull(disks.daq, "run1", ".run1.2.part", [PART])
    assert disks.disk.verify(".run1.2.part", disks.daq.manifest("run1")) == []


def test_success_is_the_exit_code(disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks.run()
    (folder / "bin").mkdir()
    fake = folder / "bin" / "rsync"
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")

    def pretend(text: str) -> None:
        fake.write_text(f"#!/bin/sh\n{text}\n")
        fake.chmod(0o755)

    pretend("exit 23")
    with pytest.raises(TransportFailed, match="exit code 23: it said nothing"):
        disks.disk.pull(disks.daq, "run1", PART)
    pretend("echo 'file has vanished: \"/x/y\"' >&2; exit 24")
    with pytest.raises(Unstable, match="vanished"):
        disks.disk.pull(disks.daq, "run1", PART)
    pretend("echo Welcome to the cluster >&2; exit 0")
    disks.disk.pull(disks.daq, "run1", PART)


# ---- rename


def test_rename_never_writes_over(disks: Any) -> None:
    disks.run()
    take(disks)
    for taken in ("full", "empty", "file", "broken link"):
        path = Path(disks.disk.path(taken))
        if taken == "file":
            path.write_text("mine")
        elif taken == "broken link":
            path.symlink_to("nowhere")
        else:
            path.mkdir()
        if taken == "full":
            (path / "x").touch()
        with pytest.raises(Exists, match=f"storage disk: {taken} exists already"):
            disks.disk.rename(PART, taken)
        assert disks.disk.exists(PART)
        assert not disks.disk.exists(f"{taken}/{PART}")
    disks.disk.rename(PART, "-run")
    assert disks.disk.listing("-") == ["-run"]
    with pytest.raises(Missing):
        disks.disk.rename(PART, "-run")


def test_of_many_renames_to_one_name_one_wins(disks: Any) -> None:
    for i in range(12):
        Path(disks.disk.path(f"n{i}")).mkdir()
        Path(disks.disk.path(f"n{i}"), str(i)).touch()
    won = []

    def go(i: int) -> None:
        try:
            disks.disk.rename(f"n{i}", "run1")
        except Exists:
            return
        won.append(str(i))

    threads = [threading.Thread(target=go, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert [p.name for p in Path(disks.disk.path("run1")).iterdir()] == won
    assert len(disks.disk.listing("n")) == 11


# ---- looking


def test_listing_reading_and_asking(disks: Any) -> None:
    path = disks.run()
    (path / "run.end").touch()
    disks.run("a\nb")
    assert disks.daq.listing() == ["a\nb", "run1"]
    assert disks.daq.listing("ru") == ["run1"]
    assert disks.daq.listing(relative="run1/sub") == ["data.bin", "deep", "nothing"]
    assert disks.daq.having("run.end") == ["run1"]
    assert disks.daq.having("run.json") == ["a\nb", "run1"]
    (path / "odd [*?").touch()
    assert disks.daq.having("odd [*?") == ["run1"]
    assert disks.daq.having("*") == []
    assert disks.daq.read("run1/run.json") == b"{}"
    with pytest.raises(NotPlainFile, match="more than 1 bytes"):
        disks.daq.read("run1/run.json", 1)
    with pytest.raises(NotPlainFile, match="symbolic link"):
        disks.daq.read("run1/link")
    with pytest.raises(Missing):
        disks.daq.read("run1/nothing")
    with pytest.raises(Missing):
        disks.daq.listing(relative="run2")
    assert disks.daq.exists("run1")
    assert disks.daq.exists("run1/dangling")
    assert not disks.daq.exists("run2")
    assert not disks.daq.exists("run2/x")


def test_space_is_that_of_the_file_system(disks: Any) -> None:
    space = disks.disk.space()
    real = os.statvfs(disks.disk.root)
    assert space.total == real.f_blocks * real.f_frsize
    assert abs(space.free - real.f_bavail * real.f_frsize) < 1_000_000_000
    assert 0 < space.used < space.total
    assert 0 < space.percent < 100


def test_directories_are_made_inside(disks: Any, folder: Path) -> None:
    disks.disk.make("cluster/user")
    disks.disk.make("cluster/user")
    assert Path(disks.disk.path("cluster/user")).is_dir()
    (folder / "outside").mkdir()
    Path(disks.disk.path("out")).symlink_to(folder / "outside")
    with pytest.raises(OutsideRoot):
        disks.disk.make("out/x")
    assert list((folder / "outside").iterdir()) == []


def test_two_thousand_files_at_once(disks: Any) -> None:
    path = Path(disks.daq.path("run1"))
    for i in range(2000):
        if i % 100 == 0:
            (path / str(i // 100)).mkdir(parents=True)
        (path / str(i // 100) / f"{i}.dat").write_bytes(str(i).encode() * 100)
    begin = time.monotonic()
    manifest = take(disks)
    assert disks.disk.verify(PART, manifest) == []
    assert manifest.nfiles == 2000
    assert time.monotonic() - begin < 30
    begin = time.monotonic()
    disks.daq.bundle(disks.tape, ".b.1.part", [("run1", "run1")])
    assert disks.tape.verify_bundle(".b.1.part", {"run1": manifest}) == []
    assert time.monotonic() - begin < 60
    disks.disk.rename(PART, ".run1.deleting")
    assert disks.disk.unlink(".run1.deleting", manifest) == []
