"""[modules.NAME]: one kind of processing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from .problems import dotted
from .section import Named
from .units import PositiveDuration, PositiveSize, is_file
from .wrong import Wrong

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _template(value: str) -> str:
    path = PurePosixPath(value)
    if not value or "\0" in value or len(value) > 200 or path.is_absolute() or ".." in path.parts:
        raise Wrong(
            "not the name of a template", 'name a file in the folder templates, such as "checksums.sh"'
        )
    return value


def _environment(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not _VARIABLE.fullmatch(name) or len(name) > 200:
            raise Wrong(
                f"{dotted([name])} can't be a variable's name", "use letters, digits and _, no digit first"
            )
        if "\0" in text:
            raise Wrong(f"the value of {name} holds a NUL character", "take it out")
    return value


Template = Annotated[str, AfterValidator(_template), WithJsonSchema({"type": "string", "minLength": 1})]
Environment = Annotated[Mapping[str, str], AfterValidator(_environment)]


class Module(Named):
    """A kind of processing: what runs, where, and what it needs."""

    template: Template = Field(
        description="job script in the folder templates beside ondeck.toml, else one of ondeck's own",
        examples=["checksums.sh"],
    )
    site: str = Field(description="the site at which its jobs run", examples=["here"])
    walltime: PositiveDuration = Field(default=timedelta(hours=1), description="longest time a job may run")
    cores: int = Field(default=1, ge=1, le=1_000_000, description="cores of a job")
    memory: PositiveSize = Field(default=1000**3, description="memory of a job")
    max_failures: int = Field(
        default=3, ge=1, le=1_000_000, description="failures of a job's payload before it is failed"
    )
    needs_validation: bool = Field(
        default=False,
        alias="validate",
        description="a person must say go (StartJob) before a job is submitted",
    )
    optional: bool = Field(default=False, description="its failure does not make the run failed")
    idempotent: bool = Field(default=False, description="it may run twice without harm")
    version: str = Field(
        default="", max_length=100, description="version of the software, kept with each job"
    )
    env: Environment = Field(default={}, description="environment variables of its jobs")
    options: Mapping[str, Any] = Field(default={}, description="free table for the template")


def find_template(folders: Iterable[Path], name: str) -> Path | None:
    """The first file of that name in the folders, None when there is none."""
    return next((folder / name for folder in folders if is_file(folder / name)), None)
