"""The disks of a site: what lies there, whether it is whole, and how it gets there and goes."""

from __future__ import annotations

from .differences import Difference, compare
from .errors import (
    Exists,
    LinkOutside,
    ManifestDamaged,
    Missing,
    NoRoad,
    NotDone,
    NotMounted,
    NotOurs,
    NotPlainFile,
    NoUuid,
    OutsideRoot,
    StorageError,
    Unreadable,
    Unstable,
    WrongDisk,
)
from .manifest import Entry, Manifest
from .storage import Space, Storage

__all__ = [
    "Difference",
    "Entry",
    "Exists",
    "LinkOutside",
    "Manifest",
    "ManifestDamaged",
    "Missing",
    "NoRoad",
    "NoUuid",
    "NotDone",
    "NotMounted",
    "NotOurs",
    "NotPlainFile",
    "OutsideRoot",
    "Space",
    "Storage",
    "StorageError",
    "Unreadable",
    "Unstable",
    "WrongDisk",
    "compare",
]
