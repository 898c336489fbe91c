"""How a storage's scripts are run, and their exit codes understood."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from ..command import MB, Result
from ..quote import shown, words_of
from ..scripts import Script
from ..transport import Transport, TransportFailed
from ..work import Work
from . import paths
from .errors import (
    Exists,
    Missing,
    NoRoad,
    NotMounted,
    NotOurs,
    NotPlainFile,
    NoUuid,
    OutsideRoot,
    StorageError,
    WrongDisk,
)

#: exit codes of enter.sh, less its base
ABSENT, OTHER, OUTSIDE, MISSING, EXISTS, NOT_PLAIN, NOT_OURS = range(7)
OWN, SECOND = 40, 50


class Ask(Script):
    """A script templates/sh/storage-NAME.sh, with the functions of enter.sh and of `parts`."""

    def __init__(self, name: str, *parts: str) -> None:
        super().__init__(f"storage-{name}", "enter", *parts)
        self.title = name


class Access:
    """The root of a storage, and the road to it."""

    def __init__(
        self,
        name: str,
        root: str,
        transport: Transport,
        uuid: str | None = None,
        *,
        patience: float = 60.0,
        longest: float = 7 * 86400.0,
    ) -> None:
        """`root`: absolute. `patience`: seconds for a short question; `longest`: for what reads or writes
        data.

        Raises OutsideRoot if `root` can't be one.
        """
        if not root.startswith("/") or any(c in root for c in "\0\n\r"):
            raise OutsideRoot(storage=name, path=shown(root), root="/", words="a root is absolute, on one line")
        self.name = name
        self.root = root.rstrip("/") or "/"
        self.transport = transport
        self.uuid = uuid
        self.patience = patience
        self.longest = longest

    def __repr__(self) -> str:
        return f"<Storage {self.name} at {self.root} on {self.transport.name}>"

    def path(self, relative: str) -> str:
        """The absolute path of something inside the root; raises OutsideRoot. The site is not asked."""
        words = paths.trouble(relative)
        if words is not None:
            raise OutsideRoot(storage=self.name, path=shown(relative), root=shown(self.root), words=words)
        return f"{self.root.rstrip('/')}/{relative}"

    def guard(self) -> tuple[str, str]:
        """The arguments by which a script proves that it is at the right place."""
        return self.root, self.uuid or ""

    def need_uuid(self) -> None:
        """Raise NoUuid while the uuid is not known."""
        if not self.uuid:
            raise NoUuid(storage=self.name, root=shown(self.root))

    def need_road(self, target: Access) -> None:
        """Raise NoRoad unless data can go from here to `target`."""
        here, there = self.transport.place, target.transport.place
        if here != there:
            raise NoRoad(
                storage=target.name,
                source=self.name,
                target=target.name,
                source_place=here,
                target_place=there,
            )

    def _ask(
        self,
        ask: Ask,
        relative: str | None = None,
        *args: str,
        guarded: bool = True,
        own: bool = False,
        top: bool = False,
        input: bytes = b"",
        work: Work | None = None,
        timeout: float | None = None,
        limit: int = 256 * MB,
        good: Collection[int] = (0,),
        other: Access | None = None,
        other_path: str = "",
        taken: str = "",
        expected: str = "",
        about: str = "",
    ) -> Result:
        """Run a script with root, uuid, path and `args`; raise what its exit code says.

        `guarded`: with the uuid; `own`: only where that is known; `top`: the path may be ".". `other`,
        `other_path`: the second storage of a script; `taken`: the name that may exist; `expected`: a uuid
        that is not ours yet; `about`: the path for messages, where none is given to the script by itself.
        """
        if own:
            self.need_uuid()
        words: list[str] = list(self.guard()) if guarded else [self.root]
        if relative is not None:
            if not (top and relative == "."):
                self.path(relative)
            words.append(relative)
        about = about or relative or ""
        name = f"{ask.title} {self.name}" + (f":{shown(about)}" if about else "")
        command = ask.command(*words, *args, input=input, name=name, limit=limit)
        result = self.transport.run(command, timeout=timeout or self.patience, work=work)
        if result.code in good:
            return result
        if OWN <= result.code < OWN + 7:
            self._explain(result.code - OWN, result, about or ".", taken, expected)
        if other is not None and SECOND <= result.code < SECOND + 7:
            other._explain(result.code - SECOND, result, other_path, "", "")
        raise self._failure(ask, result, path=about)

    def _explain(self, code: int, result: Result, relative: str, taken: str, expected: str) -> NoReturn:
        root, words = shown(self.root), words_of(result.err)
        expected = expected or self.uuid or "its uuid"
        if code == ABSENT:
            raise NotMounted(storage=self.name, root=root, words=words, expected=expected)
        if code == OTHER:
            raise WrongDisk(storage=self.name, root=root, found=words or "nothing", expected=expected)
        raise self._trouble(code, relative, words, taken)

    def _trouble(self, code: int, relative: str, words: str, taken: str = "") -> StorageError:
        """What is wrong with one path, by the exit code less its base."""
        path = shown(relative)
        if code == OUTSIDE:
            return OutsideRoot(storage=self.name, path=path, root=shown(self.root), words=f"it leads to {words}")
        if code == MISSING:
            return Missing(storage=self.name, path=path, words=words)
        if code == EXISTS:
            return Exists(storage=self.name, path=shown(taken or relative))
        if code == NOT_PLAIN:
            return NotPlainFile(storage=self.name, path=path, kind=words.removeprefix("it is "))
        return NotOurs(storage=self.name, path=path, form="its own left-overs have")

    def _failure(self, ask: Ask, result: Result, words: str = "", path: str | None = None) -> TransportFailed:
        """The error for any other exit code, or for an answer that can't be understood (`words`)."""
        said = "; ".join(w for w in (words, words_of(result.err)) if w) or "it said nothing"
        title = f"{ask.title} {self.name}" + (f":{shown(path)}" if path else "")
        words = f"exit code {result.code}: {said}"
        return TransportFailed(site=self.transport.name, command=title, words=words)
