"""Many run directories at once: one process for all, and what is wrong with one spoils no other."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from support.trees import ODD, grow, look

from ondeck.sites.storage import (
    Exists,
    LinkOutside,
    Manifest,
    Missing,
    NotMounted,
    NotOurs,
    NotPlainFile,
    NoUuid,
    OutsideRoot,
    Storage,
    Unreadable,
    Unstable,
    WrongDisk,
)
from ondeck.sites.transport import Command, LocalTransport, Result
from ondeck.sites.work import Work

NAMES = [
    "run1",
    "-rf",
    "a b",
    "it's",
    'say "hi"',
    "back\\slash",
    "\udcff\udc80",
    "übung",
    "$(touch pwned)",
    "host:x",
    "@",
    "#x",
]


class Counting(LocalTransport):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__("here")
        self.asked: list[str] = []

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        self.asked.append(command.title)
        return super().run(command, timeout=timeout, work=work)


def runs(disks: Any, names: list[str] | None = None) -> dict[str, str]:
    """Make runs at the DAQ; {part on the disk: name}."""
    for name in names or NAMES:
        disks.run(name)
    disks.disk.make("lab")
    return {f"lab/.{name}.{i}.part": name for i, name in enumerate(names or NAMES)}


def good(manifests: Any) -> dict[str, Manifest]:
    assert all(isinstance(m, Manifest) for m in manifests.values()), manifests
    return dict(manifests)


def test_the_road_of_many_runs(disks: Any) -> None:
    parts = runs(disks)
    manifests = good(disks.daq.manifests(NAMES))
    assert disks.disk.pull_many(disks.daq, parts) is None
    assert disks.disk.fsync_many(parts) == {}
    assert disks.disk.verify_many({p: manifests[n] for p, n in parts.items()}) == {p: [] for p in parts}
    assert disks.disk.rename_many({p: f"lab/{n}" for p, n in parts.items()}) == {}
    assert disks.disk.listing(".", "lab") == []
    for name in NAMES:
        assert look(disks.disk.path(f"lab/{name}")) == look(disks.daq.path(name))
    assert not Path("/pwned").exists(), "commands run in /"


def test_many_are_one_question(disks: Any) -> None:
    parts = runs(disks)
    disks.daq.transport = disks.disk.transport = Counting()
    manifests = good(disks.daq.manifests(NAMES))
    disks.disk.fsync_many(parts)
    disks.disk.verify_many({p: manifests[n] for p, n in parts.items()})
    disks.disk.rename_many({p: f"lab/{n}" for p, n in parts.items()})
    disks.disk.exists_many(parts)
    disks.disk.remove_parts(parts)
    assert len(disks.disk.transport.asked) == 6
    disks.disk.pull_many(disks.daq, parts)
    assert len(disks.disk.transport.asked) == 9


def test_no_process_for_each_run(disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is started on the way of 100 runs is counted, mv aside."""
    names = [f"r{i}" for i in range(100)]
    for name in names:
        path = Path(disks.daq.path(name))
        path.mkdir()
        (path / "x").write_text(name)
    log = folder / "log"
    (folder / "bin").mkdir()
    for tool in (
        "find",
        "xargs",
        "sha256sum",
        "openssl",
        "rsync",
        "sync",
        "stat",
        "tr",
        "sh",
        "tar",
        "ln",
        "rm",
        "mktemp",
    ):
        path = folder / "bin" / tool
        real = next(f"{d}/{tool}" for d in ("/usr/bin", "/bin") if Path(d, tool).exists())
        path.write_text(f'#!/bin/sh\necho {tool} >>"{log}"\nexec {real} "$@"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    parts = {f".{n}.1.part": n for n in names}
    manifests = good(disks.daq.manifests(names))
    disks.disk.pull_many(disks.daq, parts)
    assert disks.disk.fsync_many(parts) == {}
    assert set(map(len, disks.disk.verify_many({p: manifests[n] for p, n in parts.items()}).values())) == {0}
    assert disks.disk.rename_many(parts) == {}
    assert 10 < len(log.read_text().splitlines()) < 80


# ---- one that is wrong among many


def test_one_bad_directory_spoils_no_other(disks: Any, folder: Path) -> None:
    runs(disks, ["good1", "pipe", "out", "good2"])
    os.mkfifo(disks.daq.path("pipe") + "/sub/fifo")
    Path(disks.daq.path("out"), "link").unlink()
    Path(disks.daq.path("out"), "link").symlink_to("/etc/passwd")
    Path(disks.daq.path("file")).write_text("a file")
    Path(disks.daq.path("linked")).symlink_to("good1")
    Path(disks.daq.path("away")).symlink_to(folder)
    wanted = ["good1", "pipe", "out", "file", "linked", "nothing", "no/run", "../x", "away/disk", "good2"]
    found = disks.daq.manifests(wanted)
    assert list(map(type, (found[w] for w in wanted))) == [
        *(Manifest, NotPlainFile, LinkOutside, NotPlainFile, NotPlainFile, Missing, Missing, OutsideRoot, OutsideRoot),
        Manifest,
    ]
    assert "storage daq: pipe/sub/fifo is a named pipe" in str(found["pipe"])
    assert "storage daq: nothing is missing" in str(found["nothing"])
    assert "storage daq: no/run is missing" in str(found["no/run"])
    assert found["good1"] == disks.daq.manifest("good1")


def test_unreadable_ones_are_known_by_name(nobody: Any) -> None:
    runs(nobody, ["a", "b", "c", "d"])
    Path(nobody.daq.path("b"), "run.json").chmod(0)
    Path(nobody.daq.path("c")).chmod(0)
    found = nobody.daq.manifests(["a", "b", "c", "d"])
    Path(nobody.daq.path("c")).chmod(0o755)
    assert isinstance(found["a"], Manifest)
    assert isinstance(found["d"], Manifest)
    assert isinstance(found["b"], Unreadable)
    assert isinstance(found["c"], Exception)
    assert "storage daq: c:" in str(found["c"])


class Changing(LocalTransport):
    """Lets something happen between the first listing and the last."""

    def __init__(self, words: str) -> None:
        super().__init__("here")
        self.words = words

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        text = command.argv[2].replace("printf '=again", f"{self.words}; printf '=again")
        return super().run(command._replace(argv=("sh", "-c", text, *command.argv[3:])), timeout=timeout, work=work)


@pytest.mark.parametrize("words", ["echo more >>b/run.json", "touch b/new", "rm b/empty"])
def test_the_one_that_changes_meanwhile(disks: Any, words: str) -> None:
    runs(disks, ["a", "b", "c"])
    disks.daq.transport = Changing(words)
    found = disks.daq.manifests(["a", "b", "c"])
    assert [type(found[n]) for n in "abc"] == [Manifest, Unstable, Manifest]


def test_the_one_that_goes_away_meanwhile(disks: Any) -> None:
    runs(disks, ["a", "b", "c"])
    disks.daq.transport = Changing("rm -rf b")
    found = disks.daq.manifests(["a", "b", "c"])
    assert [type(found[n]) for n in "abc"] == [Manifest, Missing, Manifest]


def test_differences_are_those_of_one(disks: Any) -> None:
    parts = runs(disks, ["a", "b", "c", "d"])
    manifests = good(disks.daq.manifests("abcd"))
    disks.disk.pull_many(disks.daq, parts)
    _, two, three, four = parts
    Path(disks.disk.path(two), "run.json").write_bytes(b"{x")
    disks.disk.remove_part(three)
    Path(disks.disk.path(four), "sub", "data.bin").unlink()
    found = disks.disk.verify_many({p: manifests[n] for p, n in parts.items()})
    assert [[d.what for d in found[p]] for p in parts] == [[], ["sha256"], ["missing"], ["missing"]]
    assert (found[three][0].path, found[four][0].path) == (".", "sub/data.bin")


def test_what_the_source_lacks_is_seen_by_verification(disks: Any) -> None:
    parts = runs(disks, ["a", "b", "c", "d"])
    manifests = good(disks.daq.manifests("abcd"))
    Path(disks.daq.path("b")).rename(disks.daq.path("elsewhere"))
    Path(disks.daq.path("c")).rename(disks.daq.path("moved"))
    Path(disks.daq.path("c")).symlink_to("moved")
    disks.disk.pull_many(disks.daq, parts)
    found = disks.disk.verify_many({p: manifests[n] for p, n in parts.items()})
    assert [bool(found[p]) for p in parts] == [False, True, True, False]
    assert set(disks.disk.fsync_many(parts)) == {p for p, n in parts.items() if n in "bc"}


def test_a_part_that_is_a_link_is_not_written_through(disks: Any) -> None:
    parts = runs(disks, ["a", "b"])
    Path(disks.disk.path("mine")).mkdir()
    first = next(iter(parts))
    Path(disks.disk.path(first)).symlink_to("../mine")
    disks.disk.pull_many(disks.daq, parts)
    assert list(Path(disks.disk.path("mine")).iterdir()) == []


def test_a_broken_off_batch_is_taken_up(disks: Any) -> None:
    parts = runs(disks, ["a", "b"])
    disks.disk.pull_many(disks.daq, parts)
    for part in parts:
        Path(disks.disk.path(part), "empty").write_bytes(b"half")
    disks.disk.pull_many(disks.daq, parts)
    manifests = good(disks.daq.manifests("ab"))
    assert disks.disk.verify_many({p: manifests[n] for p, n in parts.items()}) == {p: [] for p in parts}


def test_renames_that_fail_are_named(disks: Any) -> None:
    parts = runs(disks, ["a", "b", "c", "d"])
    disks.disk.pull_many(disks.daq, parts)
    one, two, three, four = parts
    Path(disks.disk.path("lab/b")).mkdir()
    disks.disk.remove_part(three)
    failed = disks.disk.rename_many({one: "lab/a", two: "lab/b", three: "lab/c", four: "elsewhere"})
    assert {k: type(v) for k, v in failed.items()} == {two: Exists, three: Missing, four: OutsideRoot}
    assert "storage disk: lab/b exists already" in str(failed[two])
    assert disks.disk.exists_many([one, two, four, "lab/a", "lab/c"]) == {two, four, "lab/a"}


def test_of_two_renames_to_one_name_one_wins(disks: Any) -> None:
    parts = runs(disks, ["a", "b"])
    disks.disk.pull_many(disks.daq, parts)
    failed = disks.disk.rename_many(dict.fromkeys(parts, "lab/x"))
    assert [type(e) for e in failed.values()] == [Exists]
    assert disks.disk.exists_many(parts) == set(failed)


def test_only_parts_are_pulled_and_removed(disks: Any) -> None:
    runs(disks, ["a"])
    with pytest.raises(NotOurs):
        disks.disk.pull_many(disks.daq, {"lab/a": "a"})
    with pytest.raises(NotOurs):
        disks.daq.remove_parts([".x.1.part", "a"])
    assert disks.daq.exists("a")


def test_left_overs_belong_to_their_run(disks: Any) -> None:
    for name in (".a.1.part", ".a.12.part", ".a.b.3.part", ".a.x.part", "a.1.part", ".a.1.part.x", ".b.7.part"):
        disks.disk.make(f"lab/{name}")
    found = disks.disk.leftovers(["lab/a", "lab/a.b", "lab/c", "no/a", "a"])
    assert found == {"lab/a": [".a.1.part", ".a.12.part"], "lab/a.b": [".a.b.3.part"], "lab/c": [], "no/a": [], "a": []}
    disks.disk.remove_parts(["lab/.a.1.part", "lab/.b.7.part", "no/.x.1.part", "lab/.gone.1.part"])
    assert disks.disk.listing(".", "lab") == [".a.1.part.x", ".a.12.part", ".a.b.3.part", ".a.x.part"]


def test_none_at_all(disks: Any) -> None:
    disks.disk.transport = disks.daq.transport = Counting()
    assert disks.disk.manifests([]) == {}
    assert disks.disk.verify_many({}) == {}
    assert disks.disk.fsync_many([]) == {}
    assert disks.disk.rename_many({}) == {}
    assert disks.disk.exists_many([]) == set()
    assert disks.disk.leftovers([]) == {}
    disks.disk.make_many([])
    disks.disk.remove_parts([])
    disks.disk.pull_many(disks.daq, {})
    assert disks.disk.transport.asked == []


# ---- where it is


@pytest.mark.parametrize("side", ["daq", "disk"])
@pytest.mark.parametrize("what", ["another uuid", "no root"])
def test_on_another_disk_nothing_is_done(disks: Any, folder: Path, side: str, what: str) -> None:
    parts = runs(disks, ["a", "b"])
    storage = getattr(disks, side)
    if what == "no root":
        Path(storage.root).rename(folder / "unmounted")
    else:
        Path(storage.root, ".ondeck-storage").write_text("uuid-of-somebody\n")
    before = look(folder)
    with pytest.raises(NotMounted if what == "no root" else WrongDisk, match=f"storage {side}"):
        disks.disk.pull_many(disks.daq, parts)
    acts = [
        *(lambda: storage.manifests(["a"]), lambda: storage.verify_many({"a": Manifest([])})),
        *(lambda: storage.fsync_many(["a"]), lambda: storage.rename_many({"a": "b"})),
        *(lambda: storage.exists_many(["a"]), lambda: storage.make_many(["new"])),
        *(lambda: storage.leftovers(["a"]), lambda: storage.remove_parts([".a.1.part"])),
    ]
    for act in acts:
        with pytest.raises(NotMounted if what == "no root" else WrongDisk):
            act()
    assert look(folder) == before


def test_without_a_uuid_nothing_is_changed(disks: Any) -> None:
    new = Storage("new", disks.disk.root, disks.disk.transport)
    for act in (
        lambda: new.fsync_many(["a"]),
        lambda: new.rename_many({"a": "b"}),
        lambda: new.remove_parts([".a.1.part"]),
        lambda: new.make_many(["a"]),
        lambda: new.pull_many(disks.daq, {".a.1.part": "a"}),
    ):
        with pytest.raises(NoUuid):
            act()


# ---- checksums


def only(folder: Path, monkeypatch: pytest.MonkeyPatch, openssl: str | None) -> None:
    """A PATH with everything, and for openssl a script, or nothing."""
    (folder / "bin").mkdir()
    for directory in ("/usr/bin", "/bin"):
        for tool in Path(directory).iterdir():
            if tool.name != "openssl" and not (folder / "bin" / tool.name).is_symlink():
                (folder / "bin" / tool.name).symlink_to(tool)
    if openssl is not None:
        (folder / "bin" / "openssl").write_text(f"#!/bin/sh\n{openssl}\n")
        (folder / "bin" / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))


@pytest.mark.parametrize(
    "openssl",
    [
        None,
        "exit 1",
        "exec sha1sum",
        # right for the first question, then: fails; is cut off in a name; gives wrong checksums and fails
        '[ $# -gt 3 ] || exec /usr/bin/openssl "$@"; exit 1',
        '[ $# -gt 3 ] || exec /usr/bin/openssl "$@"; /usr/bin/openssl "$@" | head -c 100; exit 1',
        '[ $# -gt 3 ] || exec /usr/bin/openssl "$@"; /usr/bin/openssl "$@" | tr 0-9 3; exit 1',
    ],
)
def test_checksums_without_openssl(
    disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, openssl: str | None
) -> None:
    runs(disks, ["a", "b"])
    usual = good(disks.daq.manifests("ab"))
    only(folder, monkeypatch, openssl)
    assert good(disks.daq.manifests("ab")) == usual


def test_openssl_is_used_where_no_name_has_a_line_break(
    disks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {name: item for name, item in ODD.items() if b"\n" not in name}
    grow(odd, os.fsencode(disks.daq.path("a")))
    usual = disks.daq.manifest("a")
    only(folder, monkeypatch, f'echo "$#" >>"{folder}/log"; exec /usr/bin/openssl "$@"')
    (folder / "bin" / "sha256sum").unlink()
    assert disks.daq.manifest("a") == usual
    assert len((folder / "log").read_text().splitlines()) == 2


def test_checksums_are_those_of_their_files(nobody: Any) -> None:
    """One of 2,000 that can't be read shifts no checksum to its neighbour."""
    path = Path(nobody.daq.path("run1"))
    path.mkdir()
    for i in range(2000):
        (path / f"{i}\\{i}").write_text(str(i))
    assert {e.path: e.sha256 for e in nobody.daq.manifest("run1").entries} == {
        f"{i}\\{i}": hashlib.sha256(str(i).encode()).hexdigest() for i in range(2000)
    }
    manifest = nobody.daq.manifest("run1")
    (path / "77\\77").chmod(0)
    (path / "1500\\1500").unlink()
    found = nobody.daq.verify("run1", manifest)
    assert sorted((d.path, d.what) for d in found) == [("1500\\1500", "missing"), ("77\\77", "unreadable")]
