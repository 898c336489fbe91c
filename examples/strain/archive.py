"""Is what was archived what the DAQ wrote? Asked without ondeck: with tarfile, hashlib and h5py alone."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

import h5py
import numpy as np
from daq import CHANNELS, DATA

Checksums = Mapping[tuple[str, str], str]
"""sha256 (hex) of a file by (run, name of the file)."""


class ArchiveDiffers(Exception):
    """The archive is not what the DAQ wrote; the message says where."""


def read_checksums(text: str) -> dict[tuple[str, str], str]:
    """The checksums in what the DAQ printed."""
    checksums = {}
    for line in text.splitlines():
        checksum, _, path = line.partition("  ")
        run, _, name = path.partition("/")
        checksums[run, name] = checksum
    return checksums


def verify(tape: Path, wanted: Checksums) -> list[str]:
    """Hold the tar files in `tape` against what the DAQ wrote. A line for each run; raises ArchiveDiffers."""
    runs = {run for run, _ in wanted}
    found: dict[tuple[str, str], bytes] = {}
    tars = sorted(path for path in tape.rglob("*.tar") if not path.name.startswith("."))
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                parts = Path(member.name).parts
                run = next((part for part in parts if part in runs), None)
                if run is None or not member.isfile():
                    continue
                key = run, "/".join(parts[parts.index(run) + 1 :])
                if key in found:
                    raise ArchiveDiffers(f"{path}: {member.name} is archived twice")
                file = tar.extractfile(member)
                assert file is not None
                found[key] = file.read()
    if found.keys() != wanted.keys():
        missing, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        raise ArchiveDiffers(f"{tape} ({len(tars)} tar files): missing {sorted(missing)}, too many {sorted(more)}")
    for (run, name), content in found.items():
        if hashlib.sha256(content).hexdigest() != wanted[run, name]:
            raise ArchiveDiffers(f"{tape}: {run}/{name} is not what the DAQ wrote: its sha256 is another")
    answers = []
    for run in sorted(runs):
        samples = _same_samples(run, found[run, "strain.hdf5"])
        names = [name for other, name in wanted if other == run]
        answers.append(f"{run}: {len(names)} files, sha256 as written; {samples} samples as in gwpy's own file")
    return answers


def _same_samples(run: str, content: bytes) -> int:
    """How many samples the archived file has, each as in gwpy's own data; raises ArchiveDiffers."""
    channel = CHANNELS[run.rpartition("_")[2]]
    with (
        h5py.File(io.BytesIO(content), "r") as archived,
        as_file(files("gwpy.testing") / "data" / DATA) as path,
        h5py.File(path, "r") as original,
    ):
        samples = archived[channel][()]
        if not np.array_equal(samples, original[channel][()]):
            raise ArchiveDiffers(f"{run}: the archived samples of {channel} are not those of {DATA}")
    return len(samples)
