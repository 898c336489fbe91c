"""The module's payload: a run's strain in, its spectrum, its Q-transform and its strongest narrow lines out.

    python spectrum.py --input RUN_DIRECTORY --output DIRECTORY

RUN_DIRECTORY holds run.json and one HDF5 file with one detector's strain. DIRECTORY gets lines.json, asd.png
and qtransform.png, each whole or not at all. Exit code 0 if all three are there; 2, and one line on stderr
that says why, if the input can't be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["MPLBACKEND"] = "Agg"  # before gwpy, which imports matplotlib

import strain as strains
from lines import WINDOW, Line
from pictures import asd_picture, q_picture

NOTE = (
    "Lines nearer than 3 bins (resolution) may be seen as one. A frequency is interpolated: good to a tenth "
    "of a bin where a strong line stands alone, to half of one in a group. With one segment the spectrum is "
    "a single periodogram, and ratios scatter accordingly."
)
UNITS = {
    "frequency": "Hz",
    "width": "Hz",
    "asd": "strain/sqrt(Hz)",
    "background": "strain/sqrt(Hz)",
    "rms": "strain",
    "ratio": "1",
    "gps_start": "s",
    "duration": "s",
    "sample_rate": "Hz",
    "resolution": "Hz",
    "band": "Hz",
    "median_width": "Hz",
    "threshold": "1",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do it; the answer is the exit code."""
    options = _parser().parse_args(argv)
    try:
        lines = run(options.input, options.output, options.resolution, options.false_alarm)
    except (strains.StrainError, OSError) as error:
        print(f"spectrum: {error}", file=sys.stderr)
        return 2
    print(f"{len(lines)} narrow lines")
    for line in lines:
        print(f"{line.frequency:9.2f} Hz   {line.ratio:6.1f} times the background   rms {line.rms:.2e}")
    return 0


def run(source: Path, target: Path, resolution: float = 1.0, false_alarm: float = 1e-3) -> list[Line]:
    """Read `source`, write the three files into `target`, and return the lines, the strongest first."""
    strain = strains.read(source)
    spectrum = strains.spectrum(strain, resolution)
    lines = spectrum.find_lines(false_alarm)
    target.mkdir(parents=True, exist_ok=True)
    write(target / "asd.png", asd_picture(strain, spectrum, lines))
    write(target / "qtransform.png", q_picture(strain, spectrum))
    text = json.dumps(report(strain, spectrum, lines, false_alarm), indent=2, allow_nan=False) + "\n"
    write(target / "lines.json", text.encode())
    return lines


def report(
    strain: strains.Strain, spectrum: strains.Spectrum, lines: Sequence[Line], false_alarm: float
) -> dict[str, Any]:
    """What lines.json says."""
    return {
        "detector": strain.detector,
        "channel": strain.channel,
        "gps_start": strain.gps,
        "duration": strain.duration,
        "sample_rate": strain.rate,
        "window": WINDOW,
        "segments": spectrum.segments,
        "resolution": spectrum.df,
        "band": list(spectrum.band),
        "median_width": strains.MEDIAN * spectrum.df,
        "false_alarm": false_alarm,
        "threshold": round(spectrum.threshold(false_alarm), 3),
        "units": UNITS,
        "note": NOTE,
        "lines": [
            {
                "frequency": round(line.frequency, 3),
                "ratio": round(line.ratio, 2),
                "asd": line.asd,
                "background": line.background,
                "rms": line.rms,
                "width": round(line.width, 3),
            }
            for line in lines
        ],
    }


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`: under another name, to the disk, then renamed."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--input", type=Path, required=True, metavar="DIR", help="the run's directory")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the three files are written")
    parser.add_argument("--resolution", type=_positive, default=1.0, metavar="HZ", help="distance of the bins (1)")
    parser.add_argument(
        "--false-alarm",
        type=_probability,
        default=1e-3,
        metavar="P",
        help="chance that noise makes a line anywhere (0.001)",
    )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number above 0 is wanted")
    return value


def _probability(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number between 0 and 1 is wanted")
    return value


if __name__ == "__main__":
    sys.exit(main())
