"""What the demo of examples/strain says at its end: does it see it when something is wrong?"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("gwpy") is None, reason="gwpy isn't installed (pip install 'ondeck[gw]')"),
    pytest.mark.xdist_group("strain"),
]

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "strain"


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    """The example's modules."""
    names = ("truth", "workplace", "daq", "archive", "results", "commands", "progress", "demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gwpy's own imports use what its dependencies deprecate
            modules = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules)
        for name in names:
            sys.modules.pop(name, None)


# ------------------------------------------------------------------------------------------------ the archive

Member = tuple[str, bytes]


@pytest.fixture(scope="module")
def runs(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Member], str]:
    """The files of the three runs as members of a tar file, and their checksums as the DAQ prints them."""
    daq = tmp_path_factory.mktemp("daq")
    members, printed = [], []
    for run in example.daq.take(daq):
        for name, checksum in run.checksums.items():
            members.append((f"{run.name}/{name}", (run.path / name).read_bytes()))
            printed.append(f"{checksum}  {run.name}/{name}\n")
    return members, "".join(printed)


def archive(path: Path, members: list[Member]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_an_archive_as_written_is_right(
    example: SimpleNamespace, runs: tuple[list[Member], str], tmp_path: Path
) -> None:
    members, printed = runs
    archive(tmp_path / "a" / "1.tar", members[:4])
    archive(tmp_path / "b" / "2.tar", [("MANIFEST", b"of something"), *members[4:]])
    answers = example.archive.verify(tmp_path, example.archive.read_checksums(printed))
    assert [answer.partition(":")[0] for answer in answers] == [
        "968654552_H1",
        "968654552_L1",
        "968654552_V1",
    ]
    assert all("3 files" in answer and "16384 samples" in answer for answer in answers)


@pytest.mark.parametrize("case", ["flipped", "missing", "more", "twice", "other detector", "no tar", "part only"])
def test_an_archive_that_differs_is_seen(
    example: SimpleNamespace, runs: tuple[list[Member], str], tmp_path: Path, case: str
) -> None:
    members, printed = list(runs[0]), runs[1]
    name, content = members[0]
    if case == "flipped":
        members[0] = name, content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    elif case == "missing":
        del members[-1]
    elif case == "more":
        members.append(("968654552_H1/more", b""))
    elif case == "twice":
        members.append(members[0])
    elif case == "other detector":  # with checksums that fit
        members[0], members[3] = (name, members[3][1]), (members[3][0], content)
        lines = printed.splitlines()
        lines[0], lines[3] = lines[3][:64] + lines[0][64:], lines[0][:64] + lines[3][64:]
        printed = "\n".join(lines)
    if case != "no tar":
        archive(tmp_path / (".1.tar" if case == "part only" else "1.tar"), members)
    with pytest.raises((example.archive.ArchiveDiffers, KeyError)):
        example.archive.verify(tmp_path, example.archive.read_checksums(printed))


# -------------------------------------------------------------------------------------------------- the lines

FOUND = {"H1": [59.9, 344.8, 347.9], "L1": [60.02, 343.0], "V1": [448.0, 458.3, 469.1]}


def outputs(place: SimpleNamespace, found: dict[str, list[float]]) -> None:
    for detector, frequencies in found.items():
        folder = place.work / f"job-{detector}" / "2" / "output"
        folder.mkdir(parents=True)
        (folder.parents[1] / "published").symlink_to("2")
        (folder.parents[1] / "1" / "output").mkdir(parents=True)
        (folder.parents[1] / "1" / "output" / "lines.json").write_text("cut o")
        lines = [{"frequency": frequency, "ratio": 20.0} for frequency in frequencies]
        (folder / "lines.json").write_text(json.dumps({"detector": detector, "lines": lines}))
        for name in ("asd.png", "qtransform.png"):
            (folder / name).write_bytes(b"picture")


def test_the_known_lines_are_told(example: SimpleNamespace, tmp_path: Path) -> None:
    place = example.workplace.make(tmp_path, "python3")
    outputs(place, FOUND)
    told = "\n".join(example.results.collect(place))
    assert told.count("✔") == 6
    assert "✘" not in told
    assert (place.results / "V1" / "asd.png").read_bytes() == b"picture"


@pytest.mark.parametrize(
    "wrong",
    [{"H1": [344.8]}, {"L1": [60.0]}, {"V1": [458.3, 60.0]}, {"V1": []}, {"H1": [59.0, 345.0]}],
)
def test_lines_that_are_not_the_known_ones_are_seen(
    example: SimpleNamespace, tmp_path: Path, wrong: dict[str, list[float]]
) -> None:
    place = example.workplace.make(tmp_path, "python3")
    outputs(place, FOUND | wrong)
    told: list[str] = []
    with pytest.raises(example.results.ResultsDiffer, match=next(iter(wrong))):
        told.extend(example.results.collect(place))
    assert "✘" in "\n".join(told)


def test_missing_output_is_seen(example: SimpleNamespace, tmp_path: Path) -> None:
    place = example.workplace.make(tmp_path, "python3")
    outputs(place, {key: value for key, value in FOUND.items() if key != "V1"})
    with pytest.raises(example.results.ResultsDiffer, match=r"no lines\.json of V1"):
        list(example.results.collect(place))


# ---------------------------------------------------------------------------------------------- the workplace


def test_each_demo_gets_a_folder_of_its_own(example: SimpleNamespace, tmp_path: Path) -> None:
    python = '/a "quoted" \\ päth/python'
    first, second = (example.workplace.make(tmp_path / "new", python) for _ in range(2))
    assert [place.folder.name for place in (first, second)] == ["1", "2"]
    options = tomllib.loads(second.config.read_text())["modules"]["spectrum"]["options"]
    assert options == {"python": python, "program": str(EXAMPLE / "spectrum.py")}
    assert (second.folder / "templates" / "spectrum.sh").exists()


def test_the_configuration_is_right(example: SimpleNamespace, tmp_path: Path) -> None:
    from ondeck.config import load

    config = load(example.workplace.make(tmp_path, "python3").config)
    listener = config.listeners["strain"]
    run = {"source": "daq", "name": "968654552_V1", "run_type": "strain", "params": {"detector": "V1"}}
    assert listener.takes(run)
    assert not listener.takes(run | {"params": {"detector": "K1"}})


# ---------------------------------------------------------------------------------------------- the processes


def test_its_own_processes_are_found_and_killed_and_no_others(example: SimpleNamespace, tmp_path: Path) -> None:
    commands = example.commands.Commands(example.workplace.make(tmp_path, "python3"))
    sleep = ["sleep", "60"]
    marked = subprocess.Popen(sleep, env=commands.environment(), start_new_session=True)
    named = subprocess.Popen(["sh", "-c", "sleep 60", "x", str(commands.place.config)], start_new_session=True)
    attempt = commands.place.work / "daq" / "run" / "spectrum.0" / "1"
    attempt.mkdir(parents=True)
    (attempt / "token").write_text("abcd123456789\n")
    job = subprocess.Popen(sleep, env={"ONDECK_TOKEN": "abcd123456789"}, start_new_session=True)
    other = subprocess.Popen(sleep, cwd=tmp_path, env=os.environ | {example.commands.MARK: "another"})
    try:
        found = {one.pid for one in commands.wait_gone(0)}
        assert {marked.pid, named.pid, job.pid} <= found
        assert other.pid not in found
        assert other.pid in {one.pid for one in commands.running([other.pid])}
        assert commands.kill(5) == []
        assert [process.wait(5) for process in (marked, named, job)] == [-9] * 3
        assert other.poll() is None
    finally:
        for process in (marked, named, job, other):
            process.kill()
            process.wait()


def test_a_command_that_fails_says_so(example: SimpleNamespace, tmp_path: Path) -> None:
    commands = example.commands.Commands(example.workplace.make(tmp_path, "python3"))
    with pytest.raises(example.commands.CommandFailed, match="exit code 3\nout\nerr"):
        commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"], 10)
    with pytest.raises(example.commands.CommandFailed, match=r"no end within 0\.1 s"):
        commands.run(["sleep", "60"], 0.1)
    with pytest.raises(example.commands.CommandFailed, match="No such file"):
        commands.run([str(tmp_path / "none")], 10)
    assert commands.run(["sh", "-c", "echo $ONDECK_CONFIG; (sleep 60 & echo $!)"], 5).strip().isdecimal()
    assert commands.kill(5) == []


# ----------------------------------------------------------------------------------------------- the progress


def test_lines_are_printed_when_something_changes(example: SimpleNamespace) -> None:
    from rich.console import Console

    out = io.StringIO()
    row = {"name": "run[1]", "status": "acquired", "data": "DAQ", "jobs": ""}
    with example.progress.progress(Console(file=out, width=200)) as table:
        for status in ("acquired", "acquired", "ondeck"):
            table.show([row | {"status": status}])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "run[1]  acquired" in lines[0]
    assert "run[1]  ondeck" in lines[1]


def test_a_terminal_gets_a_table(example: SimpleNamespace) -> None:
    from rich.console import Console

    out = io.StringIO()
    rows = [
        {"name": "a", "status": "archived", "data": "tape", "jobs": "1 done"},
        {"name": "b", "status": "failed"},
    ]
    with example.progress.progress(Console(file=out, width=100, force_terminal=True)) as table:
        table.show([])
        table.show(rows)
    assert "●●●●●●" in out.getvalue()
    assert "failed" in out.getvalue()
