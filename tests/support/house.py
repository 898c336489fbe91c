"""The checkout as such: its files, a copy of it under another name, a wheel made of that."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_NOT_OURS = {".git", ".venv", ".demo-venv", ".reports", "build", "dist", "state", "demo-output", "__pycache__"}


def own_files() -> list[Path]:
    """Relative paths of the project's files: what git knows or would take, else what looks like it."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = {Path(os.fsdecode(name)) for name in listing.stdout.split(b"\0") if name}
        return sorted(path for path in found if (ROOT / path).is_file())
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in _NOT_OURS and not f.endswith((".egg-info", "_cache"))]
        found |= {(Path(folder) / name).relative_to(ROOT) for name in names if not name.endswith(".pyc")}
    return sorted(found)


def setup_cfg() -> configparser.ConfigParser:
    """What setup.cfg says."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(value: str) -> list[str]:
    """The lines of a list in setup.cfg, without comments."""
    return [line for line in map(str.strip, value.splitlines()) if line and not line.startswith("#")]


def pyproject() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def copy_tree(target: Path) -> Path:
    """Copy the project's files into the new folder `target`, which is best not named ondeck."""
    for path in own_files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)
    return target


def build_wheel(tree: Path, out: Path) -> Path:
    """Make a wheel of the checkout `tree`, with the setuptools that is installed here."""
    made = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (wheel,) = out.glob("*.whl")
    return wheel
