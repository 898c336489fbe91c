"""The demo, whole: as a user runs it, twice, at a terminal and without one, and interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("gwpy") is None, reason="gwpy isn't installed (pip install 'ondeck[gw]')"),
    pytest.mark.xdist_group("demo"),
    pytest.mark.timeout(400),
]

DEMO = Path(__file__).resolve().parents[2] / "examples" / "strain" / "demo.py"
LIMIT = 180
RUNS = ("968654552_H1", "968654552_L1", "968654552_V1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a name that needs quoting, in which the demos of this module run one after the other."""
    folder = tmp_path_factory.mktemp("demo") / "it's a demo"
    folder.mkdir()
    return folder


def processes_of(folder: Path) -> list[str]:
    """Pids and command lines of processes that name `folder` on the command line, or work in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = (path / "cwd").readlink()
        except OSError:
            continue
        if int(path.name) != os.getpid() and (str(folder) in command or where.is_relative_to(folder)):
            found.append(f"{path.name} {command}")
    return found


def check(folder: Path, number: int, text: str) -> None:
    """The demo of that number went well, says so, and left what it says and nothing that runs."""
    assert processes_of(folder) == []
    place = folder / "demo-output" / str(number)
    assert list((place / "state" / "run").glob("*.pid")) == []
    assert "✘" not in text
    assert len(re.findall(r"✔ 968654552_(?:H1|L1|V1): 3 files, sha256 as written; 16384 samples", text)) == 3
    assert re.search(r"H1: \d+ narrow lines\n.*the strongest: .*\n.*✔ mains at 60 Hz: 59\.90 Hz", text)
    assert re.search(r"L1: \d+ narrow lines\n.*the strongest: .*\n.*✔ mains at 60 Hz: 60\.02 Hz", text)
    assert re.search(r"V1: \d+ narrow lines\n.*the strongest: .*\n.*✔ no line at 60 Hz: none", text)
    for name in RUNS:
        assert re.search(rf"{name}.*\barchived\b", text)
        detector = name[-2:]
        assert sorted(path.name for path in (place / "results" / detector).iterdir()) == [
            "asd.png",
            "lines.json",
            "qtransform.png",
        ]
        assert json.loads((place / "results" / detector / "lines.json").read_text())["detector"] == detector
    for path in re.findall(r"demo-output/\S+\.(?:png|json|toml)", text):
        assert (folder / path).exists(), path


def test_1_without_a_terminal(folder: Path) -> None:
    begin = time.monotonic()
    done = subprocess.run([sys.executable, DEMO], cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert time.monotonic() - begin < LIMIT
    assert "\033" not in done.stdout
    check(folder, 1, done.stdout)


def test_2_again_at_a_terminal(folder: Path) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50"}
    environment.pop("NO_COLOR", None)
    demo = subprocess.Popen(
        [sys.executable, DEMO],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    try:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # a terminal whose other side is closed
                break
            if not part:
                break
            said += part
        assert demo.wait(timeout=LIMIT) == 0, said.decode(errors="replace")
    finally:
        os.close(ours)
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    text = said.decode().replace("\r", "")
    assert "\033[" in text  # the table changes in its place
    check(folder, 2, re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", text))
    assert (folder / "demo-output" / "1" / "results" / "H1" / "lines.json").exists()  # of the first, untouched


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_3_interrupted(folder: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-u", DEMO], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "processing" in line:
                break
        demo.send_signal(number)
        out, err = demo.communicate(timeout=LIMIT)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    assert demo.returncode == 128 + number, out + err
    assert f"interrupted by {number.name}" in err
    assert "nothing else of the demo runs any more" in out
    assert processes_of(folder) == []
