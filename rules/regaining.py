"""Copies and bundles that are otherwise than the run database says: its rows are set right, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import NOW, database_time
from ..db.insert import born, insert_new
from ..db.models import Bundle, Copy, Manifest, Run
from ..db.states import BundleStatus, CopyStatus, RunStatus
from ..db.steps import Claim, advance, advance_one, look
from .receipts import close_receipt


@dataclass(frozen=True)
class Content:
    """What a copy was read to consist of: its manifest's digest, bytes and number of files; `dump`: the manifest."""

    digest: str
    nbytes: int
    nfiles: int
    dump: bytes = b""

    def columns(self) -> dict[str, Any]:
        """As columns of a copy."""
        return {"manifest": self.digest, "nbytes": self.nbytes, "nfiles": self.nfiles}


def not_whole(session: Session, copy: Copy, words: str) -> bool:
    """A verified copy was seen to differ or to be gone: it is suspect. False when somebody works on it."""
    look(session, Run, [copy.run_id])
    one = _still(session, copy)
    if one is None:
        return False
    close_receipt(session, copy.id, "aborted", words)
    advance_one(session, one, CopyStatus.SUSPECT, words, fence=True, wanted=True)
    return True


def removed(session: Session, copy: Copy, words: str) -> bool:
    """A verified copy is gone as a whole, and others have its data: it is absent. False when somebody works on it."""
    look(session, Run, [copy.run_id])
    one = _still(session, copy)
    if one is None:
        return False
    close_receipt(session, copy.id, "aborted", words)
    one = advance_one(session, one, CopyStatus.SUSPECT, words, fence=True)
    advance_one(session, one, CopyStatus.ABSENT, words, fence=True, wanted=False, verified_at=None)
    return True


def _still(session: Session, copy: Copy) -> Claim | None:
    """The row of a copy, locked, if it is as it was read: nobody has taken, moved or fenced it since."""
    one = look(session, Copy, [copy.id])[0]
    now = session.get_one(Copy, copy.id, populate_existing=True)
    held = now.lease_until is not None and now.lease_until > database_time(session)
    return one if (one.status, one.epoch) == (CopyStatus.VERIFIED, copy.epoch) and not held else None


def take_over(session: Session, config: Config, run_id: int, storage: str, path: str, content: Content) -> bool:
    """The run's copy lies on its storage, whole, and its source has it no more: the run is on deck.

    Transfer gives a copy its name only when it was read back, so what bears that name was verified. False when the
    run is not about to be copied any more.
    """
    one = look(session, Run, [run_id])[0]
    run = session.get_one(Run, run_id, populate_existing=True)
    if one.status not in (RunStatus.ACQUIRED, RunStatus.TRANSFERRING):
        return False
    words = f"{path} was found whole on {storage}, and its source has it no more"
    row = {"digest": content.digest, "nbytes": content.nbytes, "nfiles": content.nfiles, "content": content.dump}
    insert_new(session, Manifest, [row], ["digest"])
    for copy in _copies(session, run_id):
        if copy.storage != storage and copy.status == CopyStatus.WRITING and copy.form == "plain":
            advance(session, look(session, Copy, [copy.id]), CopyStatus.ABSENT, words, fence=True, wanted=False)
    _verified(session, run, storage, "plain", words, path=path, **content.columns())
    listener = config.listeners.get(run.listener or "")
    if listener is not None and listener.archive and not _copies(session, run_id, listener.archive, "bundled"):
        wanted = {"run_id": run_id, "storage": listener.archive, "path": "", "form": "bundled"}
        session.add(Copy(**wanted, nbytes=content.nbytes, status=CopyStatus.ABSENT, **born("wanted in the archive")))
        session.flush()
    columns = {"tries": 0, "not_before": None, "blocked_by": None, "blocked_since": None, "nbytes": content.nbytes}
    if one.status == RunStatus.ACQUIRED:
        one = advance_one(session, one, RunStatus.TRANSFERRING, words, fence=True)
    advance_one(session, one, RunStatus.ONDECK, words, fence=True, **columns)
    return True


def adopt_bundle(
    session: Session, storage: str, path: str, nbytes: int, members: Sequence[tuple[int, str, Content]]
) -> None:
    """A tar found in the archive `storage`, and read back: a verified bundle of `members` (run, path, content)."""
    words = f"{path} was found in the archive and read back, equal to the manifests"
    look(session, Run, [run for run, _, _ in members])
    bundle = Bundle(storage=storage, path=path, nbytes=nbytes, status=BundleStatus.VERIFIED, **born(words))
    bundle.verified_at = database_time(session)
    session.add(bundle)
    session.flush()
    for run_id, name, content in members:
        run = session.get_one(Run, run_id, populate_existing=True)
        _verified(session, run, storage, "bundled", words, path=name, bundle_id=bundle.id, **content.columns())


def _verified(session: Session, run: Run, storage: str, form: str, words: str, **columns: Any) -> None:
    """The run's copy on `storage` is verified: its row is made, or moved there."""
    there = _copies(session, run.id, storage, form)
    if not there:
        copy = Copy(run_id=run.id, storage=storage, form=form, status=CopyStatus.VERIFIED, **columns, **born(words))
        copy.verified_at = database_time(session)
        session.add(copy)
        session.flush()
        return
    one = look(session, Copy, [there[0].id])[0]
    if one.status in (CopyStatus.ABSENT, CopyStatus.SUSPECT):
        one = advance_one(session, one, CopyStatus.WRITING, words, fence=True)
    if one.status == CopyStatus.WRITING:
        fresh = {"verified_at": NOW, "wanted": True, "tries": 0, **columns}
        advance_one(session, one, CopyStatus.VERIFIED, words, fence=True, **fresh)


def _copies(session: Session, run_id: int, storage: str | None = None, form: str = "plain") -> Sequence[Copy]:
    """The rows of the run's own data."""
    query = select(Copy).where(Copy.run_id == run_id, Copy.job_id.is_(None)).order_by(Copy.id)
    if storage is not None:
        query = query.where(Copy.storage == storage, Copy.form == form)
    return session.scalars(query.execution_options(populate_existing=True)).all()
