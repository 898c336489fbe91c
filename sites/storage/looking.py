"""Many directories of a storage looked at and read at once: one process on the site, however many they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ..quote import shown, to_text, words_of
from ..work import Work
from . import paths
from .access import Ask
from .differences import Content, Difference, compare, content
from .errors import LinkOutside, Missing, NotDone, NotPlainFile, OutsideRoot, StorageError, Unreadable, Unstable
from .manifest import Manifest
from .names import Names
from .reading import Reading, leaves, parse_readings

MANIFEST = Ask("manifest", "many", "checksums")
EXISTS, LISTING = Ask("exists"), Ask("listing")
LEFT_OVER = re.compile(r"\.(.+)\.[0-9]+\.part", re.DOTALL)
GB = 1_000_000_000
T = TypeVar("T")


class Looking(Names):
    """What a storage can be asked about many directories at once.

    All raise NotMounted, WrongDisk, and what the transport raises: then nothing is known of any.
    """

    # ---- looking

    def exists_many(self, relatives: Iterable[str]) -> set[str]:
        """Those of the paths that are there, be it as a broken link. Raises OutsideRoot."""
        there: set[str] = set()
        for folder, names in self._by_folder(relatives):
            result = self._ask_names(EXISTS, folder, names)
            there.update(paths.joined(folder, to_text(name)) for name in result.out.split(b"\0")[:-1])
        return there

    def leftovers(self, relatives: Sequence[str]) -> dict[str, list[str]]:
        """{path: names of what broken off copies have left in its directory}: .NAME.NUMBER.part, sorted.

        One listing a directory; one that is missing has none.
        """
        found: dict[str, list[str]] = {relative: [] for relative in relatives}
        for folder in dict.fromkeys(paths.parent(relative) or "." for relative in found):
            try:
                records = self._ask(LISTING, folder, top=True).out.split(b"\0")[:-1]
            except Missing:
                continue
            for name in sorted(to_text(record.partition(b" ")[2]) for record in records):
                if match := LEFT_OVER.fullmatch(name):
                    found.get(paths.joined(folder, match[1]), []).append(name)
        return found

    # ---- reading whole

    def manifests(self, relatives: Iterable[str], *, work: Work | None = None) -> dict[str, Manifest | StorageError]:
        """Read directories whole: {path: manifest, or why there is none}, the errors as of `manifest`."""
        return self._readings(relatives, self._manifest_of, work)

    def verify_many(
        self, expected: Mapping[str, Manifest], *, work: Work | None = None
    ) -> dict[str, list[Difference] | StorageError]:
        """Read directories whole and compare them: {path: differences ([]: equal), or why that is not known}.

        One that is missing, or no directory, is a difference, as for `verify`.
        """
        found = self._readings(expected, lambda path, reading: compare_reading(expected[path], reading), work)
        for path, answer in found.items():
            if isinstance(answer, Missing | NotPlainFile):
                seen = "nothing" if isinstance(answer, Missing) else str(answer.fields["kind"])
                found[path] = [Difference(".", "missing", "a directory", seen)]
        return found

    def _manifest_of(self, relative: str, reading: Reading) -> Manifest:
        for path, kind in reading.special.items():
            raise NotPlainFile(storage=self.name, path=shown(f"{relative}/{path}"), kind=kind)
        for path, target in reading.links.items():
            if leaves(path, target):
                raise LinkOutside(
                    storage=self.name, path=shown(f"{relative}/{path}"), target=shown(target), run=shown(relative)
                )
        for path in reading.unreadable:
            raise Unreadable(storage=self.name, path=shown(f"{relative}/{path}"), words="not allowed, or damaged")
        return Manifest(reading.entries)

    def _readings(
        self, relatives: Iterable[str], judge: Callable[[str, Reading], T], work: Work | None
    ) -> dict[str, T | StorageError]:
        """{path: what `judge` makes of its reading, or why there is none}."""
        found: dict[str, T | StorageError] = {}
        good = self._sound(relatives, found)
        for folder, names in self._by_folder(good):
            for name, answer in self._read(folder, names, work).items():
                path = paths.joined(folder, name)
                if isinstance(answer, StorageError):
                    found[path] = answer
                    continue
                try:
                    for inner, words in answer.changed.items():
                        raise Unstable(storage=self.name, path=shown(f"{path}/{inner}"), words=words)
                    found[path] = judge(path, answer)
                except StorageError as error:
                    found[path] = error
        return found

    def _read(self, folder: str, names: list[str], work: Work | None) -> dict[str, Reading | StorageError]:
        """The readings of directories in one directory.

        Where find complained of something that no reading shows, those that may be meant are read again, in ever
        smaller groups, until it is known which it is.
        """
        found: dict[str, Reading | StorageError] = {}
        try:
            result = self._ask_names(MANIFEST, folder, names, work=work, limit=4 * GB)
        except (Missing, NotPlainFile, OutsideRoot) as error:  # the directory in which they lie
            return {name: self._same(error, paths.joined(folder, name)) for name in names}
        about = paths.joined(folder, names[0]) if len(names) == 1 else folder
        refusals, rest = self._refusals(result.out, folder)
        found.update(refusals)
        try:
            readings, whole = parse_readings(rest)
        except ValueError as e:
            raise self._failure(MANIFEST, result, f"no whole answer: {e}", about) from e
        doubtful = []
        for name in names:
            if name in found:
                continue
            reading = readings.get(name)
            if reading is not None and (whole or reading.unreadable or reading.changed):
                found[name] = reading
            else:
                doubtful.append(name)
        if len(doubtful) == len(names) == 1:
            words = words_of(result.err) or "it was no directory that can be read, before or after"
            found[names[0]] = NotDone(storage=self.name, path=shown(about), words=f"not read whole: {words}")
        elif doubtful:
            half = len(doubtful) // 2 if len(doubtful) == len(names) else len(doubtful)
            for group in (doubtful[:half], doubtful[half:]):
                if group:
                    found.update(self._read(folder, group, work))
        return found


def compare_reading(manifest: Manifest, reading: Reading) -> list[Difference]:
    """How what was read differs from `manifest`, times aside."""
    seen = content(reading.entries)
    seen.update({path: Content(kind, 0, None) for path, kind in reading.special.items()})
    seen.update({path: Content("f", 0, None) for path in reading.unreadable})
    return compare(content(manifest.entries), seen)
