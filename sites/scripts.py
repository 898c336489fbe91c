"""The sh scripts that run on a site. Their text is constant; data reach them as arguments or on stdin."""

from __future__ import annotations

from functools import cache
from importlib import resources

from .command import MB, Command


@cache
def text(name: str) -> str:
    """The text of templates/sh/NAME.sh, its leading comment stripped; raises FileNotFoundError."""
    folder = resources.files(__package__.rpartition(".")[0]) / "templates" / "sh"
    whole = (folder / f"{name}.sh").read_text("utf-8")
    lines = whole.splitlines(keepends=True)
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        del lines[0]
    return "".join(lines)


class Script:
    """A script from templates/sh, with the texts of `parts` (shared functions) before it."""

    def __init__(self, name: str, *parts: str) -> None:
        self.name = name
        self.text = "".join(text(part) for part in (*parts, name))

    def command(self, *args: str, input: bytes = b"", name: str = "", limit: int = 256 * MB) -> Command:
        """The command that runs it with `args`; `name` is what messages and logs call it."""
        return Command(("sh", "-c", self.text, f"ondeck-{self.name}", *args), input, name or self.name, limit)
