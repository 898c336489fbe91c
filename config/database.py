"""[database]: where the run database is."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, ValidationInfo, model_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from .secrets import from_environment, from_file, is_secret, refuse_readable
from .section import Section, context_of
from .units import ConfigPath, absolute
from .wrong import Wrong

_RIGHT = "give sqlite:///FILE (relative to this file's folder) or postgresql://USER@HOST/DATABASE"


class Database(Section):
    """The run database. `url` is final: read from where `url_env` or `url_file` say, its file absolute."""

    url: SecretStr = Field(
        default=SecretStr("sqlite:///ondeck.db"),
        description="address of the run database: sqlite:///FILE or postgresql://USER@HOST/DATABASE",
    )
    url_env: str = Field(
        default="", description="environment variable that holds the address", examples=["ONDECK_DATABASE"]
    )
    url_file: ConfigPath | None = Field(
        default=None, description="file of mode 600 that holds the address", examples=["database.url"]
    )

    @property
    def shown_url(self) -> str:
        """The address without its password, for messages."""
        url = make_url(self.url.get_secret_value())
        return url.set(query=_masked(url)).render_as_string(hide_password=True)

    @model_validator(mode="after")
    def _resolve(self, info: ValidationInfo) -> Self:
        given = [
            key
            for key in ("url", "url_env", "url_file")
            if key in self.model_fields_set and getattr(self, key)
        ]
        if len(given) > 1:
            raise Wrong(f"{' and '.join(given)} are both given", "keep one of them", key=given[1])
        context = context_of(info)
        key = given[0] if given else "url"
        value = getattr(self, key)
        try:
            if self.url_env:
                text = from_environment(self.url_env)
            elif self.url_file:
                text = from_file(self.url_file)
            else:
                text = self.url.get_secret_value()
            url = _parse(text)
            if key == "url" and "mode" in context and (url.password or _masked(url) != url.query):
                refuse_readable(context["file"], context["mode"])
        except Wrong as wrong:
            shown = value.get_secret_value() if key == "url" else value
            raise Wrong(wrong.wrong, wrong.right, key=key, value=shown) from None
        if url.drivername.startswith("sqlite"):
            url = url.set(database=str(absolute(context.get("folder") or Path.cwd(), url.database or "")))
        return self._fill(url=SecretStr(url.render_as_string(hide_password=False)))


def _parse(text: str) -> URL:
    """The address in its parts. Raises Wrong, which never holds the address itself."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise Wrong("not the address of a database", _RIGHT) from None
    backend = url.drivername.partition("+")[0]
    if backend == "postgres":
        raise Wrong("postgres is not a kind of database", "write postgresql:// instead of postgres://")
    if backend not in ("sqlite", "postgresql"):
        raise Wrong("the run database is SQLite or PostgreSQL", _RIGHT)
    if backend == "sqlite":
        if url.host or url.username:
            raise Wrong(
                "the address of a file needs three strokes", "write sqlite:///FILE (four for an absolute one)"
            )
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise Wrong("names no file, and all daemons must see the same database", _RIGHT)
        if "\0" in unquote(url.database):
            raise Wrong("holds a NUL character, which no path can", _RIGHT)
    return url


def _masked(url: URL) -> dict[str, str | tuple[str, ...]]:
    return {key: "***" if is_secret(key) else value for key, value in url.query.items()}
