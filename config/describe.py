"""Pydantic's errors in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from .problems import Problem, kind, nearest, toml_value
from .section import Section
from .units import format_duration
from .wrong import Wrong

_NEEDED = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false, without quotes,",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_LIMITS = {
    "greater_than": ("gt", "not above {}", "give a number above {}"),
    "greater_than_equal": ("ge", "below {}", "give {} or more"),
    "less_than": ("lt", "too large", "give a number below {}"),
    "less_than_equal": ("le", "above {}", "give {} or less"),
}


def describe(
    error: ValidationError,
    model: type[BaseModel],
    keys: Sequence[str],
    table: Mapping[str, Any],
    more: Sequence[str] = (),
) -> list[Problem]:
    """The problems of a table that stands under `keys` in the file; `more`: keys known beside the model's."""
    return [
        _problem(item, model, tuple(keys), table, more)
        for item in error.errors(include_url=False, include_context=True)
    ]


def _problem(
    item: ErrorDetails,
    model: type[BaseModel],
    prefix: tuple[str, ...],
    table: Mapping[str, Any],
    more: Sequence[str],
) -> Problem:
    loc = [part for part in item["loc"] if isinstance(part, str) and part != "[key]"]
    keys, value, kind_of_error = (*prefix, *loc), item["input"], item["type"]
    field, owner = _field(model, loc)
    context = item.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Wrong):
        if cause.key:
            keys, value = (*keys, cause.key), _inside(table, (*loc, cause.key))
        value = value if cause.value is ... else cause.value
        return Problem(keys, value, cause.wrong, cause.right or _meaning(field))
    if kind_of_error == "missing":
        return Problem(keys, ..., "missing", _write(loc, field))
    if kind_of_error == "extra_forbidden":
        known = [*_keys(owner), *more] if len(loc) == 1 else _keys(owner)
        return Problem(
            keys, ... if isinstance(value, dict) else value, "unknown key", nearest(loc[-1], known)
        )
    if kind_of_error in _NEEDED:
        return Problem(
            keys, value, f"{kind(value)} where {_NEEDED[kind_of_error]} belongs", _write(loc, field)
        )
    if kind_of_error == "literal_error":
        return Problem(keys, value, "not known here", nearest(str(value), _choices(field)))
    if kind_of_error in _LIMITS:
        name, wrong, right = _LIMITS[kind_of_error]
        limit = f"{context[name]:g}" if isinstance(context[name], float) else context[name]
        return Problem(keys, value, wrong.format(limit), right.format(limit) + _meaning(field, " ({})"))
    if kind_of_error == "value_error":
        return Problem(keys, value if loc else ..., str(cause), _meaning(field))
    message = item["msg"]
    return Problem(keys, value if loc else ..., message[:1].lower() + message[1:], _meaning(field))


def _keys(model: type[BaseModel] | None) -> list[str]:
    if model is None:
        return []
    if issubclass(model, Section):
        return model.keys()
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[BaseModel], loc: Sequence[str]) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The field that a place in the table belongs to, and the model that the last key stands in."""
    field: FieldInfo | None = None
    owner: type[BaseModel] | None = model
    inner: type[BaseModel] | None = model
    for part in loc:
        if inner is None:
            break
        owner = inner
        field = next((f for name, f in inner.model_fields.items() if part in (name, f.alias)), None)
        inner = _model_in(field.annotation) if field else None
    return field, owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `Model | None` or `Annotated[Model, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next((found for found in map(_model_in, get_args(annotation)) if found), None)
    return None


def _choices(field: FieldInfo | None) -> list[str]:
    def strings(annotation: Any) -> list[str]:
        return [s for arg in get_args(annotation) for s in ([arg] if isinstance(arg, str) else strings(arg))]

    return strings(field.annotation) if field else []


def _inside(table: Any, keys: Sequence[str]) -> Any:
    """The value at a place of the table as it was written, `...` when there is none."""
    for key in keys:
        if not isinstance(table, Mapping) or key not in table:
            return ...
        table = table[key]
    return table


def _meaning(field: FieldInfo | None, form: str = "the key means: {}") -> str:
    return form.format(field.description) if field and field.description else ""


def _write(loc: Sequence[str], field: FieldInfo | None) -> str:
    """What to write instead: an example, and what the key means."""
    if field is None:
        return ""
    example = field.examples[0] if field.examples else field.get_default(call_default_factory=False)
    if example is None or example is PydanticUndefined or isinstance(example, BaseModel) or example == {}:
        return _meaning(field)
    if isinstance(example, timedelta):
        example = format_duration(example)
    elif not isinstance(example, (bool, int, float, str, list, tuple, dict)):
        example = str(example)
    name = field.alias or (loc[-1] if loc else "")
    return f"write {name} = {toml_value(example)}{_meaning(field, ' ({})')}"
