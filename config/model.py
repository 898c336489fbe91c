"""The whole of ondeck.toml."""

from __future__ import annotations

import grp
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from .daemons import DAEMONS, Daemons, DaemonSettings, settings
from .database import Database
from .listeners import Listener
from .modules import Module, find_template
from .problems import UnknownDaemon
from .retry import Retry
from .section import Section
from .sinks import Sink
from .sites import Site
from .sources import Source
from .storages import Storage
from .units import ConfigPath
from .wrong import Wrong

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
PACKAGE_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "job"


def _parse_name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise Wrong("not a name for an experiment", "a small letter, then at most 30 of a-z, 0-9, _ and -")


def _parse_umask(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"(0o?)?[0-7]{1,3}", value):
        raise Wrong(
            "not an octal number in quotes", 'write umask = "027" (group may read) or "022" (all may)'
        )
    mask = int(value.removeprefix("0o"), 8)
    if mask & 0o700:
        raise Wrong("takes rights from the owner, that is ondeck itself", 'write umask = "027" or "077"')
    return mask


def _check_group(value: str) -> str:
    if value:
        try:
            if not re.fullmatch(r"[^\s:,\0]{1,255}", value):  # the C library aborts at megabytes
                raise KeyError(value)
            grp.getgrnam(value)
        except (KeyError, ValueError) as error:
            raise Wrong(
                "there is no such group on this machine", 'name one of `getent group`, or ""'
            ) from error
    return value


ExperimentName = Annotated[
    str, BeforeValidator(_parse_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})
]
Umask = Annotated[
    int,
    BeforeValidator(_parse_umask),
    PlainSerializer(lambda bits: f"{bits:03o}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^(0o?)?0?[0-7]{1,2}$"}),
]
Group = Annotated[str, AfterValidator(_check_group)]


class Config(Section):
    """ondeck.toml, checked; all paths are absolute."""

    internal: ClassVar[frozenset[str]] = frozenset({"path"})

    path: Path = Field(description="the file itself")
    name: ExperimentName = Field(
        default="ondeck", description="holds several experiments on one machine apart"
    )
    state_dir: ConfigPath = Field(
        default=Path("state"), description="directory of pid files, logs and local heartbeats"
    )
    umask: Umask = Field(
        default=0o027, validate_default=False, description="rights that files made by ondeck do not give"
    )
    group: Group = Field(
        default="", description="group of files made by ondeck; empty: the user's primary group"
    )
    database: Database = Field(default_factory=Database, description="the run database")
    retry: Retry = Field(default=Retry(), description="back-off after trouble of the machinery")
    daemons: Daemons = Field(default=Daemons(), description="how often the daemons look, beat and renew")
    sites: Mapping[str, Site] = Field(default={}, description="places")
    storages: Mapping[str, Storage] = Field(default={}, description="directories that hold copies")
    sources: Mapping[str, Source] = Field(default={}, description="where runs come from")
    listeners: Mapping[str, Listener] = Field(
        default={}, description="which runs are ours, and what is done with them"
    )
    modules: Mapping[str, Module] = Field(default={}, description="kinds of processing")
    sinks: Mapping[str, Sink] = Field(default={}, description="where messages go")

    @property
    def folder(self) -> Path:
        """The folder of ondeck.toml: relative paths begin there."""
        return self.path.parent

    @property
    def template_folders(self) -> tuple[Path, ...]:
        """Where templates are looked for, in this order."""
        return (self.folder / "templates", PACKAGE_TEMPLATES)

    def template(self, name: str) -> Path | None:
        """The file of a template, None when there is none of that name."""
        return find_template(self.template_folders, name)

    def daemon(self, name: str) -> DaemonSettings:
        """What holds for one daemon. Raises UnknownDaemon."""
        if name not in DAEMONS:
            raise UnknownDaemon(name=name, known=", ".join(DAEMONS))
        return settings(self.daemons, name)
