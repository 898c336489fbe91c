"""Job options and scripts from jinja2 templates, in which names from outside can't become commands.

In a template named *.sh every `{{ value }}` stands for exactly that value, in or outside of double quotes and
in here documents, whatever characters it holds. `{{ value|raw }}` inserts text that is sh itself (and what a
macro gave), `{{ value|sh }}` the value quoted as one word, for templates of other names. Nothing is quoted in
those by itself.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import jinja2
from jinja2.runtime import Context

from ..config.problems import nearest
from .errors import Refused
from .quote import quote, shown
from .shellvalues import Misplaced, Values

OWN = Path(__file__).resolve().parent.parent / "templates" / "job"
INTERNAL = OWN.with_name("attempt")
"""Templates that nobody can choose for a module."""


class TemplateError(Refused):
    """template {template}, line {line}: {words}."""


class NoTemplate(Refused):
    """there is no template {template!r} in {folders}."""


class Raw(str):
    """Text that is sh already."""

    __slots__ = ()


class _Nothing(jinja2.StrictUndefined):
    """A name that there isn't; its message names those that there are."""

    @property
    def _undefined_message(self) -> str:
        words = str(super()._undefined_message)
        if isinstance(self._undefined_obj, Mapping):
            words = f"{self._undefined_name!r} is not there"
            known = [str(key) for key in self._undefined_obj]
            words += f" ({nearest(str(self._undefined_name), known)})" if known else " (there is nothing)"
        return words


class Renderer:
    """Templates from the `folders`, the first that has one, then ondeck's own. Safe to use from several
    threads."""

    def __init__(self, folders: Iterable[Path] = (), *, keep: bool = False) -> None:
        """`keep`: read each template once. Else one that is changed, or put before another one, is seen at once."""
        self.folders = [*folders, OWN]
        self._cache_size = -1 if keep else 0
        self._plain = self._environment(_text)
        self._sh = self._environment(_sh_value)

    def _environment(self, finalize: Any) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.folders),
            undefined=_Nothing,
            finalize=finalize,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=self._cache_size,
            auto_reload=False,
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        )
        made.filters["sh"] = lambda value: Raw(quote(str(value)))
        made.filters["raw"] = Raw
        return made

    def render(self, template: str, variables: Mapping[str, Any]) -> str:
        """The text of a template. It may hold surrogate escapes where the values do: encode it by
        quote.to_bytes.

        Raises NoTemplate, TemplateError (unknown variable, wrong syntax, a value where it can't safely
        stand).
        """
        environment = self._sh if template.endswith(".sh") else self._plain
        values = Values(secrets.token_hex(8))
        with _collecting(values):
            try:
                text = environment.get_template(template).render(variables)
            except jinja2.TemplateSyntaxError as e:
                raise TemplateError(template=e.filename or template, line=e.lineno, words=e.message) from e
            except jinja2.TemplateNotFound as e:
                folders = ", ".join(str(folder) for folder in self.folders)
                raise NoTemplate(template=shown(str(e.name)), folders=folders) from e
            except (RecursionError, MemoryError):
                raise
            except Exception as e:  # whatever an expression of a template may raise
                file, line = self._where(template, e.__traceback__)
                raise TemplateError(template=file, line=line, words=_words(e)) from e
        try:
            return values.placed(text)
        except Misplaced as e:
            file, line = template, 0
            if e.number >= 0:
                name, at = cast("tuple[str, int]", values.origins[e.number])
                origin = environment.get_template(name)
                file, line = origin.filename or name, origin.get_corresponding_lineno(at)
            raise TemplateError(template=file, line=line or "?", words=str(e)) from e

    def _where(self, template: str, traceback: TracebackType | None) -> tuple[str, int | str]:
        """The innermost line of a template in a traceback."""
        file, line = template, "?"
        found: tuple[str, int | str] = file, line
        folders = tuple(f"{folder}/" for folder in self.folders)
        while traceback is not None:
            name = traceback.tb_frame.f_code.co_filename
            if name.startswith(folders):
                found = name, traceback.tb_lineno
            traceback = traceback.tb_next
        return found


def render(template: str, variables: Mapping[str, Any], folders: Iterable[Path] = ()) -> str:
    """See Renderer.render."""
    return Renderer(folders).render(template, variables)


def render_own(template: str, variables: Mapping[str, Any]) -> str:
    """Render one of ondeck's internal templates, which nobody can put another in place of."""
    return _internal().render(template, variables)


@cache
def _internal() -> Renderer:
    return Renderer([INTERNAL], keep=True)


_values: ContextVar[Values] = ContextVar("values")


@contextmanager
def _collecting(values: Values) -> Iterator[None]:
    token = _values.set(values)
    try:
        yield
    finally:
        _values.reset(token)


@jinja2.pass_context  # so that no constant is finalized before there are values
def _text(_: Context, value: Any) -> Any:
    return value


@jinja2.pass_context
def _sh_value(_: Context, value: Any) -> str:
    """What stands in the text for a value until all of it is there."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises
    if value is None:
        raise ValueError("a value is None here; say what shall stand for it: {{ value|default('', true) }}")
    frame = sys._getframe(1)  # the compiled template's
    return _values.get().mark(str(value), (frame.f_globals.get("name"), frame.f_lineno))


def _words(error: Exception) -> str:
    text = shown(str(error))
    return text if isinstance(error, jinja2.TemplateError | ValueError) else f"{type(error).__name__}: {text}"
