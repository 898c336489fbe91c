"""examples/strain: real lines against the truth, synthetic lines, noise, and bad input."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.skipif(find_spec("gwpy") is None, reason="gwpy isn't installed (pip install 'ondeck[gw]')"),
    pytest.mark.xdist_group("strain"),
]

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "strain"
RATE = 2048


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    """The example's modules."""
    names = ("lines", "strain", "pictures", "spectrum", "daq")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        patch.setenv("MPLBACKEND", "Agg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gwpy's own imports use what its dependencies deprecate
            modules = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules)
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def runs(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three runs as the example's DAQ writes them, by detector."""
    daq = tmp_path_factory.mktemp("daq")
    return {run.name[-2:]: run.path for run in example.daq.take(daq)}


# ------------------------------------------------------------------------------------------------ real data


@pytest.fixture(scope="module")
def reports(
    example: SimpleNamespace, runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Directories with the module's output, by detector."""
    out = tmp_path_factory.mktemp("out")
    for detector, run in runs.items():
        example.spectrum.run(run, out / detector)
    return {detector: out / detector for detector in runs}


def frequencies(report: Path, low: float, high: float) -> list[float]:
    found = json.loads((report / "lines.json").read_text())["lines"]
    return sorted(line["frequency"] for line in found if low <= line["frequency"] <= high)


@pytest.mark.parametrize("detector", ["H1", "L1"])
def test_ligo_has_mains_and_violin_modes(reports: dict[str, Path], detector: str) -> None:
    assert frequencies(reports[detector], 50, 70) == [pytest.approx(60, abs=0.25)]
    violins = frequencies(reports[detector], 335, 357)
    assert len(violins) >= 2
    assert all(343 - 0.5 <= frequency <= 349 + 0.5 for frequency in violins)


def test_virgo_has_violin_modes_and_no_60_hz(reports: dict[str, Path]) -> None:
    assert frequencies(reports["V1"], 55, 65) == []
    violins = frequencies(reports["V1"], 430, 480)
    assert len(violins) >= 3
    assert all(440 <= frequency <= 470 for frequency in violins)


def test_the_strongest_lines_come_first_and_carry_units(reports: dict[str, Path]) -> None:
    for report in reports.values():
        content = json.loads((report / "lines.json").read_text(), parse_constant=pytest.fail)
        ratios = [line["ratio"] for line in content["lines"]]
        assert ratios == sorted(ratios, reverse=True)
        assert min(ratios) >= content["threshold"] > 1
        for line in content["lines"]:
            assert line.keys() <= content["units"].keys()
            assert line["asd"] == pytest.approx(line["ratio"] * line["background"], rel=1e-2)
            assert line["width"] <= 3 * content["resolution"]


def test_the_same_run_gives_the_same_files(example: SimpleNamespace, runs: dict[str, Path], tmp_path: Path) -> None:
    for turn in ("a", "b"):
        example.spectrum.run(runs["L1"], tmp_path / turn)
    for name in ("lines.json", "asd.png", "qtransform.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_pictures_are_pictures(reports: dict[str, Path]) -> None:
    from PIL import Image

    for report in reports.values():
        assert sorted(path.name for path in report.iterdir()) == ["asd.png", "lines.json", "qtransform.png"]
        for path in report.glob("*.png"):
            with Image.open(path) as image:
                assert image.format == "PNG"
                assert min(image.size) > 400
                assert len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 50


def test_the_daq_copies_the_samples_and_writes_the_marker_last(example: SimpleNamespace, tmp_path: Path) -> None:
    import h5py
    import numpy as np

    for run in example.daq.take(tmp_path / "daq"):
        assert sorted(run.checksums) == sorted(path.name for path in run.path.iterdir())
        for name, checksum in run.checksums.items():
            assert hashlib.sha256((run.path / name).read_bytes()).hexdigest() == checksum
        written = {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()}
        assert max(written, key=lambda name: (written[name], name == "run.end")) == "run.end"
        about = json.loads((run.path / "run.json").read_text())
        assert about["start"] == "2010-09-16T06:42:17+00:00"
        with (
            importlib.resources.as_file(importlib.resources.files("gwpy.testing") / "data" / example.daq.DATA) as path,
            h5py.File(path) as truth,
            h5py.File(run.path / "strain.hdf5") as copy,
        ):
            assert list(copy) == [about["channel"]]
            assert np.array_equal(copy[about["channel"]][()], truth[about["channel"]][()])


def test_as_programs(tmp_path: Path) -> None:
    daq = [sys.executable, EXAMPLE / "daq.py", tmp_path / "daq"]
    lines = subprocess.run(daq, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 9
    subprocess.run(
        ["sha256sum", "--check", "--strict"],
        input="\n".join(lines),
        text=True,
        check=True,
        cwd=tmp_path / "daq",
    )
    program = [
        sys.executable,
        EXAMPLE / "spectrum.py",
        "--input",
        tmp_path / "daq/968654552_V1",
        "--output",
        tmp_path / "out",
    ]
    done = subprocess.run(program, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "458.27 Hz" in done.stdout


# -------------------------------------------------------------------------------------------- synthetic data


def periodogram(series: Any) -> Any:
    import numpy as np
    from scipy import signal

    return np.sqrt(signal.periodogram(series, fs=RATE, window="hann", detrend=False)[1])


@settings(max_examples=100, deadline=None)
@given(
    tones=st.lists(st.tuples(st.floats(30, RATE / 2 - 30), st.floats(1.5, 30), st.floats(0, 6.28)), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_lines_are_found_within_the_resolution(
    example: SimpleNamespace, tones: list[tuple[float, float, float]], seed: int
) -> None:
    import numpy as np

    tones.sort()
    assume(all(right[0] - left[0] >= 8 for left, right in itertools.pairwise(tones)))
    time = np.arange(RATE) / RATE
    series = np.random.default_rng(seed).standard_normal(RATE)
    for frequency, amplitude, phase in tones:
        series += amplitude * np.sin(2 * np.pi * frequency * time + phase)
    found = sorted(
        example.lines.find_lines(periodogram(series), 1.0, false_alarm=1e-9), key=lambda line: line.frequency
    )
    strong = [tone for tone in tones if tone[1] > 5]
    for frequency, amplitude, _ in strong:
        (line,) = [line for line in found if abs(line.frequency - frequency) <= 2]
        assert abs(line.frequency - frequency) < 0.1
        assert line.rms == pytest.approx(amplitude / np.sqrt(2), rel=0.15)
        assert line.width == pytest.approx(2, abs=0.35)
    for frequency, _, _ in tones:
        assert any(abs(line.frequency - frequency) < 0.5 for line in found)
    for line in found:
        assert any(abs(line.frequency - frequency) < 0.5 for frequency, _, _ in tones)


def test_white_noise_has_no_lines(example: SimpleNamespace) -> None:
    import numpy as np

    random = np.random.default_rng(20100916)
    alarms = sum(
        bool(example.lines.find_lines(periodogram(random.standard_normal(RATE)), 1.0, false_alarm=0.1))
        for _ in range(400)
    )
    assert 0 < alarms <= 400 * 0.1  # the stated chance is an upper limit, and not absurdly high


def test_noise_that_falls_steeply_has_no_lines(example: SimpleNamespace) -> None:
    import numpy as np

    random = np.random.default_rng(7)
    frequency = np.arange(1, RATE / 2 + 1)
    shape = (frequency / 100) ** -4 + 1
    for _ in range(100):
        noise = np.sqrt(random.exponential(size=frequency.size)) * shape
        assert example.lines.find_lines(noise, 1.0, false_alarm=1e-6) == []


def test_a_broad_bump_is_no_line(example: SimpleNamespace) -> None:
    import numpy as np

    frequency = np.arange(1025)
    bump = 1 + 100 * np.exp(-0.5 * ((frequency - 300) / 4) ** 2)
    narrow = 1 + 100 * np.exp(-0.5 * ((frequency - 300) / 0.8) ** 2)
    assert example.lines.find_lines(bump, 1.0) == []
    assert [line.frequency for line in example.lines.find_lines(narrow, 1.0)] == [pytest.approx(300)]


def test_the_threshold_is_the_chance_that_it_says(example: SimpleNamespace) -> None:
    # a median of one bin: the chance that one exponential variable exceeds t others is 1 / (1 + t)
    assert example.lines.threshold(1000, 1, 0.01) == pytest.approx((1000 / 0.01 - 1) ** 0.5, rel=1e-5)
    assert example.lines.threshold(8000, 41, 1e-3) > example.lines.threshold(8000, 41, 1e-2)
    assert example.lines.threshold(8000, 41, 1e-3) > example.lines.threshold(800, 41, 1e-3)
    assert example.lines.threshold(8000, 41, 1e-3) > example.lines.threshold(8000, 401, 1e-3)


# ------------------------------------------------------------------------------------------------- bad input

Change = Callable[[ModuleType, Path], None]


def about(**fields: Any) -> Change:
    def change(_: ModuleType, run: Path) -> None:
        content = json.loads((run / "run.json").read_text()) | fields
        (run / "run.json").write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))

    return change


def content(name: str, data: bytes) -> Change:
    return lambda _, run: (run / name).write_bytes(data) and None


def samples(make: Callable[[Any], Any], **attributes: Any) -> Change:
    """Put make(samples) in the place of the samples, and change attributes (… takes one away)."""

    def change(h5py: ModuleType, run: Path) -> None:
        with h5py.File(run / "strain.hdf5", "r+") as file:
            (name,) = file
            old = dict(file[name].attrs) | attributes
            new = make(file[name][()])
            del file[name]
            file[name] = new
            file[name].attrs.update({key: value for key, value in old.items() if value is not ...})

    return change


def spoiled(value: float) -> Change:
    def make(data: Any) -> Any:
        data[[77, 8192]] = value
        return data

    return samples(make)


BAD: dict[str, tuple[Change, str]] = {
    "no run.json": (lambda _, run: (run / "run.json").unlink(), "run.json: can't be read"),
    "run.json cut off": (content("run.json", b'{"name": "96'), "run.json: can't be read"),
    "run.json not text": (content("run.json", b"\xff\xfe\x00"), "run.json: can't be read"),
    "run.json a list": (content("run.json", b"[]"), "run.json: an object is wanted"),
    "no channel": (about(channel=...), "channel = None; a str is wanted"),
    "events no number": (about(events="16384"), "events = '16384'; a int is wanted"),
    "events true": (about(events=True), "events = True; a int is wanted"),
    "another channel": (about(channel="H1:OTHER"), "no time series 'H1:OTHER' can be read"),
    "fewer samples than said": (about(events=16385), "16384 samples, but run.json says events = 16385"),
    "another time": (about(gps_start=1.0, gps_stop=2.0), "but run.json says gps_start = 1.0, gps_stop = 2.0"),
    "another length": (about(gps_stop=968654554.0), "1 s from GPS 968654552.000000, but run.json says"),
    "no data": (lambda _, run: (run / "strain.hdf5").unlink(), "one HDF5 file is wanted, there are 0"),
    "two files": (content("more.h5", b"x"), "one HDF5 file is wanted, there are 2"),
    "data cut off": (
        lambda _, run: (run / "strain.hdf5").write_bytes((run / "strain.hdf5").read_bytes()[:5000]) and None,
        "no time series 'H1:LDAS-STRAIN' can be read",
    ),
    "data empty": (content("strain.hdf5", b""), "no time series 'H1:LDAS-STRAIN' can be read"),
    "no HDF5": (content("strain.hdf5", b"strain " * 1000), "no time series 'H1:LDAS-STRAIN' can be read"),
    "samples not a number": (
        spoiled(float("nan")),
        "2 of 16384 samples are not finite, the first at GPS 968654552.0047",
    ),
    "samples infinite": (spoiled(float("inf")), "2 of 16384 samples are not finite"),
    "samples all zero": (samples(lambda data: data * 0), "all 16384 samples are equal"),
    "two dimensions": (samples(lambda data: data.reshape(2, -1)), "strain.hdf5: "),
    "no sampling rate": (samples(lambda data: data, dx=...), "but run.json says gps_start"),
    "rate of zero": (samples(lambda data: data, dx=0.0), "strain.hdf5: "),
    "words, not samples": (samples(lambda data: [b"a"] * len(data)), "strain.hdf5: "),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_reason(
    example: SimpleNamespace,
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    import shutil

    import h5py

    change, words = BAD[case]
    run = shutil.copytree(runs["H1"], tmp_path / "run")
    change(h5py, run)
    assert example.spectrum.main(["--input", str(run), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("spectrum: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resolution", "0.5"], "too short for 0.5 Hz: that takes 2 s"),
        (["--resolution", "1000"], "bins are too few"),
    ],
)
def test_a_resolution_that_can_not_be(
    example: SimpleNamespace,
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    arguments = ["--input", str(runs["H1"]), "--output", str(tmp_path / "out"), *options]
    assert example.spectrum.main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--resolution", "0"], ["--resolution", "nan"], ["--false-alarm", "1"]])
def test_options_out_of_range_are_refused(
    example: SimpleNamespace, runs: dict[str, Path], tmp_path: Path, option: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        example.spectrum.main(["--input", str(runs["H1"]), "--output", str(tmp_path), *option])
    assert stop.value.code == 2


def test_missing_run_and_output_in_the_way(
    example: SimpleNamespace, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example.spectrum.main(["--input", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 2
    assert "run.json: can't be read" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert example.spectrum.main(["--input", str(runs["H1"]), "--output", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


def test_a_run_is_never_written_twice(example: SimpleNamespace, tmp_path: Path) -> None:
    next(example.daq.take(tmp_path))
    with pytest.raises(FileExistsError):
        next(example.daq.take(tmp_path))
