"""Plug-ins for the tests of the configuration, so that they depend on none of the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from ondeck.config import Config, ConfigError, Section, WithPassword, loads, plugins

GOOD = """
name = "test"
[sites.here]
transport = "local"
work = "work"
[sites.here.batch]
system = "local"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
[storages.tape]
site = "here"
path = "archive"
kind = "archive"
[sources.daq]
type = "directory"
storage = "daq"
[listeners.all]
modules = ["sums"]
storage = "disk"
archive = "tape"
[modules.sums]
template = "sums.sh"
site = "here"
[sinks.mail]
type = "mail"
sender = "a@example.org"
"""


class Local:
    """A batch system without keys of its own."""


class Strict:
    class Options(Section):
        queue: str = Field(description="the queue", examples=["short"])
        limit: int = Field(default=3, ge=1, description="limit of the queue")


class Directory:
    class Options(Section):
        end_marker: str = Field(default="run.end", description="last file")
        parameters: tuple[str, ...] = Field(default=("run.json",), description="files")


class Needy:
    class Options(Section):
        storage: str = Field(description="where the runs are", examples=["daq"])


class Loose:
    class Options(BaseModel):
        """A model that would pass over unknown keys silently."""

        topic: str = Field("alerts", description="topic")


class Mail:
    class Options(WithPassword):
        sender: str = Field(description="who sends", examples=["a@example.org"])
        port: int = Field(default=25, ge=1, le=65535, description="port of the server")


class BadOptions:
    Options = 3


class Point:
    """Stands for an entry point."""

    def __init__(self, target: object) -> None:
        self.target, self.value = target, "somewhere:Plugin"

    def load(self) -> object:
        if isinstance(self.target, Exception):
            raise self.target
        return self.target


PLUGINS: dict[str, dict[str, Any]] = {
    "ondeck.batch": {"local": Local, "strict": Strict, "broken": ImportError("No module named 'slurmlib'")},
    "ondeck.sources": {
        "directory": Directory,
        "needy": Needy,
        "loose": Loose,
        "odd": BadOptions,
        "function": len,
    },
    "ondeck.sinks": {"mail": Mail},
}


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The plug-ins above instead of the real ones, but in tests marked by the fixture `real_plugins`."""
    if "real_plugins" in request.fixturenames:
        return
    points = {group: {name: Point(one) for name, one in found.items()} for group, found in PLUGINS.items()}
    monkeypatch.setattr(plugins, "names", lambda group: points[group])


@pytest.fixture
def real_plugins() -> None:
    """The plug-ins that are installed."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a template `sums.sh`."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "sums.sh").write_text("true\n")
    return tmp_path


@pytest.fixture
def make(folder: Path) -> Callable[[str], Config]:
    """The configuration in a text, as if it stood in the folder."""
    return lambda text: loads(text, folder / "ondeck.toml")


@pytest.fixture
def wrong(folder: Path) -> Callable[[str], str]:
    """The message with which a text is refused, without the file's name."""

    def message(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            loads(text, folder / "ondeck.toml")
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{folder}/ondeck.toml: ") for line in lines)
        return "\n".join(line.removeprefix(f"{folder}/ondeck.toml: ") for line in lines)

    return message
