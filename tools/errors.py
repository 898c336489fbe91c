"""How the command line shows errors: `ondeck: MESSAGE` on stderr and exit code 1, no traceback."""

from __future__ import annotations

from typing import IO, Any

import click

from ..config.errors import OndeckError


class Failure(click.ClickException):
    """An OndeckError on its way out of a command."""

    exit_code = 1

    def __init__(self, error: OndeckError) -> None:
        self.error = error
        super().__init__(str(error))

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints it; every line begins with `ondeck:`."""
        for line in self.message.splitlines() or [type(self.error).__name__]:
            text = f"ondeck: {line}".encode(errors="backslashreplace").decode()
            click.echo(text, file=file, err=file is None)


class Command(click.Command):
    """A command whose OndeckErrors end it with a message; for scripts of a single command."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OndeckError as error:
            raise Failure(error) from error


class Group(click.Group):
    """A group whose commands' OndeckErrors end it with a message."""

    command_class = Command
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OndeckError as error:
            raise Failure(error) from error
