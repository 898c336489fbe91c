"""[sinks.NAME]: where messages go."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, SecretStr, ValidationInfo, model_validator

from .secrets import from_environment, from_file
from .section import Named, Plugged, Section
from .units import ConfigPath
from .wrong import Wrong


class Sink(Named, Plugged):
    """A sink. The keys of its kind are in `options` (`table` as they were written)."""

    internal: ClassVar[frozenset[str]] = frozenset({"name", "table", "options"})
    group: ClassVar[str] = "ondeck.sinks"
    type_key: ClassVar[str] = "type"

    type: str = Field(description="kind of the sink", examples=["mail"])


class WithPassword(Section):
    """For Options with a password, which comes from the environment or a file of mode 600."""

    internal: ClassVar[frozenset[str]] = frozenset({"password"})

    password_env: str = Field(
        default="", description="environment variable that holds the password", examples=["SMTP_PASSWORD"]
    )
    password_file: ConfigPath | None = Field(
        default=None, description="file of mode 600 that holds the password", examples=["smtp.password"]
    )
    password: SecretStr | None = Field(
        default=None, description="the password itself, read when the configuration is loaded"
    )

    @model_validator(mode="after")
    def _read_password(self, info: ValidationInfo) -> Self:
        del info
        if self.password_env and self.password_file:
            raise Wrong(
                "password_env and password_file are both given", "keep one of them", key="password_file"
            )
        key = "password_env" if self.password_env else "password_file"
        try:
            if self.password_env:
                return self._fill(password=SecretStr(from_environment(self.password_env)))
            if self.password_file:
                return self._fill(password=SecretStr(from_file(self.password_file)))
        except Wrong as wrong:
            raise Wrong(wrong.wrong, wrong.right, key=key) from None
        return self
