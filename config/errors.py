"""The base of all of ondeck's errors."""

from __future__ import annotations

import inspect
from typing import Any


class OndeckError(Exception):
    """ondeck can't go on."""

    def __init__(self, **fields: Any) -> None:
        """The message is the first paragraph of the class's docstring, with `{fields}` filled in."""
        self.fields = fields
        text = inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].replace("\n", " ")
        super().__init__(text.format(**fields))
