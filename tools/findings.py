"""What a check has found: one line each, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import click
from sqlalchemy.exc import SQLAlchemyError

from ..config import OndeckError
from ..config.finding import Finding
from .words import plain

_SHOWN = {"ok": "ok", "note": "note", "mended": "mended", "warn": "WARN", "fail": "FAIL"}


def line(one: Finding) -> str:
    """One line for a person."""
    todo = f". {plain(one.todo)}" if one.todo else ""
    return f"{_SHOWN[one.level]:6} {plain(one.subject, 120)}: {plain(one.words, 600).rstrip('.')}{todo}"


def show(found: Sequence[Finding], *, as_json: bool) -> None:
    """Print all of them."""
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=1))
    else:
        for one in found:
            click.echo(line(one))


def failed(found: Sequence[Finding]) -> bool:
    """Whether somebody is needed."""
    return any(one.level == "fail" for one in found)


def tried(subject: str, check: Callable[[], Sequence[Finding]], todo: str = "") -> list[Finding]:
    """What `check` finds; an error of ours is a finding too, and stops no other check."""
    try:
        return list(check())
    except OndeckError as error:
        return [Finding("fail", subject, str(error), todo)]
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return [Finding("fail", subject, f"the run database: {words}", todo)]


__all__ = ["Finding", "failed", "line", "show", "tried"]
