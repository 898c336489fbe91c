"""Directories of odd files, and storages to put them in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Tree = dict[bytes, Any]  # bytes: a file; a Tree: a directory; str: a link's target

ODD_NAMES = [
    *(
        b"-rf",
        b"--help",
        b"*",
        b"a b",
        b"a\nb",
        b"\\n",
        b"'",
        b'"',
        b"$(touch pwned)",
        b"host:x",
        b"=end",
    ),
    *(
        b"\xc3\xbc",
        b"\xff\x80",
        b"..a",
        b" ",
        b"f 1 2 x",
        b"@",
        b"#x",
        b"x" * 255,
        b".hidden",
        b"a -> b",
        b"%n",
    ),
]
NAMES = st.one_of(
    st.binary(min_size=1, max_size=12).map(lambda b: b.replace(b"/", b"|").replace(b"\0", b"0")),
    st.sampled_from(ODD_NAMES),
).filter(lambda b: b not in (b".", b".."))

FILES = st.one_of(st.binary(max_size=40), st.sampled_from([0, 5000, 70000]).map(bytes))
TREES = st.recursive(
    st.dictionaries(NAMES, FILES | st.sampled_from(["somewhere", "a b", "\udcff", "x\ny -> z"]), max_size=5),
    lambda inner: st.dictionaries(NAMES, FILES | inner, max_size=5),
    max_leaves=8,
)


def grow(tree: Tree, path: bytes) -> None:
    """Make a directory at `path` with what is in `tree`."""
    top = Path(os.fsdecode(path))
    top.mkdir()
    for name, item in tree.items():
        inner = top / os.fsdecode(name)
        if isinstance(item, dict):
            grow(item, os.fsencode(inner))
        elif isinstance(item, str):
            inner.symlink_to(item)
        else:
            inner.write_bytes(item)


def look(path: str | Path) -> dict[bytes, tuple[str, bytes]]:
    """{relative path: (kind, bytes or target)} of all below a directory, seen by Python alone."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            inner = Path(folder, name)
            relative = os.fsencode(inner.relative_to(path))
            if inner.is_symlink():
                found[relative] = ("l", os.fsencode(inner.readlink()))
            elif inner.is_dir():
                found[relative] = ("d", b"")
            elif inner.is_file():
                found[relative] = ("f", inner.read_bytes())
            else:
                found[relative] = ("?", b"")
    return found


def wipe(path: bytes | str | Path) -> None:
    """Remove a directory and all that is in it."""
    shutil.rmtree(os.fsencode(path))


ODD: Tree = {
    b"run.json": b"{}",
    b"empty": b"",
    b"-rf": b"dash",
    b"new\nline": b"line",
    b"\xff\xfe": b"no utf-8",
    "übung".encode(): b"umlaut",
    b"x" * 255: b"long",
    b"host:path": b"colon",
    b"; touch pwned": b"hostile",
    b"back\\nslash": b"backslash",
    b"link": "sub/data.bin",
    b"dangling": "nowhere",
    b"sub": {b"data.bin": bytes(range(256)) * 100, b"deep": {b"er": {b"file": b"deep"}}, b"nothing": {}},
}
