from __future__ import annotations

import os
import stat
import threading
import tomllib
from pathlib import Path

import pytest

from ondeck.config import load
from ondeck.config.dump import effective
from ondeck.config.write import FOLDERS, CantWrite, ConfigExists, init, name_of, text


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("beam2026", "beam2026"),
        ("My Exp 7", "my-exp-7"),
        ("2026-run", "run"),
        ("ÄÖÜ", "ondeck"),
        ("", "ondeck"),
        ("a", "a"),
        ("x" * 50, "x" * 31),
        ("a\nb'\"", "a-b"),
        ("_x", "x"),
        ("a" * 30 + "-b", "a" * 30),
        ("Test_1", "test_1"),
    ],
)
def test_the_name_comes_from_the_folder(folder: str, name: str) -> None:
    assert name_of(Path("/") / folder) == name
    assert tomllib.loads(text(Path("/") / folder))["name"] == name


def test_what_is_written_works(tmp_path: Path, real_plugins: None) -> None:
    folder = tmp_path / "My Exp"
    file = init(folder)
    assert file == folder / "ondeck.toml"
    config = load(file)
    assert config.name == "my-exp"
    assert config.database.shown_url == f"sqlite:///{folder}/ondeck.db"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FOLDERS, "ondeck.toml"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [config.storages[name].path.name for name in ("daq", "disk", "tape")] == ["daq", "raw", "archive"]
    assert all(storage.path.is_dir() for storage in config.storages.values())
    assert config.sites["here"].work.is_dir()
    assert config.state_dir.is_dir()
    assert config.template("checksums.sh") is not None
    assert (folder / "templates" / "README").read_text()


def test_each_key_of_it_is_explained_on_its_line() -> None:
    for line in text(Path("x")).splitlines():
        plain = line.split(" =")[0] in ("site", "path", "storage", "cores", "memory")
        if "=" in line and not line.startswith("#") and not plain:
            assert "#" in line, line
        assert len(line) <= 120


def test_its_commented_parts_are_right_too(tmp_path: Path, real_plugins: None) -> None:
    file = init(tmp_path)
    lines = file.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# [sinks.mail]"))
    begin = next(number for number, line in enumerate(lines) if line.startswith("# begin"))
    for number in (begin, *range(start, len(lines))):
        lines[number] = lines[number].removeprefix("# ")
    file.write_text("\n".join(lines))
    table = effective(load(file))
    assert table["sources"]["daq"]["begin"] == "now"
    assert table["sinks"]["mail"]["recipients"] == ["shift@example.org"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ondeck.toml").write_text("mine")
    with pytest.raises(ConfigExists, match=r"ondeck.toml exists already: it is left as it is"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ondeck.toml"]
    assert (tmp_path / "ondeck.toml").read_text() == "mine"


def test_a_dangling_link_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "ondeck.toml").symlink_to("nowhere")
    with pytest.raises(ConfigExists):
        init(tmp_path)
    assert not (tmp_path / "nowhere").exists()


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "daq" / "run1").mkdir(parents=True)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "README").write_text("mine")
    init(tmp_path)
    assert (tmp_path / "daq" / "run1").is_dir()
    assert (tmp_path / "templates" / "README").read_text() == "mine"


def test_nothing_is_left_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CantWrite, match="No space left on device"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("x")
    with pytest.raises(CantWrite, match=r"work: can't be written: File exists"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_of_many_at_once_one_writes(tmp_path: Path) -> None:
    barrier, results = threading.Barrier(8), []

    def run() -> None:
        barrier.wait()
        try:
            results.append(init(tmp_path))
        except (ConfigExists, CantWrite):
            results.append(None)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [result for result in results if result]
    assert len(written) <= 1
    assert len(results) == 8
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    if written:
        assert tomllib.loads(written[0].read_text())["sites"]
