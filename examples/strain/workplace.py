"""The folder in which one run of the demo happens, and its ondeck.toml."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Workplace:
    """A folder with a configuration of its own: its daemons, logs and data are in no other's way."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "ondeck.toml"

    @property
    def daq(self) -> Path:
        """Where the DAQ writes."""
        return self.folder / "daq"

    @property
    def work(self) -> Path:
        """Where the jobs work."""
        return self.folder / "work"

    @property
    def tape(self) -> Path:
        """The archive."""
        return self.folder / "tape"

    @property
    def pid_files(self) -> Path:
        """Where the daemons' pid files are."""
        return self.folder / "state" / "run"

    @property
    def logs(self) -> Path:
        """Where the daemons' logs are."""
        return self.folder / "state" / "logs"

    @property
    def results(self) -> Path:
        """Where the demo puts what it found."""
        return self.folder / "results"


def make(parent: Path, python: str) -> Workplace:
    """Make the next free folder of `parent` (1, 2, …), so that what earlier runs left stays as it is."""
    parent = parent.absolute()
    parent.mkdir(parents=True, exist_ok=True)
    (parent / ".gitignore").write_text("*\n")
    number = 1
    while True:
        place = Workplace(parent / str(number))
        try:
            place.folder.mkdir()
            break
        except FileExistsError:
            number += 1
    shutil.copytree(HERE / "templates", place.folder / "templates")
    text = (HERE / "ondeck.toml").read_text(encoding="utf-8")
    text = _fill(text, 'python = "python3"', "python", python)
    text = _fill(text, 'program = "/path/to/examples/strain/spectrum.py"', "program", str(HERE / "spectrum.py"))
    place.config.write_text(text, encoding="utf-8")
    for folder in (place.daq, place.results):
        folder.mkdir()
    return place


def _fill(text: str, line: str, key: str, value: str) -> str:
    """Put `value` in the place of the example's; a JSON string is a TOML string too."""
    if text.count(line) != 1:
        raise ValueError(f"{HERE / 'ondeck.toml'}: the line {line} is wanted, once")
    return text.replace(line, f"{key} = {json.dumps(value, ensure_ascii=False)}")
