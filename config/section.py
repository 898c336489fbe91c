"""The base of all sections of ondeck.toml, and of the Options models of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, TypedDict, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationInfo, model_validator

from .units import Name


class Context(TypedDict, total=False):
    """What validators know of the file (`info.context`): where relative paths begin, the file's rights."""

    folder: Path
    file: Path
    mode: int


class Section(BaseModel):
    """A table of ondeck.toml: frozen, no unknown keys, no silent conversions ("3" is not 3)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )
    internal: ClassVar[frozenset[str]] = frozenset()
    """Fields that loading fills in; they are no keys of the file."""

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, table: Any) -> Any:
        """Lists of the file become the tuples that fields with several values are."""
        if not isinstance(table, dict):
            return table
        several = {
            field.alias or name for name, field in cls.model_fields.items() if _is_tuple(field.annotation)
        }
        return {
            key: tuple(value) if key in several and isinstance(value, list) else value
            for key, value in table.items()
        }

    def _fill(self, **values: Any) -> Self:
        """For `after` validators: sets fields that follow from others, before anybody saw this object."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that may stand in this table."""
        return [field.alias or name for name, field in cls.model_fields.items() if name not in cls.internal]


class Named(Section):
    """A table of which there may be several, each with a name: [storages.disk] has the name "disk"."""

    internal: ClassVar[frozenset[str]] = frozenset({"name"})
    name: Name = Field(description="the name of the table")


class Plugged(Section):
    """A table that names a plug-in: some keys are common to all, the others belong to the plug-in."""

    internal: ClassVar[frozenset[str]] = frozenset({"table", "options"})
    group: ClassVar[str]
    """The group of entry points."""
    type_key: ClassVar[str]
    """The key that names the plug-in."""

    table: Mapping[str, Any] = Field(default={}, description="the plug-in's own keys as written")
    options: SerializeAsAny[BaseModel] | None = Field(
        default=None, description="the plug-in's own keys, checked"
    )


def context_of(info: ValidationInfo) -> Context:
    """The context of a validation; empty when a model is made outside of a file."""
    context: Context | None = info.context
    return context or {}


def _is_tuple(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(map(_is_tuple, get_args(annotation)))
    return annotation is tuple or get_origin(annotation) is tuple
