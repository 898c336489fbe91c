"""The effective configuration: as a plain table without secrets, as TOML, and as a fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from .daemons import DAEMONS
from .model import Config
from .problems import escape
from .secrets import MASK, is_secret, mask_url
from .section import Plugged
from .sites import SSH_KEYS

Table = dict[str, Any]


def effective(config: Config) -> Table:
    """All keys with their values, defaults too, as the file would have them; secrets are masked."""
    table = _table(config)
    for name in DAEMONS:
        table["daemons"][name] = config.daemon(name).model_dump(mode="json", exclude={"name"})
    for name, storage in config.storages.items():
        if storage.kind != "archive":
            del table["storages"][name]["bundle"]
    for name, site in config.sites.items():
        if site.transport == "local":
            table["sites"][name] = {key: item for key, item in table["sites"][name].items() if key not in SSH_KEYS}
    table = {key: _masked(item, key) for key, item in table.items()}
    database = table["database"]
    if config.database.url_env or config.database.url_file:
        del database["url"]
    else:
        database["url"] = config.database.shown_url
    return table


def fingerprint(config: Config) -> str:
    """sha256 of the effective configuration without secrets, in hex: equal for files that mean the same."""
    return hashlib.sha256(json.dumps(effective(config), sort_keys=True).encode()).hexdigest()


def to_toml(table: Mapping[str, Any]) -> str:
    """The table as TOML text."""
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _table(model: BaseModel) -> Table:
    """A section's keys; the models in it become tables, a plug-in's options stand among the common keys."""
    written: Table = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, field in type(model).model_fields.items():
        key, value = field.alias or name, getattr(model, name)
        if isinstance(value, BaseModel):
            written[key] = _table(value)
        elif isinstance(value, Mapping) and any(isinstance(item, BaseModel) for item in value.values()):
            written[key] = {one: _table(item) for one, item in value.items()}
    options = written.get("options", {}) if isinstance(model, Plugged) else {}
    internal: frozenset[str] = getattr(model, "internal", frozenset())
    return {key: value for key, value in written.items() if key not in internal} | options


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {str(name): _masked(item, str(name)) for name, item in value.items()}
    if is_secret(key) and not isinstance(value, bool):
        return MASK
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return mask_url(value) if isinstance(value, str) else value


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inline = path[:1] == ("listeners",) and len(path) > 1
    tables = {} if inline else {key: item for key, item in table.items() if isinstance(item, dict) and item}
    values = {key: item for key, item in table.items() if key not in tables}
    if path and (values or not tables):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, item in values.items():
        yield f"{_key(key)} = {_value(item)}"
    for key, item in tables.items():
        yield from _lines(item, (*path, key))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            quoted = json.dumps(value, ensure_ascii=False)
            return "".join(c if c.isprintable() else escape(c) for c in quoted)
        case dict():
            return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return str(value)
