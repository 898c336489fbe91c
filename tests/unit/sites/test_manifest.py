import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.sites.quote import to_bytes, to_text
from ondeck.sites.storage import Difference, Entry, Manifest, ManifestDamaged, compare
from ondeck.sites.storage.differences import Content, content

A, B = "a" * 64, "b" * 64
PATHS = st.binary(min_size=1, max_size=20).map(lambda b: to_text(b.replace(b"\0", b"0")))
ENTRIES = st.builds(
    Entry,
    PATHS,
    st.sampled_from("fl"),
    st.integers(0, 2**63),
    st.integers(-(2**62), 2**62),
    st.sampled_from([A, B]),
)
MANIFESTS = st.lists(ENTRIES, max_size=8, unique_by=lambda e: e.path).map(Manifest)


@given(MANIFESTS)
def test_it_comes_back_as_it_was(manifest: Manifest) -> None:
    again = Manifest.loads(manifest.dumps())
    assert again == manifest
    assert hash(again) == hash(manifest)
    assert again.entries == manifest.entries
    assert [to_bytes(e.path) for e in again.entries] == sorted(to_bytes(e.path) for e in manifest.entries)


@given(MANIFESTS, MANIFESTS)
def test_digest_is_the_content(one: Manifest, two: Manifest) -> None:
    differ = compare(content(one.entries), content(two.entries))
    assert one.content_equal(two) == (not differ) == (one.digest == two.digest)


@given(MANIFESTS, st.data())
def test_times_are_not_content_all_else_is(manifest: Manifest, data: st.DataObject) -> None:
    if not manifest.entries:
        return
    i = data.draw(st.integers(0, manifest.nfiles - 1))
    entry = manifest.entries[i]
    rest = manifest.entries[:i] + manifest.entries[i + 1 :]
    assert manifest.content_equal(Manifest([*rest, entry._replace(mtime_ns=entry.mtime_ns + 1)]))
    other_kind = "l" if entry.kind == "f" else "f"
    changes = [
        {"kind": other_kind},
        {"nbytes": entry.nbytes + 1},
        {"sha256": "c" * 64},
        {"path": entry.path + "~" * 30},
    ]
    for change in changes:
        other = Manifest([*rest, entry._replace(**change)])  # type: ignore[arg-type]
        assert not manifest.content_equal(other)
        assert manifest != other
    assert not manifest.content_equal(Manifest(rest))


def test_sums() -> None:
    manifest = Manifest([Entry("b", "f", 5, 0, A), Entry("a", "l", 3, 0, B), Entry("c", "f", 7, 0, A)])
    assert (manifest.nfiles, manifest.nbytes, [e.path for e in manifest.entries]) == (3, 12, ["a", "b", "c"])
    assert (Manifest([]).nfiles, Manifest([]).nbytes) == (0, 0)
    assert repr(manifest).startswith("<Manifest of 3 files, 12 bytes, ")


def test_a_path_stands_once() -> None:
    with pytest.raises(ManifestDamaged, match="'a' stands in it twice"):
        Manifest([Entry("a", "f", 5, 0, A), Entry("a", "f", 6, 0, A)])


def test_what_is_damaged_is_not_believed() -> None:
    whole = Manifest([Entry("a", "f", 5, 1, A), Entry("b", "f", 6, 2, B)]).dumps()
    text = zlib.decompress(whole)
    damaged = [
        b"",
        b"junk",
        whole[:-5],
        zlib.compress(text.rpartition(b"\n")[0]),
        zlib.compress(text.replace(A.encode(), B.encode())),
        zlib.compress(text.replace(b'"a"', b'"c"')),
        zlib.compress(text.replace(b'"manifest": 1', b'"manifest": 2')),
        zlib.compress(text.replace(b'"f",5', b'"x",5')),
        zlib.compress(text.replace(b",5,", b',"5",')),
        zlib.compress(b"[]"),
        zlib.compress(b""),
    ]
    for data in damaged:
        with pytest.raises(ManifestDamaged, match="A stored manifest can't be read"):
            Manifest.loads(data)


def test_each_difference_has_its_word() -> None:
    expected = {
        "gone": Content("f", 1, A),
        "kind": Content("f", 1, A),
        "long": Content("f", 1, A),
        "rot": Content("f", 1, A),
        "shut": Content("f", 1, A),
        "same": Content("l", 1, A),
    }
    found = {
        "kind": Content("l", 1, A),
        "long": Content("f", 2, A),
        "rot": Content("f", 1, B),
        "shut": Content("f", 0, None),
        "same": Content("l", 1, A),
        "new\n": Content("a socket", 0, None),
    }
    differences = compare(expected, found)
    assert {d.path: d.what for d in differences} == {
        **{"gone": "missing", "kind": "kind", "long": "size"},
        **{"new\n": "extra", "rot": "sha256", "shut": "unreadable"},
    }
    words = {d.path: d.words() for d in differences}
    assert words["gone"] == "gone: missing: expected a plain file, found nothing"
    assert words["new\n"] == "new\\n: extra: expected nothing, found a socket"
    assert words["long"] == "long: size: expected 1 bytes, found 2 bytes"
    assert words["rot"] == f"rot: sha256: expected {A}, found {B}"


def test_what_can_not_be_read_never_equals_itself() -> None:
    item = {"x": Content("f", 1, None)}
    assert [d.what for d in compare(item, item)] == ["unreadable"]
    assert compare({}, {}) == []
    assert isinstance(compare(item, {})[0], Difference)
