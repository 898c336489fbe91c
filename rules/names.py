"""The door for names of runs that come from outside."""

from __future__ import annotations

import re

from ..config.errors import OndeckError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=,:-]{0,199}")


class BadRunName(OndeckError):
    """{name} can't be a run's name: {why}; use at most 200 of
    letters, digits and . _ + @ = , : -, beginning with a letter or digit."""


def check_run_name(name: str) -> None:
    """Raise BadRunName unless `name` is safe as a path component, a word of a command and a line of a table."""
    if _NAME.fullmatch(name):
        return
    if len(name) > 200:
        why = f"it has {len(name)} characters"
    elif not name:
        why = "it is empty"
    else:
        bad = next((c for c in name if not re.fullmatch(r"[A-Za-z0-9._+@=,:-]", c)), name[0])
        why = f"{bad!a} is not allowed{' at its beginning' if bad == name[0] else ''}"
    shown = name if len(name) <= 60 else name[:57] + "..."
    raise BadRunName(name=repr(shown), why=why)
