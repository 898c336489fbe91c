"""Names in directories of a storage: how many of them go to the site together.

Those that lie in one directory go as lines on stdin to one process (no path here holds a line break). What is wrong
with one of them spoils no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from ..command import MB, Result
from ..quote import shown, to_bytes, to_text
from ..work import Work
from . import paths
from .access import Access, Ask
from .errors import OutsideRoot, StorageError

MOST = 1000  # names in one question
T = TypeVar("T")


class Names(Access):
    """How a storage is asked about many names."""

    def _sound(self, relatives: Iterable[str], found: dict[str, T | StorageError]) -> list[str]:
        """Those paths that may be used here; the errors of the others go to `found`."""
        good = []
        for relative in relatives:
            try:
                self.path(relative)
                good.append(relative)
            except OutsideRoot as error:
                found[relative] = error
        return good

    def _by_folder(self, relatives: Iterable[str]) -> list[tuple[str, list[str]]]:
        wanted = list(relatives)
        for relative in wanted:
            self.path(relative)
        return list(paths.by_folder(wanted, MOST))

    def _ask_names(
        self,
        ask: Ask,
        folder: str,
        names: Collection[str],
        *,
        own: bool = False,
        work: Work | None = None,
        limit: int = 256 * MB,
    ) -> Result:
        """Run a script in a directory, with names there."""
        about = paths.joined(folder, next(iter(names))) if len(names) == 1 else folder
        words = (None, folder)
        return self._ask(
            ask, *words, input=lines(names), own=own, work=work, timeout=self.longest, limit=limit, about=about
        )

    def _refusals(
        self, out: bytes, folder: str, taken: Mapping[str, str] | None = None
    ) -> tuple[dict[str, StorageError], bytes]:
        """The records of the function no at the beginning of an answer: {name: why}; and what follows them."""
        found: dict[str, StorageError] = {}
        while out.startswith(b"=no "):
            head, words, out = out.split(b"\0", 2)
            _, code, raw = head.split(b" ", 2)
            name = to_text(raw)
            new = paths.joined(folder, taken[name]) if taken else ""
            found[name] = self._trouble(int(code), paths.joined(folder, name), to_text(words), new)
        return found, out

    @staticmethod
    def _same(error: StorageError, relative: str) -> StorageError:
        """The same error, said of another path."""
        return type(error)(**{**error.fields, "path": shown(relative)})


def lines(names: Iterable[str]) -> bytes:
    """Names for a script's stdin, one a line."""
    return b"".join(to_bytes(name) + b"\n" for name in names)
