"""From a TOML document to a Config, with all its problems found at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from . import plugins
from .checks import Draft, check
from .describe import describe
from .listeners import Listener
from .model import Config
from .modules import Module
from .problems import ConfigInvalid, Problem, kind, nearest
from .section import Context, Named, Plugged
from .sinks import Sink
from .sites import Batch, Site
from .sources import Source
from .storages import Storage
from .units import parse_name
from .wrong import Wrong

TABLES: dict[str, type[Named]] = {
    "sites": Site,
    "storages": Storage,
    "sources": Source,
    "listeners": Listener,
    "modules": Module,
    "sinks": Sink,
}
Table = dict[str, Any]
M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=Plugged)


def read(document: Table, file: Path, mode: int | None = None) -> Config:
    """The configuration in a document that stands in `file` (mode: its rights, where there is one).

    Raises ConfigInvalid with all problems.
    """
    context: Context = {"folder": file.parent, "file": file}
    if mode is not None:
        context["mode"] = mode
    return _Reader(file, context).read(document)


class _Reader:
    def __init__(self, file: Path, context: Context) -> None:
        self.file, self.context = file, context
        self.problems: list[Problem] = []

    def read(self, document: Table) -> Config:
        rest = {key: value for key, value in document.items() if key not in TABLES}
        tables = {section: self._tables(section, document.get(section, {})) for section in TABLES}
        declared = {section: set(found) for section, found in tables.items()}
        draft = Draft(self.context["folder"], declared, tables)
        for section, found in tables.items():
            made = {name: self._named(section, name, table) for name, table in found.items()}
            setattr(draft, section, {name: one for name, one in made.items() if one is not None})
        if "path" in rest:
            self.problems.append(
                Problem(("path",), rest.pop("path"), "unknown key", nearest("path", Config.keys()))
            )
        whole = {"database": {}, **rest, **{section: getattr(draft, section) for section in TABLES}}
        config = self._model(Config, (), whole, path=self.file)
        self.problems.extend(check(draft))
        if self.problems or config is None:
            raise ConfigInvalid(file=self.file, problems=self.problems)
        return config

    def _tables(self, section: str, found: object) -> dict[str, Table]:
        """The tables [section.NAME]; what is none, or has no name, is a problem."""
        if not isinstance(found, dict):
            right = f"write a table [{section}.NAME] for each"
            self.problems.append(Problem((section,), found, f"{kind(found)} where tables belong", right))
            return {}
        tables = {}
        for name, table in found.items():
            if not isinstance(table, dict):
                right = f"write [{section}.NAME], and its keys below it"
                self.problems.append(
                    Problem((section, name), table, f"{kind(table)} where a table belongs", right)
                )
                continue
            try:
                tables[parse_name(name)] = table
            except Wrong as error:
                self.problems.append(Problem((section, name), ..., error.wrong, error.right))
        return tables

    def _named(self, section: str, name: str, table: Table) -> Named | None:
        keys, model = (section, name), TABLES[section]
        if issubclass(model, (Source, Sink)):
            return self._plugin(model, keys, table, name=name)
        table = self._without_internal(model, keys, table)
        if issubclass(model, Site) and isinstance(table.get("batch"), dict):
            before = len(self.problems)
            batch = self._plugin(Batch, (*keys, "batch"), table["batch"])
            site = self._model(model, keys, {**table, "batch": batch}, name=name)
            return site if len(self.problems) == before else None
        return self._model(model, keys, table, name=name)

    def _without_internal(self, model: type[Named], keys: tuple[str, ...], table: Table) -> Table:
        for key in model.internal & set(table):
            self.problems.append(Problem((*keys, key), table[key], "unknown key", nearest(key, model.keys())))
        return {key: value for key, value in table.items() if key not in model.internal}

    def _plugin(self, model: type[P], keys: tuple[str, ...], table: Table, **more: Any) -> P | None:
        """A table whose keys belong partly to us, partly to the plug-in that it names."""
        type_key, name = model.type_key, table.get(model.type_key)
        common = model.keys()
        ours = {key: value for key, value in table.items() if key in common}
        rest = {key: value for key, value in table.items() if key not in ours}
        options = None
        known: list[str] = []
        before = len(self.problems)
        if isinstance(name, str):
            try:
                options_model = plugins.options_model(plugins.find(model.group, name))
            except Wrong as wrong:
                self.problems.append(Problem((*keys, type_key), name, wrong.wrong, wrong.right))
            else:
                known = _keys(options_model)
                options = self._options(options_model, keys, ours, rest, common)
        made = self._model(model, keys, ours, known=known, table=rest, options=options, **more)
        return made if len(self.problems) == before else None

    def _options(
        self, model: type[BaseModel], keys: tuple[str, ...], ours: Table, rest: Table, common: list[str]
    ) -> BaseModel | None:
        """A plug-in's own keys, and those common ones which it declares too (to demand or to narrow them)."""
        known = _keys(model)
        given = {**rest, **{key: value for key, value in ours.items() if key in known}}
        if model.model_config.get("extra") != "allow":
            for key in [key for key in rest if key not in known]:
                right = nearest(key, {*known, *common})
                self.problems.append(Problem((*keys, key), given.pop(key), "unknown key", right))
        return self._model(model, keys, given)

    def _model(
        self,
        model: type[M],
        keys: tuple[str, ...],
        written: Table,
        /,
        known: Sequence[str] = (),
        **filled: Any,
    ) -> M | None:
        """The model of a table, None when it is wrong; `filled` are fields that are no keys of the file."""
        try:
            return model.model_validate({**written, **filled}, context=self.context)
        except ValidationError as error:
            found = describe(error, model, keys, written, known)
            self.problems.extend(problem for problem in found if problem not in self.problems)
            return None


def _keys(model: type[BaseModel]) -> list[str]:
    internal: frozenset[str] = getattr(model, "internal", frozenset())
    return [field.alias or name for name, field in model.model_fields.items() if name not in internal]
