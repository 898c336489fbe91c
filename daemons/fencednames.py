"""The name that a copy's directory bears while it is being removed: it names copy and epoch, so that each remover has
a name of his own."""

from __future__ import annotations

from ..db.models import Copy
from ..db.steps import Claim
from ..sites.storage import Storage


def fenced_name(copy: Copy, one: Claim) -> str:
    """The name for the holder of `one`: .NAME.COPY.EPOCH.deleting, beside the copy."""
    folder, _, name = copy.path.rpartition("/")
    return f"{folder}{'/' if folder else ''}.{name}.{copy.id}.{one.epoch}.deleting"


def renamed(storage: Storage, copy: Copy) -> list[str]:
    """Names that removals of this copy have given to its directory."""
    folder, _, name = copy.path.rpartition("/")
    names = storage.listing(f".{name}.{copy.id}.", folder or ".")
    return [f"{folder}{'/' if folder else ''}{n}" for n in names if n.endswith(".deleting")]


def give_name_back(storage: Storage, copy: Copy) -> None:
    """A directory that a removal has renamed gets the copy's name again; no error when there is none.

    Only for a copy that is not `deleting`, by who holds or locks its row.
    """
    for name in renamed(storage, copy):
        if not storage.exists(copy.path):
            storage.rename(name, copy.path)
