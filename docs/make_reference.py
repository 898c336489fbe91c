#!/usr/bin/env python
"""Writes the pages of docs/reference that are made from the code; with --check says which are out of date."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ondeck.config.database import Database
from ondeck.config.schema import schema
from ondeck.config.units import format_size
from ondeck.db import models, tables
from ondeck.db.base import Base
from ondeck.db.states import STATUSES
from ondeck.tools.cli import COMMANDS, SECTIONS, ondeck
from ondeck.tools.states import as_text

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
PICTURES = DOCS / "pictures"
MADE = "<!-- Made by docs/make_reference.py from the code: change it there. -->"
WIDTH = 96

Schema = Mapping[str, Any]


def pages() -> dict[Path, str]:
    """File → what it should hold."""
    made = {
        REFERENCE / "configuration.md": "\n".join(configuration()),
        REFERENCE / "commands.md": "\n".join(commands()),
        REFERENCE / "statuses.md": "\n".join(statuses()),
        REFERENCE / "tables.md": "\n".join(database()),
    }
    made |= {PICTURES / f"{table}.txt": as_text(table) for table in STATUSES}
    return {path: text.rstrip() + "\n" for path, text in made.items()}


def stale() -> list[Path]:
    """Files that don't hold what they should."""
    return [path for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


# ---- configuration ----

_INTRODUCTION = """\
# ondeck.toml

The file is found by `--config`, else by `$ONDECK_CONFIG`, else it is the first of `./ondeck.toml`,
`~/.config/ondeck/ondeck.toml` and `/etc/ondeck/ondeck.toml`. Relative paths begin at its folder.

    ondeck config check      says all that is wrong in it: table, key, value, and what would be right
    ondeck config show       prints every key with the value that holds
    ondeck config schema     prints its JSON schema, for editors

*Durations* are `"10s"`, `"5m"`, `"2h"`, `"1d"`, together too (`"1h 30m"`), or seconds as a number. *Sizes* are
`"500M"`, `"20G"` (powers of 1000), `"1GiB"` (of 1024), or bytes as a number. An unknown key is an error. A key
without a default and without *required* may be left out.

A NAME in a table's heading is yours to choose. [examples/two-disks](../../examples/two-disks/ondeck.toml) is a whole
file with comments."""

_CONDITIONS = """\
A condition in `match` is one of these; all conditions of a listener must hold. Of a parameter that is a list, one
matching element is enough (for `not`: none may be among the values).

| condition | holds when the parameter |
| --- | --- |
| `beam = "on"`, `level = 3`, `cosmic = true` | is this |
| `run_type = ["physics", "cosmics"]` | is one of these |
| `run_type = {not = ["test"]}` | is none of these, or is not there |
| `comment = {contains = "laser"}` | has this text in it, whatever the case |
| `trigger = {bits = 6}` | has all of these bits set |
| `number = {min = 1000, max = 1999}` | lies between them, both included; one of the two is enough |

The keys `name`, `number` and `run_type` are those of the run; all others are its parameters."""


def configuration() -> Iterator[str]:
    """The page of ondeck.toml."""
    whole = json.loads(json.dumps(schema()))
    url = Database.model_fields["url"].default.get_secret_value()  # a secret's default is not in the schema
    whole["$defs"]["Database"]["properties"]["url"]["default"] = url
    yield from (MADE, "", _INTRODUCTION, "")
    yield from _table("Top of the file", _plain_keys(whole))
    yield from _section(whole, "Database", "[database]")
    yield from _section(whole, "Retry", "[retry]", "What trouble of the machinery does to a row that waits.")
    words = "Each key may stand in [daemons.NAME] too (RunsProvider, Transfer …): it then holds for that one."
    yield from _section(whole, "Daemons", "[daemons]", words)
    yield from _section(whole, "Site", "[sites.NAME]")
    yield from _section(whole, "Batch", "[sites.NAME.batch]")
    yield from _section(whole, "Storage", "[storages.NAME]")
    yield from _section(whole, "Bundle", "[storages.NAME.bundle]")
    yield from _section(whole, "Source", "[sources.NAME]")
    yield from _section(whole, "Listener", "[listeners.NAME]")
    yield from (_CONDITIONS, "")
    yield from _section(whole, "Module", "[modules.NAME]")
    yield from _section(whole, "Sink", "[sinks.NAME]")


def _section(whole: Schema, name: str, heading: str, words: str = "") -> Iterator[str]:
    section = whole["$defs"][name]
    for variant in section.get("anyOf", [section]):
        more = f", {variant['title']}" if "anyOf" in section else ""
        more = re.sub(r"= (\w+)", r'= "\1"', more)
        yield from _table(f"{heading}{more}", _plain_keys(variant), words)


def _plain_keys(section: Schema) -> dict[str, Any]:
    """Keys with a value of their own (tables have a heading of their own)."""
    required = section.get("required", ())
    return {
        key: {**value, "required": key in required}
        for key, value in section["properties"].items()
        if "$ref" not in value and "$ref" not in str(value.get("additionalProperties", ""))
    }


def _table(heading: str, keys: Mapping[str, Schema], words: str = "") -> Iterator[str]:
    yield from (f"## {heading}", "")
    if words:
        yield from (words, "")
    yield from ("| key | value | default | meaning |", "| --- | --- | --- | --- |")
    for key, value in keys.items():
        if "const" in value:
            kind, default = f"`{json.dumps(value['const'])}`", "required"
            meaning = "the kind" if key in ("type", "system") else value["description"]
        else:
            kind, default, meaning = _kind(value), _default(value), value.get("description", "")
        yield f"| `{key}` | {kind} | {default} | {meaning} |"
    yield ""


def _kind(value: Schema) -> str:
    text = json.dumps(value)
    if "enum" in value:
        return ", ".join(f"`{json.dumps(word)}`" for word in value["enum"])
    if "wdhms" in text:
        return "duration"
    if "kKmM" in text:
        return "size"
    if "minItems" in text and "contains" in text:
        return "table of conditions"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    kind = value.get("type", "")
    if kind == "array":
        return "list of texts"
    if kind == "object":
        return "table"
    return words[kind] + _limits(value)


def _limits(value: Schema) -> str:
    least = value.get("minimum", value.get("exclusiveMinimum"))
    most = value.get("maximum", value.get("exclusiveMaximum"))
    if most is not None and most < 10_000:
        return f", {least:g} to {most:g}"
    return ""


def _default(value: Schema) -> str:
    if value.get("required"):
        return "required"
    if "default" not in value:
        return ""
    default = value["default"]
    if isinstance(default, int) and not isinstance(default, bool) and "kKmM" in json.dumps(value):
        return f'`"{format_size(default).replace(" ", "").removesuffix("B")}"`'
    return "`{}`" if default == {} else f"`{json.dumps(default)}`"


# ---- commands ----

_PROGRAMS = """\
# Commands

`ondeck --help` is the same in the terminal; each command has its own `--help`. These are programs of their own as
well, with the same options:

| program | is |
| --- | --- |
| `listdb`, `builddb`, `alterdb` | `ondeck listdb`, `ondeck builddb`, `ondeck alterdb` |
| `ResetJob`, `HoldJob`, `StartJob` | `ondeck job reset`, `ondeck job hold`, `ondeck job start` |
| `RunsProvider`, `Transfer`, `JobOrganizer`, `Process`, `DiskMonitor`, `Messenger` | `ondeck daemon NAME` |

Exit codes are in [exit-codes.md](exit-codes.md)."""

_ONE_DAEMON = "Transfer"


def commands() -> Iterator[str]:
    """The page of the commands."""
    yield from (MADE, "", _PROGRAMS, "")
    context = click.Context(ondeck, info_name="ondeck", terminal_width=WIDTH, max_content_width=WIDTH)
    for section, names in SECTIONS.items():
        yield from (f"## {section}", "")
        for name in names:
            yield from _command(name, ondeck.get_command(context, name), context)


def _command(name: str, command: click.Command | None, parent: click.Context) -> Iterator[str]:
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    level = "#" * (2 + len(context.command_path.split()) - 1)
    yield from (f"{level} {context.command_path}", "", "```text", command.get_help(context).rstrip(), "```", "")
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            if command.name == "daemon" and below != _ONE_DAEMON:
                continue
            yield from _command(below, command.get_command(context, below), context)


def known_commands() -> set[tuple[str, ...]]:
    """All commands of ondeck, as their words: ("run", "add") …"""
    found: set[tuple[str, ...]] = set()

    def walk(words: tuple[str, ...], command: click.Command | None) -> None:
        assert command is not None
        found.add(words)
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=words[-1])
            for name in command.list_commands(context):
                walk((*words, name), command.get_command(context, name))

    top = click.Context(ondeck, info_name="ondeck")
    for name in COMMANDS:
        walk((name,), ondeck.get_command(top, name))
    return found


# ---- statuses ----

_STATUSES = """\
# Statuses

A row moves from status to status in the steps listed here, and in no other: triggers in the run database refuse the
rest, also when it is typed by hand in `sqlite3` or `psql`, and write each step into the history. `verb` means that a
person has asked for it. `ondeck states` prints the same in the terminal."""

_WORDS = {
    "runs": "A run, from the DAQ to the archive. `processed` means: nothing is left that ondeck would do by itself but"
    " archiving. Where the data are is a matter of copies, not of the run's status.",
    "jobs": "One module of one run. `waiting`: a person must say go. `blocked`: a [gate](gates.md) is closed."
    " `submitting`, `pending` and `running` jobs are live: something of them runs outside, or could start.",
    "copies": "A run's data in one storage. Only a `verified` copy counts: written, flushed to disk, read back,"
    " equal to its manifest.",
    "bundles": "A tar of several runs in the archive.",
    "inbox": "A message from outside, stored before anything is done with it. (Nothing fills it yet.)",
    "outbox": "A message to people. Within a stream they are sent in order.",
}


def statuses() -> Iterator[str]:
    """The page of the statuses."""
    yield from (MADE, "", _STATUSES, "")
    for table in STATUSES:
        yield from (f"## {table}", "", _WORDS[table], "", f"![The statuses of {table}](../pictures/{table}.svg)", "")
        yield from ("```text", as_text(table), "```", "")


# ---- tables ----

_TABLES = """\
# Tables of the run database

Reading is free to everybody, with any tool. Statuses are changed by ondeck's commands; what may be inserted by hand is
a run ([how](../howto/daq-inserts.md)). Times are the database's clock in UTC. Rows that daemons work on share these
columns:

| column | holds |
| --- | --- |
| `status`, `reason`, `actor`, `steps` | where it stands, why, who took the last step, how many there were |
| `priority` | higher goes first |
| `epoch`, `lease_until`, `leased_by` | the [lease](../explanation/leases.md) |
| `tries`, `failures`, `not_before` | [trouble](../explanation/trouble.md): machinery, payload; when it is tried again |
| `blocked_by`, `blocked_since` | the [gate](gates.md) that holds it back |

A column that may be left out in an INSERT has a default or may be null."""

_SHARED = {
    "status", "priority", "epoch", "lease_until", "leased_by", "tries", "failures", "not_before", "blocked_by",
    "blocked_since", "reason", "actor", "steps",
}  # fmt: skip


def database() -> Iterator[str]:
    """The page of the tables."""
    yield from (MADE, "", _TABLES, "")
    for module in (models, tables):
        for model in vars(module).values():
            if inspect.isclass(model) and issubclass(model, Base) and model.__module__ == module.__name__:
                yield from _model(model)


def _model(model: Any) -> Iterator[str]:
    table = model.__table__
    worked = set(table.columns.keys()) >= _SHARED
    yield from (f"## {table.name}", "", " ".join((inspect.getdoc(model) or "").split()), "")
    if worked:
        yield from ("With the shared columns.", "")
    yield from ("| column | type | may be null | default | refers to |", "| --- | --- | --- | --- | --- |")
    for column in table.columns:
        if worked and column.name in _SHARED - {"status"}:
            continue
        refers = ", ".join(str(key.column) for key in column.foreign_keys)
        null = "yes" if column.nullable else ""
        yield f"| `{column.name}` | {_type(column.type)} | {null} | {_server(column)} | {refers} |"
    yield ""


_TYPES = {"BigInteger": "integer", "Integer": "integer", "Text": "text", "UTCDateTime": "time", "JSON": "JSON",
          "Boolean": "boolean", "LargeBinary": "bytes", "Float": "number", "Double": "number"}  # fmt: skip


def _type(kind: object) -> str:
    return _TYPES[type(kind).__name__]


def _server(column: Any) -> str:
    if column.server_default is None:
        return "its number" if column.primary_key and _type(column.type) == "integer" else ""
    text = getattr(column.server_default.arg, "text", column.server_default.arg)
    return f"`{text}`" if isinstance(text, str) and text else "`''`" if text == "" else "now"


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is out of date")
    old = stale()
    if parser.parse_args().check:
        for path in old:
            print(f"{path.relative_to(DOCS)} is out of date: type `python docs/make_reference.py`", file=sys.stderr)
        sys.exit(1 if old else 0)
    made = pages()
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        print(path.relative_to(DOCS))


if __name__ == "__main__":
    main()
