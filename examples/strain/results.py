"""What the module found, gathered from the jobs' published output and held against what is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truth import KNOWN
from workplace import Workplace

FILES = ("lines.json", "asd.png", "qtransform.png")
STRONGEST = 4
"""So many lines of each detector are named."""


class ResultsDiffer(Exception):
    """An output is missing, or the lines are not those that are known; the message says which."""


def collect(place: Workplace) -> Iterator[str]:
    """Copy each run's output to `place.results`, and tell its lines; raises ResultsDiffer."""
    wrong = []
    outputs = _outputs(place.work)
    for detector, known in KNOWN.items():
        if detector not in outputs:
            raise ResultsDiffer(f"{place.work}: there is no lines.json of {detector}")
        _copy(outputs[detector], place.results / detector)
        lines = json.loads((place.results / detector / "lines.json").read_text())["lines"]
        yield f"  {detector}: {len(lines)} narrow lines"
        yield f"    the strongest: {_strongest(lines)}"
        frequencies = [float(line["frequency"]) for line in lines]
        for one in known:
            holds = one.holds(frequencies)
            there = ", ".join(f"{frequency:.2f} Hz" for frequency in one.among(frequencies)) or "none"
            yield f"    {'✔' if holds else '✘'} {one.what}: {there}"
            if not holds:
                wrong.append(f"{detector}: {one.what}; found {there}")
    if wrong:
        raise ResultsDiffer("; ".join(wrong))


def _outputs(work: Path) -> dict[str, Path]:
    """The folders with the jobs' output by detector; of several attempts `published` is the one that counts."""
    found: dict[str, Path] = {}
    for path in sorted(work.glob("**/published/output/lines.json")):
        detector = str(json.loads(path.read_text())["detector"])
        if detector in found:
            raise ResultsDiffer(f"{detector} was processed twice: {found[detector]} and {path.parent}")
        found[detector] = path.parent
    return found


def _copy(output: Path, target: Path) -> None:
    target.mkdir()
    for name in FILES:
        if not (output / name).is_file():
            raise ResultsDiffer(f"{output / name} is missing")
        shutil.copy2(output / name, target / name)


def _strongest(lines: list[dict[str, Any]]) -> str:
    return ", ".join(f"{line['frequency']:.0f} Hz ({line['ratio']:.0f}×)" for line in lines[:STRONGEST])
