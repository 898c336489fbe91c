from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ondeck.config.read import TABLES
from ondeck.config.schema import schema
from ondeck.config.write import text

from .test_wrong_values import FULL


def resolve(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = whole["$defs"][part["$ref"].removeprefix("#/$defs/")]
    return part


def unknown(whole: dict[str, Any], part: dict[str, Any], value: object, path: str = "") -> list[str]:
    """Keys of a document for which the schema has no place."""
    part = resolve(whole, part)
    if not isinstance(value, dict):
        return []
    if "anyOf" in part:
        objects = [choice for choice in part["anyOf"] if "properties" in resolve(whole, choice)]
        return min((unknown(whole, choice, value, path) for choice in objects), key=len) if objects else []
    found = []
    for key, item in value.items():
        inner = part.get("properties", {}).get(key, part.get("additionalProperties", False))
        if inner is False:
            found.append(f"{path}.{key}")
        elif isinstance(inner, dict):
            found += unknown(whole, inner, item, f"{path}.{key}")
    return found


def test_every_key_has_its_place_and_its_words() -> None:
    whole = schema()
    assert unknown(whole, whole, tomllib.loads(FULL)) == []
    assert unknown(whole, whole, {"zzz": 1, "retry": {"yyy": 2}}) == [".zzz", ".retry.yyy"]
    for name, definition in whole["$defs"].items():
        for variant in definition.get("anyOf", [definition]):
            for key, part in variant.get("properties", {}).items():
                assert "description" in part or name == "BaseModel", f"{name}.{key}"
    json.dumps(whole)


def test_what_loading_fills_in_is_no_key() -> None:
    whole = schema()
    assert "path" not in whole["properties"]
    for section, model in TABLES.items():
        definition = whole["$defs"][model.__name__]
        for variant in definition.get("anyOf", [definition]):
            assert not {"name", "table"} & set(variant["properties"]), section
            assert "name" not in variant.get("required", [])
    assert "options" in whole["$defs"]["Module"]["properties"]
    assert '"null"' not in json.dumps(whole)


def test_plug_ins_bring_their_keys() -> None:
    whole = schema()
    strict = next(
        one for one in whole["$defs"]["Batch"]["anyOf"] if one["properties"]["system"]["const"] == "strict"
    )
    assert strict["required"] == ["queue", "system"]
    assert strict["properties"]["limit"]["default"] == 3
    assert strict["additionalProperties"] is False
    broken = next(
        one for one in whole["$defs"]["Batch"]["anyOf"] if one["properties"]["system"]["const"] == "broken"
    )
    assert broken["additionalProperties"] is True
    mail = whole["$defs"]["Sink"]["anyOf"][0]
    assert "password" not in mail["properties"]
    assert "password_env" in mail["properties"]


def test_defaults_are_written_as_in_the_file() -> None:
    whole = schema()
    properties = whole["$defs"]["Retry"]["properties"]
    assert properties["first"]["default"] == "10s"
    assert properties["longest"]["default"] == "30m"
    assert whole["properties"]["umask"]["default"] == "027"
    assert whole["properties"]["state_dir"]["default"] == "state"


@pytest.mark.parametrize("folder", ["x"])
def test_the_file_of_init_fits(real_plugins: None, folder: str) -> None:
    whole = schema()
    assert unknown(whole, whole, tomllib.loads(text(Path(folder)))) == []
