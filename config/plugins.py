"""Plug-ins, found by name: entry points of installed packages, or of the setup.cfg of a plain clone.

The groups are `ondeck.batch`, `ondeck.sources`, `ondeck.sinks`. A plug-in is a class whose attribute
`Options` is a pydantic model of the keys that it adds to its table.
"""

from __future__ import annotations

import configparser
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel

from .problems import nearest
from .section import Section
from .wrong import Wrong

ROOT = Path(__file__).resolve().parent.parent


class NoOptions(Section):
    """A plug-in without keys of its own."""


def names(group: str) -> dict[str, metadata.EntryPoint]:
    """The plug-ins of a group by name."""
    found = {point.name: point for point in _of_clone(group)}
    found.update({point.name: point for point in metadata.entry_points(group=group)})
    return found


def find(group: str, name: str) -> type:
    """The class of a plug-in. Raises Wrong when there is none of that name, or when it can't be imported."""
    known = names(group)
    if name not in known:
        raise Wrong("no such plug-in", nearest(name, known))
    try:
        plugin = known[name].load()
    except Exception as error:  # whatever a foreign module may raise
        raise Wrong(
            f"the plug-in {known[name].value} can't be loaded: {type(error).__name__}: {error}",
            "install what it needs, or take another one",
        ) from error
    if not isinstance(plugin, type):
        raise Wrong(f"the plug-in {known[name].value} is not a class", "mend the package that declares it")
    return plugin


@cache
def kept(group: str, name: str) -> type:
    """The same as `find`, looked for once in this process: for what asks again and again."""
    return find(group, name)


def options_model(plugin: type) -> type[BaseModel]:
    """The model of a plug-in's own keys. Raises Wrong when its `Options` is none."""
    model = getattr(plugin, "Options", NoOptions)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model
    raise Wrong(f"{plugin.__qualname__}.Options is not a pydantic model", "mend the package that declares it")


def _of_clone(group: str) -> list[metadata.EntryPoint]:
    """What the setup.cfg beside the package declares: there is one only in a clone."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser.get("options.entry_points", group, fallback="").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return [metadata.EntryPoint(name.strip(), value.strip(), group) for name, _, value in pairs]
