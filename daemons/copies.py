"""Rows of copies and manifests, as the daemons that write copies use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.clock import NOW
from ..db.errors import LeaseLost
from ..db.insert import born, insert_new
from ..db.models import Copy, Run
from ..db.models import Manifest as StoredManifest
from ..db.states import CopyStatus
from ..db.steps import Claim, advance, look
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


def raw_copies(session: Session, run_ids: Iterable[int], storage: str, form: str = "plain") -> dict[int, Copy]:
    """Run's id → the row of its data in `storage`, as it stands now; without those that have none."""
    copies = session.scalars(
        select(Copy)
        .where(Copy.run_id.in_(list(run_ids)), Copy.storage == storage, Copy.form == form, Copy.job_id.is_(None))
        .execution_options(populate_existing=True)
    )
    return {copy.run_id: copy for copy in copies}


def store_manifests(session: Session, manifests: Iterable[Manifest]) -> None:
    """Keep `manifests`, each once for all copies of the same content."""
    rows = {
        manifest.digest: {
            "digest": manifest.digest,
            "nbytes": manifest.nbytes,
            "nfiles": manifest.nfiles,
            "content": manifest.dumps(),
        }
        for manifest in manifests
    }
    insert_new(session, StoredManifest, list(rows.values()), ["digest"])


def load_manifest(session: Session, digest: str) -> Manifest:
    """The stored manifest."""
    return Manifest.loads(session.get_one(StoredManifest, digest).content)


def load_manifests(session: Session, digests: Iterable[str]) -> dict[str, Manifest]:
    """Digest → the stored manifest; raises KeyError for one that is not stored."""
    wanted = set(digests)
    rows = session.execute(
        select(StoredManifest.digest, StoredManifest.content).where(StoredManifest.digest.in_(wanted))
    )
    found = {row.digest: Manifest.loads(row.content) for row in rows}
    return {digest: found[digest] for digest in wanted}


def content_columns(manifest: Manifest) -> dict[str, Any]:
    """The columns of a copy that say what it consists of."""
    return {"manifest": manifest.digest, "nbytes": manifest.nbytes, "nfiles": manifest.nfiles}


def verify_rows(session: Session, claims: Mapping[int, Claim], manifests: Mapping[int, Manifest], why: str) -> None:
    """Copies (run's id → claim) have just been read and found equal to their manifests: they are verified."""
    each = {one.id: content_columns(manifests[run]) for run, one in claims.items()}
    columns = {"verified_at": NOW, "wanted": True, "tries": 0}
    moved = advance(session, list(claims.values()), CopyStatus.VERIFIED, why, each=each, **columns)
    if len(moved) < len(claims):
        raise LeaseLost(rows=", ".join(f"copies {c.id}" for c in claims.values() if c.id not in {m.id for m in moved}))


def begin_copies(session: Session, runs: Sequence[Run], storage: str, reason: str) -> dict[int, Claim]:
    """The runs' copies in `storage` are being written from now on: their rows are made, or taken up again.

    Returns run's id → the copy's row, which is writing, or verified already; without the runs whose copy is just
    being removed.
    """
    there = raw_copies(session, [run.id for run in runs], storage)
    for run in runs:
        if run.id not in there:
            there[run.id] = Copy(
                run_id=run.id,
                storage=storage,
                path=path_of(run),
                nbytes=run.nbytes,
                status=CopyStatus.WRITING,
                **born(reason),
            )
            session.add(there[run.id])
    session.flush()
    run_of = {copy.id: run_id for run_id, copy in there.items()}
    held = look(session, Copy, run_of)
    begun = [one for one in held if one.status in (CopyStatus.WRITING, CopyStatus.VERIFIED)]
    idle = [one for one in held if one.status in (CopyStatus.ABSENT, CopyStatus.SUSPECT)]
    return {run_of[one.id]: one for one in [*begun, *advance(session, idle, CopyStatus.WRITING, reason)]}


def want_in_archive(session: Session, runs: Sequence[Run], storage: str) -> None:
    """From now on the runs are wanted in the archive `storage`; DiskMonitor makes it true."""
    there = raw_copies(session, [run.id for run in runs], storage, "bundled")
    session.add_all(
        Copy(
            run_id=run.id,
            storage=storage,
            path="",
            form="bundled",
            nbytes=run.nbytes,
            status=CopyStatus.ABSENT,
            **born("wanted in the archive"),
        )
        for run in runs
        if run.id not in there
    )
    session.flush()
