"""A DAQ that has real data: writes a second of LIGO's and Virgo's strain, detector by detector, as runs.

    python daq.py DIRECTORY [--pause SECONDS]

The data come with the gwpy package. They are of 2010-09-16, some seconds before the merger of a signal that
was injected into the detectors' hardware (HW100916): so there is noise, and there are lines, but no chirp.

A run is a directory. What DAQs do, and what this one does: the data first, then run.json with what is known
of the run, and last the empty file run.end, which says that nothing will follow. Each file is written under
another name and renamed, so that none is ever seen half.

Printed are the files' checksums as sha256sum prints them, a line each when its run is closed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import h5py
from gwpy.time import from_gps

DATA = "HLV-HW100916-968654552-1.hdf"
CHANNELS = {"H1": "H1:LDAS-STRAIN", "L1": "L1:LDAS-STRAIN", "V1": "V1:h_16384Hz"}
END_MARKER = "run.end"


@dataclass(frozen=True)
class WrittenRun:
    """A run that the DAQ has closed, and the sha256 (hex) of each of its files by name."""

    name: str
    path: Path
    checksums: dict[str, str]


def take(daq: Path, pause: float = 0.0) -> Iterator[WrittenRun]:
    """Write one run for each detector into `daq`, `pause` seconds apart, and yield each when it is closed."""
    with as_file(files("gwpy.testing") / "data" / DATA) as path, h5py.File(path, "r") as file:
        for number, (detector, channel) in enumerate(CHANNELS.items(), start=1):
            if number > 1:
                time.sleep(pause)
            yield write_run(daq, number, detector, file[channel])


def write_run(daq: Path, number: int, detector: str, data: h5py.Dataset) -> WrittenRun:
    """Write one run's directory. Raises FileExistsError if there is one of this name."""
    about = describe(number, detector, data)
    folder = daq / about["name"]
    folder.mkdir(parents=True)
    contents = {
        "strain.hdf5": _hdf5(data),
        "run.json": (json.dumps(about, indent=2) + "\n").encode(),
        END_MARKER: b"",
    }
    for name, content in contents.items():  # the end marker is the last
        _write(folder / name, content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return WrittenRun(about["name"], folder, checksums)


def describe(number: int, detector: str, data: h5py.Dataset) -> dict[str, Any]:
    """What is known of the run; start and stop are UTC, gps_start and gps_stop GPS seconds."""
    start = float(data.attrs["x0"])
    stop = start + len(data) * float(data.attrs["dx"])
    return {
        "name": f"{start:.0f}_{detector}",
        "number": number,
        "run_type": "strain",
        "start": from_gps(start).replace(tzinfo=UTC).isoformat(),
        "stop": from_gps(stop).replace(tzinfo=UTC).isoformat(),
        "events": len(data),
        "detector": detector,
        "channel": str(data.attrs["channel"]),
        "gps_start": start,
        "gps_stop": stop,
    }


def _hdf5(data: h5py.Dataset) -> bytes:
    """An HDF5 file with `data` alone, under its own name and with its attributes."""
    with h5py.File("strain.hdf5", "w", driver="core", backing_store=False) as image:
        data.file.copy(data, image, name=data.name.lstrip("/"))
        image.flush()
        return bytes(image.id.get_file_image())


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def main() -> int:
    """Write the three runs and print their checksums."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path, help="the DAQ's directory, into which ondeck looks")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="between two runs (0)")
    options = parser.parse_args()
    for run in take(options.directory, options.pause):
        for name, checksum in run.checksums.items():
            print(f"{checksum}  {run.name}/{name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
