"""A storage: a directory on a site, in which runs' copies lie."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..quote import shown, to_text, words_of
from ..work import Work
from . import bundles, paths, road
from .access import Ask
from .changing import Changing
from .differences import Difference
from .errors import NotOurs, NotPlainFile, StorageError, Unstable
from .looking import LISTING
from .manifest import Entry, Manifest
from .reading import parse_links, unlink_record
from .road import VANISHED

log = logging.getLogger(__name__)

CHECK, UUID, INITIALISE = Ask("check"), Ask("uuid"), Ask("initialise")
READ, HAVING, SPACE = map(Ask, ("read", "having", "space"))
PULL, UNLINK, LINKS = map(Ask, ("pull", "unlink", "links"))


class Space(NamedTuple):
    """Bytes of a file system: in all, used, and free for us."""

    total: int
    used: int
    free: int

    @property
    def percent(self) -> float:
        """How full it is for us, as df counts: used of used and free."""
        return 100.0 * self.used / (self.used + self.free) if self.used + self.free else 100.0


class Storage(Changing):
    """The directory `root` on the site that `transport` reaches.

    Each question and each act proves first, in the same process on the site, that the root holds the file
    .ondeck-storage with `uuid`. While `uuid` is None only reading is possible. Paths are relative to the
    root; they may not leave it, by symbolic links neither. All raise NotMounted, WrongDisk, OutsideRoot, what
    the transport raises, and what they name.
    """

    def check(self) -> None:
        """Raise NotMounted or WrongDisk unless the root is there and is the right one."""
        self._ask(CHECK)

    def read_uuid(self) -> str | None:
        """The uuid that the root holds; None if it holds none. Raises NotMounted if there is no root."""
        result = self._ask(UUID, guarded=False)
        return to_text(result.out).rstrip("\n") or None

    def initialise(self, uuid: str) -> None:
        """Give the root its uuid, which is then this storage's. Raises WrongDisk if it holds another."""
        if not re.fullmatch(r"[0-9A-Za-z-]{8,64}", uuid):
            raise ValueError(f"{uuid!r} is no uuid")
        self._ask(INITIALISE, None, uuid, guarded=False, expected=uuid)
        self.uuid = uuid

    # ---- looking

    def exists(self, relative: str) -> bool:
        """Whether there is anything of that name, be it a broken link."""
        return bool(self.exists_many([relative]))

    def listing(self, prefix: str = "", relative: str = ".") -> list[str]:
        """Sorted names at the top of the root (or of the directory `relative`) that begin with `prefix`.

        Names that begin with a point come only if `prefix` does. Raises Missing.
        """
        records = self._ask(LISTING, relative, top=True).out.split(b"\0")[:-1]
        names = sorted(to_text(record.partition(b" ")[2]) for record in records)
        return [n for n in names if n.startswith(prefix) and (prefix or n[0] != ".") and n != paths.UUID_FILE]

    def having(self, name: str, relative: str = ".") -> list[str]:
        """Sorted names of the directories at the top that hold a plain file called `name`."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", name)
        records = self._ask(HAVING, relative, pattern, top=True).out.split(b"\0")[:-1]
        return sorted(to_text(record)[2:] for record in records)

    def read(self, relative: str, limit: int = 10_000_000) -> bytes:
        """The bytes of a plain file; raises Missing, NotPlainFile (also if it has more than `limit`)."""
        out = self._ask(READ, relative, str(limit + 1), limit=limit + 1).out
        if len(out) > limit:
            raise NotPlainFile(storage=self.name, path=shown(relative), kind=f"a file of more than {limit} bytes")
        return out

    def space(self) -> Space:
        """The space of the file system that the root lies on."""
        block, total, free, ours = (int(word) for word in self._ask(SPACE).out.split())
        return Space(total * block, (total - free) * block, ours * block)

    # ---- reading whole

    def manifest(self, relative: str, *, work: Work | None = None) -> Manifest:
        """Read a directory whole.

        Raises Missing, NotPlainFile (of what is neither file, link nor directory; or `relative` is no
        directory), LinkOutside, Unreadable, and Unstable if anything was another after the reading than
        before.
        """
        found = self.manifests([relative], work=work)[relative]
        if isinstance(found, StorageError):
            raise found
        return found

    def verify(self, relative: str, manifest: Manifest, *, work: Work | None = None) -> list[Difference]:
        """Read a directory whole and compare it with `manifest`, times aside; [] if it is equal.

        A directory that is not there is a difference like any other (path "."). Raises Unstable.
        """
        found = self.verify_many({relative: manifest}, work=work)[relative]
        if isinstance(found, StorageError):
            raise found
        return found

    # ---- writing

    def make(self, relative: str) -> None:
        """Make a directory, and those above it; no error if it is there."""
        self.make_many([relative])

    def pull(
        self,
        source: Storage,
        source_path: str,
        part: str,
        link_dests: Sequence[str] = (),
        *,
        work: Work | None = None,
    ) -> None:
        """Copy a directory of `source` into the directory `part` here, by rsync; its parent exists.

        Kept are times (nanoseconds), modes (but we may always read), links and holes; hard links become files
        of their own. `link_dests`: left-over parts of interrupted copies, whose files are linked where size,
        time and mode agree, so don't name one that was found damaged. Nothing is ever taken from the source.
        Both ends are one place, or one of them is this machine. Raises NoRoad, Missing, Unstable if a file
        vanished, TransportFailed with rsync's
        words, NotOurs.
        """
        for name in (part, *link_dests):
            self.need_part(name)
            self.path(name)
        args = (*source.guard(), source_path, *link_dests)
        source.path(source_path)
        self.need_uuid()
        if road.way(source, self).shell is not None:
            result = road.pull(source, self, source_path, part, link_dests, work)
        else:
            result = self._ask(
                PULL,
                part,
                *args,
                other=source,
                other_path=source_path,
                work=work,
                timeout=self.longest,
                good=(0, VANISHED),
            )
        if result.code == VANISHED:
            raise Unstable(storage=source.name, path=shown(source_path), words=words_of(result.err))

    def fsync(self, relative: str, *, work: Work | None = None) -> None:
        """Bring a copy to the disk: files, directories, and the directory in which it lies. Raises Missing."""
        for error in self.fsync_many([relative], work=work).values():
            raise error

    def rename(self, old: str, new: str) -> None:
        """Give something another name in the same directory, and bring that to the disk.

        Raises Missing, Exists (nothing is ever written over), OutsideRoot if `new` lies in another directory:
        only within one directory is a rename never a copy; NotDone for any other trouble.
        """
        for error in self.rename_many({old: new}).values():
            raise error

    # ---- removing

    def remove_part(self, relative: str, *, work: Work | None = None) -> None:
        """Remove a left-over part of ours, whole; no error if it is gone. Raises NotOurs for another name."""
        self.remove_parts([relative], work=work)

    def unlink(self, relative: str, manifest: Manifest, *, work: Work | None = None) -> list[str]:
        """Remove from a directory .NAME.deleting exactly the manifest's files and links that are as they
        were.

        That is: files of the same size and time, links of the same target. Then the directories that are
        empty, itself the last. Returns what is left over, relative to it (["."]: only itself). As soon as
        somebody has renamed the directory nothing more is removed. Raises NotOurs for any other name, and
        Missing if it is not there or was renamed meanwhile.
        """
        folder = paths.last(relative)
        if not paths.DELETING.fullmatch(folder):
            raise NotOurs(storage=self.name, path=shown(relative), form=".NAME.deleting")
        entries = self._links_as_found(relative, manifest, work)
        records = b"".join(unlink_record(entry, folder) for entry in entries) + b"=end\0"
        result = self._ask(UNLINK, relative, own=True, work=work, timeout=self.longest, input=records)
        left = sorted(to_text(name) for name in result.out.split(b"\0")[:-1])
        if left:
            log.warning(
                "left over",
                extra={
                    "storage": self.name,
                    "path": shown(relative),
                    "count": len(left),
                    "first": shown(left[0]),
                    "words": words_of(result.err),
                },
            )
        return left

    def _links_as_found(self, relative: str, manifest: Manifest, work: Work | None) -> list[Entry]:
        """The manifest's files, and those of its links that have their target, with the time that they have
        now.

        A link is its target: rsync does not keep its time where that is in the second of the copying.
        """
        entries = [entry for entry in manifest.entries if entry.kind == "f"]
        if len(entries) < manifest.nfiles:
            out = self._ask(LINKS, relative, own=True, work=work, timeout=self.longest).out
            found = {link.path: link for link in parse_links(out)}
            for entry in manifest.entries:
                link = found.get(entry.path)
                if entry.kind == "l" and link is not None and link.sha256 == entry.sha256:
                    entries.append(link)
        return entries

    # ---- bundles

    def bundle(
        self, target: Storage, part: str, members: Sequence[tuple[str, str]], *, work: Work | None = None
    ) -> int:
        """Write a tar of directories of this storage to the new file `part` of `target`; its size in bytes.

        `members`: (path in this storage, name in the tar); the name is the path or its last parts. See
        bundles.py.
        """
        return bundles.write(self, target, part, members, work)

    def verify_bundle(
        self, part: str, manifests: Mapping[str, Manifest], *, work: Work | None = None
    ) -> list[Difference]:
        """Read a tar here back whole and compare it with {name in the tar: manifest}; [] if it is equal."""
        return bundles.verify(self, part, manifests, work)
