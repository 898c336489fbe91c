"""What can be wrong with a storage, or with what lies in it. Names in messages are made printable."""

from __future__ import annotations

from ...config.errors import OndeckError
from ..errors import Machinery, Refused


class StorageError(OndeckError):
    """A storage can't do what it was asked. The base of all errors here."""


class NotMounted(StorageError, Machinery):
    """storage {storage}: {root} is not the storage that it should be: {words}. Expected is a file
    .ondeck-storage there that holds {expected}. Nothing was done. Mount the disk; if it is a new one,
    initialise the storage."""

    of_site = True


class WrongDisk(StorageError, Machinery):
    """storage {storage}: {root} shows another disk: its .ondeck-storage holds {found}, expected is
    {expected}. Nothing was done. Mount the right disk there."""

    of_site = True


class NoUuid(StorageError, Refused):
    """storage {storage}: {root} has no known uuid, so nothing is written or removed there. Initialise the
    storage."""


class OutsideRoot(StorageError, Refused):
    """storage {storage}: {path} is not a path inside {root}: {words}."""


class Missing(StorageError, Machinery):
    """storage {storage}: {path} is missing ({words})."""


class Exists(StorageError, Machinery):
    """storage {storage}: {path} exists already; nothing is ever written over."""


class NotPlainFile(StorageError, Refused):
    """storage {storage}: {path} is {kind}. Only plain files, directories and symbolic links can be copied."""


class LinkOutside(StorageError, Refused):
    """storage {storage}: {path} is a symbolic link to {target}, which is outside of {run}: what it points to
    would not be copied. Replace it by what it points to, or take it out."""


class Unreadable(StorageError, Refused):
    """storage {storage}: {path} can't be read: {words}."""


class Unstable(StorageError, Machinery):
    """storage {storage}: {path} changed while it was read ({words}). It is taken when it rests."""


class NotDone(StorageError, Machinery):
    """storage {storage}: {path}: {words}."""


class NoRoad(StorageError, Refused):
    """storage {storage}: no data can go from {source} ({source_place}) to {target} ({target_place}): both
    must be on one machine, or one of them on this one."""


class NotOurs(StorageError, Refused):
    """storage {storage}: {path} is not touched: only names of the form {form} are removed."""


class ManifestDamaged(StorageError, Refused):
    """A stored manifest can't be read: {words}."""
