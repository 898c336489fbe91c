"""Rows of copies and manifests, as the daemons that write copies use them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.clock import NOW
from ..db.insert import born, insert_new
from ..db.models import Copy, Run
from ..db.models import Manifest as StoredManifest
from ..db.states import CopyStatus
from ..db.steps import Claim, advance_one, look
from ..sites.storage import Manifest


def path_of(run: Run) -> str:
    """Where a run lies in a storage: names are unique within their source."""
    return f"{run.source}/{run.name}"


def raw_copy(session: Session, run_id: int, storage: str, form: str = "plain") -> Copy | None:
    """The row of the run's data in `storage`, as it stands now."""
    return session.scalar(
        select(Copy)
        .where(Copy.run_id == run_id, Copy.storage == storage, Copy.form == form, Copy.job_id.is_(None))
        .execution_options(populate_existing=True)
    )


def store_manifest(session: Session, manifest: Manifest) -> str:
    """Keep `manifest`, once for all copies of the same content; returns its digest."""
    row = {
        "digest": manifest.digest,
        "nbytes": manifest.nbytes,
        "nfiles": manifest.nfiles,
        "content": manifest.dumps(),
    }
    insert_new(session, StoredManifest, [row], ["digest"])
    return manifest.digest


def load_manifest(session: Session, digest: str) -> Manifest:
    """The stored manifest."""
    return Manifest.loads(session.get_one(StoredManifest, digest).content)


def verified(manifest: Manifest, digest: str) -> dict[str, Any]:
    """The columns of a copy that has just been read and found equal to `manifest`."""
    return {
        "manifest": digest,
        "nbytes": manifest.nbytes,
        "nfiles": manifest.nfiles,
        "verified_at": NOW,
        "wanted": True,
        "tries": 0,
    }


def begin_copy(session: Session, run: Run, storage: str, reason: str) -> Claim:
    """The run's copy in `storage` is being written from now on: its row is made, or taken up again."""
    copy = raw_copy(session, run.id, storage)
    if copy is None:
        copy = Copy(
            run_id=run.id,
            storage=storage,
            path=path_of(run),
            nbytes=run.nbytes,
            status=CopyStatus.WRITING,
            **born(reason),
        )
        session.add(copy)
        session.flush()
    one = look(session, Copy, [copy.id])[0]
    if one.status in (CopyStatus.WRITING, CopyStatus.VERIFIED):
        return one
    return advance_one(session, one, CopyStatus.WRITING, reason)


def want_in_archive(session: Session, run: Run, storage: str) -> None:
    """From now on the run is wanted in the archive `storage`; DiskMonitor makes it true."""
    row = {
        "run_id": run.id,
        "storage": storage,
        "path": "",
        "form": "bundled",
        "nbytes": run.nbytes,
        "status": CopyStatus.ABSENT,
        **born("wanted in the archive"),
    }
    if raw_copy(session, run.id, storage, "bundled") is None:
        session.add(Copy(**row))
        session.flush()
