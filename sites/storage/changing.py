"""Many directories of a storage changed at once: one process on the site, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..command import Result
from ..quote import shown, to_text, words_of
from ..work import Work
from . import paths, road
from .access import Access, Ask
from .errors import Exists, Missing, NotDone, NotOurs, NotPlainFile, OutsideRoot, StorageError
from .looking import Looking
from .names import lines

FLUSH, RENAME, REMOVE_PART = (Ask(name, "many") for name in ("flush", "rename", "remove-part"))
MAKE = Ask("make")


class Changing(Looking):
    """What can be done with many directories of a storage at once.

    All raise NotMounted, WrongDisk, NoUuid, and what the transport raises: then what was done is not known.
    """

    # ---- writing and removing

    def make_many(self, relatives: Iterable[str]) -> None:
        """Make directories, and those above them; no error if they are there."""
        wanted = list(dict.fromkeys(relatives))
        for relative in wanted:
            self.path(relative)
        if wanted:
            self._ask(MAKE, input=lines(wanted), own=True, about=", ".join(wanted[:3]))

    def fsync_many(self, relatives: Iterable[str], *, work: Work | None = None) -> dict[str, StorageError]:
        """Bring copies to the disk: files, directories, and the directories in which they lie.

        What comes back may be left: {path: why} of those that are not there, which verification sees too. If any
        other is not on disk, TransportFailed is raised.
        """
        return self._each(FLUSH, relatives, work)

    def remove_parts(self, relatives: Iterable[str], *, work: Work | None = None) -> None:
        """Remove left-over parts of ours, whole; no error for those that are gone. Raises NotOurs for others."""
        wanted = list(relatives)
        for relative in wanted:
            self.need_part(relative)
        for error in self._each(REMOVE_PART, wanted, work).values():
            if not isinstance(error, Missing):
                raise error

    def pull_many(self, source: Access, parts: Mapping[str, str], *, work: Work | None = None) -> None:
        """Copy directories of `source` into parts here, {part: path there}, by one rsync for all of one directory.

        What is kept is as for `pull`. Directories above the parts exist. Raises only where the whole did not come
        about: what one directory lacks is seen when it is verified. Raises NotOurs, NoRoad.
        """
        for part in parts:
            self.need_part(part)
        if parts:
            road.pull_many(source, self, parts, work)

    def need_part(self, relative: str) -> None:
        """Raise NotOurs unless the path is the name of a part of ours."""
        if not paths.PART.fullmatch(paths.last(relative)):
            raise NotOurs(storage=self.name, path=shown(relative), form=".NAME.NUMBER.part")

    def rename_many(self, renames: Mapping[str, str]) -> dict[str, StorageError]:
        """Give paths other names in the same directories: {old: new}; comes back {old: why it has its old name}.

        Errors as of `rename`. What is not in the answer is renamed and on disk.
        """
        failed: dict[str, StorageError] = {}
        for old, new in renames.items():
            try:
                self.path(old)
                self.path(new)
                if paths.parent(old) != paths.parent(new):
                    root, words = shown(paths.parent(old) or self.root), "a rename stays in its directory"
                    raise OutsideRoot(storage=self.name, path=shown(new), root=root, words=words)
            except StorageError as error:
                failed[old] = error
        self.need_uuid()
        for folder, names in self._by_folder(old for old in renames if old not in failed):
            pairs = {name: paths.last(renames[paths.joined(folder, name)]) for name in names}
            flat = [word for pair in pairs.items() for word in pair]
            try:
                result = self._ask_names(RENAME, folder, flat, own=True)
            except (Missing, NotPlainFile, OutsideRoot) as error:
                failed.update((path, self._same(error, path)) for path in (paths.joined(folder, n) for n in names))
                continue
            failed.update((paths.joined(folder, n), e) for n, e in self._renamed(folder, pairs, result).items())
        return failed

    def _renamed(self, folder: str, pairs: Mapping[str, str], result: Result) -> dict[str, StorageError]:
        """The errors in an answer of storage-rename.sh, by the old names."""
        failed, rest = self._refusals(result.out, folder, pairs)
        head, _, tail = rest.partition(b"=after\0")
        before, after = _inodes(head), _inodes(tail)
        if not rest.startswith(b"=before\0") or not tail.endswith(b"=end\0"):
            raise self._failure(RENAME, result, "no whole answer", folder)
        for old, new in pairs.items():
            if old in failed:
                continue
            inode = before.get(old)
            if inode is not None and after.get(new) == inode and after.get(old) != inode:
                continue
            if new in after:
                failed[old] = Exists(storage=self.name, path=shown(paths.joined(folder, new)))
            else:
                words = f"not renamed to {shown(new)}: {words_of(result.err) or 'mv said nothing'}"
                failed[old] = NotDone(storage=self.name, path=shown(paths.joined(folder, old)), words=words)
        return failed

    def _each(self, ask: Ask, relatives: Iterable[str], work: Work | None) -> dict[str, StorageError]:
        """Run a script that changes something; {path: why not} of those that it left alone."""
        failed: dict[str, StorageError] = {}
        self.need_uuid()
        for folder, names in self._by_folder(relatives):
            try:
                result = self._ask_names(ask, folder, names, own=True, work=work)
            except (Missing, NotPlainFile, OutsideRoot) as error:
                failed.update((path, self._same(error, path)) for path in (paths.joined(folder, n) for n in names))
                continue
            refusals, _ = self._refusals(result.out, folder)
            failed.update((paths.joined(folder, n), e) for n, e in refusals.items())
        return failed


def _inodes(records: bytes) -> dict[str, bytes]:
    """{name: device and inode} of records "DEVICE:INODE ./NAME"."""
    found = {}
    for record in records.split(b"\0"):
        inode, _, name = record.partition(b" ./")
        if name:
            found[to_text(name)] = inode
    return found
