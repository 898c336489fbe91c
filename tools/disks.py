"""Giving storages and work directories the uuid by which their disk is known from then on."""

from __future__ import annotations

import os
import uuid as uuids
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..config import Config, OndeckError
from ..config.problems import nearest
from ..daemons.attemptrows import WORK
from ..db.actor import actor
from ..db.clock import database_time
from ..db.engine import Database
from ..db.insert import insert_new
from ..db.models import Copy
from ..db.tables import StorageState
from ..sites.command import Command
from ..sites.storage import NotMounted, Storage, StorageError, WrongDisk
from ..sites.transport import Transport, TransportFailed, make_transport

_SECONDS = 60.0


class OtherDisk(OndeckError):
    """{name}: {root} holds {found}, but the run database knows its disk as {known}. Mount that disk there. If it
    was replaced by a new one for good, type `ondeck storage init {word} --new-disk`."""


class NotSeen(OtherDisk):
    """{name}: {root} holds {found}; the run database knows its disk as {known}. Is it mounted? If it was replaced
    by a new one for good, type `ondeck storage init {word} --new-disk`."""


class StillNeeded(OndeckError):
    """{name}: the run database still counts on {count} on the old disk. Mount it, or wait until they are removed,
    or copied elsewhere."""


class NoDirectory(OndeckError):
    """{name}: {root} can't be made at site {site}: {why}"""


class NoSuchStorage(OndeckError):
    """there is no storage {name} in {file}{hint}"""


class Disk(NamedTuple):
    """A directory that has a uuid: a storage, or a site's work directory. `word` names it on a command line."""

    name: str
    site: str
    root: str
    word: str


def disk_of(config: Config, storage: str | None, work_of: str | None = None) -> Disk:
    """The disk of a storage, or of a site's work directory; raises NoSuchStorage."""
    if storage is not None:
        if storage not in config.storages:
            raise NoSuchStorage(name=repr(storage), file=config.path, hint=_hint(storage, config.storages))
        section = config.storages[storage]
        return Disk(storage, section.site, str(section.path), storage)
    site = work_of or ""
    if site not in config.sites:
        raise NoSuchStorage(name=f"of a site {site!r}", file=config.path, hint=_hint(site, config.sites))
    return Disk(WORK.format(site=site), site, str(config.sites[site].work), f"--site-work {site}")


def _hint(name: str, known: Collection[str]) -> str:
    return f": {nearest(name, known)}" if known else ": it has none"


def all_disks(config: Config) -> list[Disk]:
    """All storages, then the work directories of the sites that have a batch system."""
    sites = [site.name for site in config.sites.values() if site.batch is not None]
    return [*(disk_of(config, name) for name in config.storages), *(disk_of(config, None, site) for site in sites)]


@contextmanager
def reached(config: Config, disk: Disk, uuid: str | None = None) -> Iterator[Storage]:
    """The storage as its site shows it."""
    transport = make_transport(config.sites[disk.site])
    try:
        yield Storage(disk.name, disk.root, transport, uuid)
    finally:
        transport.close()


def known_uuid(db: Database, disk: Disk) -> str | None:
    """The uuid that the run database knows; None when the disk was never initialised."""
    with db.read() as session:
        return session.scalar(select(StorageState.uuid).where(StorageState.name == disk.name))


def initialise(config: Config, db: Database, disk: Disk, *, new_disk: bool = False) -> str:
    """Give the disk its uuid, there and in the run database; returns what was done, in words.

    A directory that is missing is made; a uuid that is there is taken over. With a known uuid, only looks whether it
    is the one: raises OtherDisk (`new_disk`: takes the new one, or raises StillNeeded), NoDirectory.
    """
    known = known_uuid(db, disk)
    with reached(config, disk) as storage:
        made = False
        if known is None or new_disk:
            made = _make_directory(storage.transport, disk)
        try:
            found = storage.read_uuid()
        except NotMounted as error:
            if known is None:
                raise
            raise _not_seen(disk, "no directory", known) from error
        if known is not None and found == known:
            return f"is there, uuid {known}"
        if known is not None and not new_disk:
            if not found:
                raise _not_seen(disk, "no .ondeck-storage", known)
            raise OtherDisk(name=disk.name, root=disk.root, found=f"the uuid {found}", known=known, word=disk.word)
        uuid = found or _give(storage)
    with db.write() as session:
        kept = _remember(session, disk, uuid, replace=known)
    if kept != uuid:  # another builddb was faster, with another disk
        raise OtherDisk(name=disk.name, root=disk.root, found=f"the uuid {uuid}", known=kept, word=disk.word)
    return f"{'made' if made else 'taken over' if found else 'initialised'}, uuid {uuid}"


def _not_seen(disk: Disk, found: str, known: str) -> NotSeen:
    return NotSeen(name=disk.name, root=disk.root, found=found, known=known, word=disk.word)


def _make_directory(transport: Transport, disk: Disk) -> bool:
    """Make the root if it is missing; whether it was."""
    there = transport.run(Command(("test", "-d", disk.root), name="look for a storage"), timeout=_SECONDS)
    if there.code == 0:
        return False
    made = transport.run(Command(("mkdir", "-p", "--", disk.root), name="make a storage"), timeout=_SECONDS)
    if made.code:
        why = made.err.decode(errors="replace").strip() or f"exit code {made.code}"
        raise NoDirectory(name=disk.name, root=disk.root, site=disk.site, why=why)
    return True


def _give(storage: Storage) -> str:
    """Write a new uuid, or take the one that somebody else has written at this moment."""
    uuid = str(uuids.uuid4())
    try:
        storage.initialise(uuid)
    except (WrongDisk, TransportFailed):
        found = storage.read_uuid()
        if found is None:
            raise
        return found
    return uuid


def _remember(session: Session, disk: Disk, uuid: str, replace: str | None) -> str:
    row = {"name": disk.name, "uuid": uuid, "initialised_at": database_time(session), "actor": actor()}
    insert_new(session, StorageState, [row], ["name"])
    state = session.get_one(StorageState, disk.name, populate_existing=True, with_for_update=True)
    if replace is not None and state.uuid == replace:
        count = session.scalar(select(func.count()).where(Copy.storage == disk.name, Copy.status != "absent"))
        if count:
            raise StillNeeded(name=disk.name, count="1 copy" if count == 1 else f"{count} copies")
        state.uuid, state.initialised_at, state.actor = uuid, database_time(session), actor()
        session.flush()
    return state.uuid


def under_umask(config: Config) -> None:
    """What this process and its children make from now on gives the rights that the configuration says."""
    os.umask(config.umask)


__all__ = [
    "Disk", "NoDirectory", "NoSuchStorage", "OtherDisk", "StillNeeded", "StorageError", "all_disks", "disk_of",
    "initialise", "known_uuid", "reached", "under_umask",
]  # fmt: skip
