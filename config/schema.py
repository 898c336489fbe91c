"""The JSON schema of ondeck.toml, with the keys of the plug-ins that are installed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from . import plugins
from .model import Config
from .read import TABLES
from .section import Plugged
from .sinks import Sink
from .sites import Batch
from .sources import Source
from .units import NAME, format_duration
from .wrong import Wrong

Schema = dict[str, Any]


def schema() -> Schema:
    """JSON schema (draft 2020-12) for editors and other programs."""
    whole = Config.model_json_schema(schema_generator=_Generator)
    definitions: Schema = whole["$defs"]
    _without(whole, Config.internal)
    for section, model in TABLES.items():
        _without(definitions[model.__name__], model.internal)
        whole["properties"][section]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    for plugged in (Batch, Source, Sink):
        definition = definitions[plugged.__name__]
        _without(definition, plugged.internal)
        variants, more = _variants(plugged, definition)
        definitions[plugged.__name__] = {
            "title": definition["title"],
            "description": definition["description"],
            "anyOf": variants,
        }
        definitions.update(more)
    definitions.pop("BaseModel", None)
    definitions["Database"]["properties"]["url"].pop("default", None)
    whole["properties"]["umask"]["default"] = "027"
    result = _without_null(whole)
    assert isinstance(result, dict)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ondeck.toml"} | {
        key: value for key, value in result.items() if key != "title"
    }


class _Generator(GenerateJsonSchema):
    """Defaults as the file would have them, no titles made of the keys."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return None
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _variants(model: type[Plugged], common: Schema) -> tuple[list[Schema], Schema]:
    """The table of each plug-in of a kind, and the definitions they refer to."""
    variants, definitions = [], {}
    for name in sorted(plugins.names(model.group)):
        prefix = f"{model.group}.{name}"
        try:
            options = plugins.options_model(plugins.find(model.group, name))
        except Wrong:  # what it needs is not installed here: its keys can't be told
            own: Schema = {"additionalProperties": True}
        else:
            own = options.model_json_schema(
                ref_template=f"#/$defs/{prefix}.{{model}}", schema_generator=_Generator
            )
            definitions.update({f"{prefix}.{key}": value for key, value in own.pop("$defs", {}).items()})
            _without(own, _internal(options))
        variants.append(
            {
                "title": f"{model.type_key} = {name}",
                "type": "object",
                "properties": common["properties"]
                | own.get("properties", {})
                | {model.type_key: {"const": name, "description": own.get("description", "")}},
                "required": sorted({*common.get("required", []), *own.get("required", [])}),
                "additionalProperties": own.get("additionalProperties", False),
            }
        )
    return variants, definitions


def _internal(model: type[BaseModel]) -> frozenset[str]:
    return getattr(model, "internal", frozenset())


def _without(definition: Schema, names: frozenset[str]) -> None:
    for name in names:
        definition.get("properties", {}).pop(name, None)
    if "required" in definition:
        definition["required"] = [name for name in definition["required"] if name not in names]


def _without_null(value: Any) -> Any:
    """TOML has no null: a key that may be absent is absent."""
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {
        key: _without_null(item) for key, item in value.items() if not (key == "default" and item is None)
    }
    choices = found.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        found.pop("anyOf")
        found = (choices[0] | found) if len(choices) == 1 else found | {"anyOf": choices}
    return found
