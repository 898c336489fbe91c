"""What storages decide without asking a site."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.sites.storage import (
    Entry,
    Manifest,
    NoRoad,
    NotOurs,
    NoUuid,
    OutsideRoot,
    Space,
    Storage,
    reading,
)
from ondeck.sites.storage.paths import is_tail
from ondeck.sites.transport import Command, Result, Transport
from ondeck.sites.work import Work


class Nowhere(Transport):
    """Asking it is an error."""

    place = "nowhere"

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        raise AssertionError(f"{command.title} was run")


def disk(uuid: str | None = "5" * 8, root: str = "/data/raw") -> Storage:
    return Storage("disk", root, Nowhere("nowhere"), uuid)


BAD = [
    "",
    "/etc",
    "..",
    "../x",
    "a/../b",
    "a/..",
    ".",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    "a\nb",
    "x" * 256,
    ".ondeck-storage",
]


@pytest.mark.parametrize("path", BAD)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(OutsideRoot, match=r"storage disk: .* is not a path inside /data/raw"):
        disk().path(path)


@pytest.mark.parametrize("path", ["run1", "a/b", "-rf", "..x", "x..", "a b", "\udcff", "host:x", "~", "x" * 255])
def test_paths_that_are_not(path: str) -> None:
    assert disk().path(path) == f"/data/raw/{path}"
    assert disk(root="/").path(path) == f"/{path}"


@given(st.text(st.sampled_from("./a\n\0"), max_size=12))
def test_no_path_climbs(path: str) -> None:
    try:
        found = disk().path(path)
    except OutsideRoot:
        return
    assert found.startswith("/data/raw/")
    assert not {"", ".", ".."} & set(found[1:].split("/"))


@pytest.mark.parametrize("root", ["data", "", "./data", "/da\nta", "/da\0ta"])
def test_roots_that_are_refused(root: str) -> None:
    with pytest.raises(OutsideRoot, match="a root is absolute, on one line"):
        disk(root=root)


def test_a_root_is_shown_without_its_last_slash() -> None:
    assert disk(root="/data/").root == "/data"
    assert repr(disk()) == "<Storage disk at /data/raw on nowhere>"


PARTS = [
    "run1",
    "run1.1.part",
    ".run1.part",
    ".run1.x.part",
    ".run1.1.part.x",
    ".1.part",
    "..1.part/x",
    ".run1.-1.part",
]


@pytest.mark.parametrize("path", PARTS)
def test_only_parts_are_written_and_removed(path: str) -> None:
    with pytest.raises(NotOurs, match=r"only names of the form \.NAME\.NUMBER\.part"):
        disk().remove_part(path)
    with pytest.raises(NotOurs):
        disk().pull(disk(), "run1", path)
    with pytest.raises(NotOurs):
        disk().pull(disk(), "run1", ".run1.2.part", [path])


@pytest.mark.parametrize("path", ["run1", ".deleting", "run1.deleting", ".run1.deleting.x", ".run1.deleting/x"])
def test_only_what_is_named_deleting_is_unlinked(path: str) -> None:
    with pytest.raises(NotOurs, match=r"only names of the form \.NAME\.deleting"):
        disk().unlink(path, Manifest([]))


def test_without_uuid_nothing_is_written_or_removed() -> None:
    new = disk(None)
    acts = [
        lambda: new.remove_part(".run1.1.part"),
        lambda: new.unlink(".run1.deleting", Manifest([])),
        lambda: new.rename("a", "b"),
        lambda: new.fsync("a"),
        lambda: new.make("a"),
        lambda: new.pull(disk(), "run1", ".run1.1.part"),
        lambda: new.bundle(disk(), ".b.1.part", [("run1", "run1")]),
        lambda: disk().bundle(new, ".b.1.part", [("run1", "run1")]),
    ]
    for act in acts:
        with pytest.raises(NoUuid, match="storage disk: /data/raw has no known uuid"):
            act()


def test_data_stay_on_one_machine() -> None:
    far = Nowhere("far")
    far.place = "far"
    other = Storage("far", "/far", far, "7" * 8)
    with pytest.raises(NoRoad, match=r"from far \(far\) to disk \(nowhere\)"):
        disk().pull(other, "run1", ".run1.1.part")
    with pytest.raises(NoRoad):
        disk().bundle(other, ".b.1.part", [("run1", "run1")])


def test_a_rename_stays_in_its_directory() -> None:
    with pytest.raises(OutsideRoot, match="a rename stays in its directory"):
        disk().rename("a/x", "b/x")


@pytest.mark.parametrize("uuid", ["", "short", "a b c d e f", "x" * 65, "abcdefg\nh"])
def test_what_is_no_uuid(uuid: str) -> None:
    with pytest.raises(ValueError, match="is no uuid"):
        disk().initialise(uuid)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "a bundle needs members"),
        ([("run1", "run2")], "'run2' is not the end of 'run1'"),
        ([("xrun1", "run1")], "'run1' is not the end of 'xrun1'"),
        ([("a/run1", "run1"), ("b/run1", "run1")], "'run1' stands twice"),
        ([("a", "a"), ("a/b", "a/b")], "'a/b' stands twice"),
    ],
)
def test_members_of_a_bundle(members: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        disk().bundle(disk("6" * 8), ".b.1.part", members)


def test_tails() -> None:
    assert is_tail("b/c", "a/b/c")
    assert is_tail("c", "c")
    assert not is_tail("c", "abc")


def test_space_in_percent_as_df_counts() -> None:
    assert Space(100, 60, 20).percent == 75.0
    assert Space(0, 0, 0).percent == 100.0


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("l", "/etc/passwd", True),
        ("l", "..", True),
        ("l", "../x", True),
        ("a/l", "..", False),
        ("a/l", "../x", False),
        ("a/l", "../../x", True),
        ("a/b/l", "../../x", False),
        ("l", "a/../../x", True),
        ("l", "a/../x", False),
        ("l", "..x", False),
        ("l", ".", False),
    ],
)
def test_links_that_lead_outside(path: str, target: str, out: bool) -> None:
    assert reading.leaves(path, target) is out


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"12.3456789010", 12_345_678_901),
        (b"12", 12_000_000_000),
        (b"12.5", 12_500_000_000),
        (b"-2.5000000000", -1_500_000_000),
    ],
)
def test_times(text: bytes, ns: int) -> None:
    assert reading.nanoseconds(text) == ns


def test_the_record_of_an_entry_is_what_find_prints() -> None:
    record = reading.unlink_record(Entry("a\udcff b", "f", 7, -1_500_000_001, ""), ".r.deleting")
    assert record == b"f 7 -2.4999999990 ./.r.deleting/a\xff b\0"


EMPTY = b"=list\0d 1 1.0 ./r\0=hashes 0\0=again 0\0d 1 1.0 ./r\0=end 0\0"


def test_an_empty_directory() -> None:
    assert reading.parse_readings(EMPTY) == ({"r": reading.Reading([], {}, {}, [], {}, True)}, True)


@pytest.mark.parametrize("cut", range(len(EMPTY) - 1))
def test_an_answer_that_is_cut_off_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match=r".*"):
        reading.parse_readings(EMPTY[:cut])


def one(before: bytes, after: bytes, hashes: bytes = b"") -> reading.Reading:
    top, (before, after) = b"d 1 1.0 ./r\0", (part.replace(b"x\0", b"./r/x\0") for part in (before, after))
    out = b"=list\0" + top + before + b"=hashes 0\0" + hashes + b"=again 0\0" + top + after + b"=end 0\0"
    return reading.parse_readings(out)[0]["r"]


def test_what_changes_while_it_is_read() -> None:
    digest = b"a" * 64 + b"  ./r/x\0"
    assert one(b"f 1 1.0 x\0", b"f 2 1.0 x\0", digest).changed == {"x": "1 bytes before, 2 bytes after"}
    assert one(b"f 1 1.0 x\0", b"f 1 1.1 x\0", digest).changed == {"x": "other time or kind"}
    assert one(b"f 1 1.0 x\0", b"", digest).changed == {"x": "it vanished"}
    assert one(b"", b"f 1 1.0 x\0").changed == {"x": "it appeared"}
    assert one(b"l 1 1.0 x\0a\0", b"l 1 1.0 x\0b\0").changed == {"x": "other time or kind"}
    assert one(b"d 1 1.0 x\0", b"d 1 2.0 x\0").changed == {}


def test_what_has_no_checksum_was_not_read() -> None:
    assert one(b"f 1 1.0 x\0", b"f 1 1.0 x\0").unreadable == ["x"]
    assert one(b"u 1 1.0 x\0", b"u 1 1.0 x\0").unreadable == ["x"]
    assert one(b"p 0 1.0 x\0", b"p 0 1.0 x\0").special == {"x": "a named pipe"}
    assert one(b"? 0 1.0 x\0", b"? 0 1.0 x\0").special == {"x": "of the unknown type ?"}


def test_a_tar_line_that_is_not_understood_is_a_difference() -> None:
    found, twice = reading.parse_tar(b"nonsense\n", b"")
    assert [item.sha256 for item in found.values()] == [None]
    assert twice == []


def test_a_lost_checksum_does_not_spoil_the_next() -> None:
    listing = b'-rw 0/0 1 2024-01-01 00:00 "a"\n-rw 0/0 1 2024-01-01 00:00 "b"\n'
    found, _ = reading.parse_tar(listing, b"a\x001\0b\x001\0" + b"c" * 64 + b"  -\0")
    assert found["a"].sha256 is None
    assert found["b"].sha256 == "c" * 64
