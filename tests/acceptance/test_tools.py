"""The tools as people and cron call them: as programs, as files of a clone of any name, from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.house import ROOT, copy_tree

FILES = ("listdb", "ResetJob", "HoldJob", "StartJob", "builddb", "alterdb")


class Clone:
    """A copy of the checkout under another name, and a Python that has ondeck's dependencies, but no ondeck."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_tree(folder / "some clone-1.0")
        init = self.root / "__init__.py"
        init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.9.'))
        self.packages = folder / "packages"
        self.packages.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if "ondeck" not in entry.name and not entry.name.endswith(".pth"):
                (self.packages / entry.name).symlink_to(entry)

    def run(self, *words: str | Path, cwd: str | Path = "/") -> subprocess.CompletedProcess[str]:
        """`python WORDS` without site-packages of its own."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.packages), "HOME": "/nonexistent"}
        return subprocess.run(
            [sys.executable, "-S", *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Made once for this module."""
    return Clone(tmp_path_factory.mktemp("clone"))


def test_there_is_no_ondeck_but_the_clone(clone: Clone) -> None:
    assert clone.run("-c", "import ondeck").returncode == 1


@pytest.mark.parametrize("name", FILES)
def test_each_runs_as_a_file_from_any_folder(clone: Clone, name: str) -> None:
    file = clone.root / "tools" / f"{name}.py"
    said = clone.run(file, "--version")
    assert (said.returncode, said.stderr) == (0, "")
    assert "9.9." in said.stdout
    assert clone.run(f"{name}.py", "--version", cwd=file.parent).stdout == said.stdout
    assert clone.run(f"tools/{name}.py", "--help", cwd=clone.root).stdout.startswith("Usage: ")


def test_the_clone_itself_runs_too(clone: Clone) -> None:
    for words, folder in (((clone.root,), Path("/")), ((".",), clone.root)):
        said = clone.run(*words, "--version", cwd=folder)
        assert said.stdout.startswith("ondeck 9.9."), said.stderr


def test_a_clone_s_tools_do_their_work(clone: Clone, tmp_path: Path) -> None:
    tools = clone.root / "tools"
    assert clone.run(clone.root, "init", tmp_path).returncode == 0
    assert "made, schema" in clone.run(tools / "builddb.py", cwd=tmp_path).stdout
    config = ("--config", tmp_path / "ondeck.toml")
    assert clone.run(clone.root, *config, "run", "add", "r1").stderr == ""
    (row,) = json.loads(clone.run(tools / "listdb.py", *config, "--json").stdout)
    assert (row["name"], row["status"]) == ("r1", "acquired")
    for name in ("ResetJob", "HoldJob", "StartJob"):
        said = clone.run(tools / f"{name}.py", "r1", "sums", *config)
        assert said.returncode == 1
        assert said.stderr == "ondeck: There is no job 'r1' 'sums'; no jobs were made for it yet.\n"


def python(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def test_a_file_of_the_checkout_is_preferred_to_an_installed_ondeck(clone: Clone) -> None:
    assert "9.9." in python(str(clone.root / "tools" / "listdb.py"), "--version", cwd="/").stdout


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    assert python("-m", "ondeck", "init", str(tmp_path)).returncode == 0
    config = str(tmp_path / "ondeck.toml")
    assert python("-m", "ondeck", "--config", config, "builddb").returncode == 0
    import sqlite3

    with sqlite3.connect(tmp_path / "ondeck.db") as connection:
        connection.executemany(
            "INSERT INTO runs (name, status) VALUES (?, 'archived')", [(f"r{n}",) for n in range(5000)]
        )
    connection.close()
    command = f'"{sys.executable}" "{ROOT}/tools/listdb.py" --config "{config}" --all --json | head -n 1'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_terminal_that_knows_only_latin_letters(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    said = python("-m", "ondeck", "states", "outbox", env=environment)
    assert said.returncode == 0
    assert "\\u2192 sending" in said.stdout
