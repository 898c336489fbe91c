"""Bundles: runs are gathered, written to the archive as one tar, read back, and only then count as archived."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session, aliased

from ..config import Config
from ..db.clock import NOW, database_time, now_sql
from ..db.engine import Database
from ..db.errors import LeaseLost
from ..db.insert import born
from ..db.models import Bundle, Copy, Run
from ..db.states import BundleStatus, CopyStatus, RunStatus
from ..db.steps import Claim, advance, advance_one, claim, hold_on, look, release
from ..rules.gates import pause
from ..rules.trouble import back_off
from ..sites.errors import Machinery
from ..sites.storage import Difference, Manifest, Storage
from ..sites.work import Work, WorkCancelled
from .base import Lane
from .copies import load_manifest
from .places import Places

_BATCH = 1000
_READY = {
    "ondeck": (RunStatus.ONDECK, RunStatus.PROCESSING, RunStatus.PROCESSED, RunStatus.FAILED, RunStatus.ARCHIVED),
    "processed": (RunStatus.PROCESSED, RunStatus.ARCHIVED),
}


class BundleDiffers(Machinery):
    """bundle {path} on storage {storage} differs from the manifests of its runs: {words}."""


class Archiver:
    """Looks after one archive storage."""

    def __init__(self, config: Config, db: Database, storage: str, lease: timedelta) -> None:
        self.config, self.db, self.storage, self.lease = config, db, storage, lease
        self.section = config.storages[storage]

    def step(self, lane: Lane, places: Places) -> int:
        """Gather, write one bundle, and say which runs are archived; returns how many rows moved."""
        moved = self.gather() + self.archived(lane)
        with self.db.read() as session:
            if pause(session, self.section.site) is not None:
                return moved
        one = self._take_up() or self._begin()
        if one is None:
            return moved
        self._carry_out(lane, places, one)
        return moved + 1

    # ---- gathering ----

    def waiting(self, session: Session) -> list[tuple[Copy, Run, Copy]]:
        """(copy wanted here, its run, the copy to read) of runs that may be archived now and are in no bundle yet."""
        source = aliased(Copy)
        disks = [s.name for s in self.config.storages.values() if s.kind == "disk"]
        rows = session.execute(
            select(Copy, Run, source)
            .join(Run, Run.id == Copy.run_id)
            .join(source, source.run_id == Copy.run_id)
            .where(
                text("copies.status = 'absent' AND copies.wanted"), Copy.storage == self.storage, Copy.form == "bundled",
                Copy.bundle_id.is_(None), source.status == CopyStatus.VERIFIED, source.wanted, source.form == "plain",
                source.job_id.is_(None), source.storage.in_(disks),
            )
            .order_by(Copy.id).limit(_BATCH)
        )
        found: dict[int, tuple[Copy, Run, Copy]] = {}
        for copy, run, there in rows:
            listener = self.config.listeners.get(run.listener or "")
            if listener is None or run.status not in _READY[listener.archive_when]:
                continue
            if copy.id not in found or there.storage == listener.storage:
                found[copy.id] = (copy, run, there)
        return list(found.values())

    def gather(self) -> int:
        """Put what waits into the open bundle of its source storage; returns how many copies."""
        with self.db.read() as session:
            if not self.waiting(session):
                return 0
        count = 0
        with self.db.write() as session:
            for copy, run, source in self.waiting(session):
                bundle = self._open_bundle(session, source.storage)
                count += session.execute(  # type: ignore[attr-defined]
                    update(Copy).where(Copy.id == copy.id, Copy.bundle_id.is_(None), Copy.status == CopyStatus.ABSENT)
                    .values(bundle_id=bundle, nbytes=run.nbytes, path=source.path)
                ).rowcount
        return count

    def _open_bundle(self, session: Session, source: str) -> int:
        """The open bundle that takes runs from storage `source` and isn't full; made if there is none."""
        bundles = session.scalars(
            select(Bundle.id).where(Bundle.storage == self.storage, Bundle.status == BundleStatus.OPEN, Bundle.path.is_(None))
            .order_by(Bundle.id.desc()).with_for_update()
        ).all()
        for bundle_id in bundles:
            members = self._members(session, bundle_id)
            nbytes = sum(c.nbytes or 0 for c, _ in members)
            full = len(members) >= self.section.bundle.count or nbytes >= self.section.bundle.size
            if not full and all(self._source(session, run).storage == source for _, run in members[:1]):
                return bundle_id
        bundle = Bundle(storage=self.storage, status=BundleStatus.OPEN, **born(f"for runs on {source}"))
        session.add(bundle)
        session.flush()
        return bundle.id

    def _members(self, session: Session, bundle_id: int) -> list[tuple[Copy, Run]]:
        rows = session.execute(
            select(Copy, Run).join(Run, Run.id == Copy.run_id).where(Copy.bundle_id == bundle_id).order_by(Copy.id)
            .execution_options(populate_existing=True)
        )
        return [(copy, run) for copy, run in rows]

    def _source(self, session: Session, run: Run) -> Copy:
        """The verified copy of `run` that a bundle is made from."""
        listener = self.config.listeners.get(run.listener or "")
        disks = [s.name for s in self.config.storages.values() if s.kind == "disk"]
        copies = session.scalars(
            select(Copy).where(Copy.run_id == run.id, Copy.form == "plain", Copy.job_id.is_(None), Copy.storage.in_(disks),
                               Copy.status == CopyStatus.VERIFIED, Copy.wanted)
            .execution_options(populate_existing=True)
        ).all()
        ranked = sorted(copies, key=lambda c: (listener is None or c.storage != listener.storage, c.id))
        if not ranked:
            raise BundleDiffers(path="-", storage=self.storage, words=f"run {run.name} has no verified copy to read")
        return ranked[0]

    # ---- writing ----

    def _take_up(self) -> Claim | None:
        """A bundle that somebody left half done."""
        now = now_sql(self.db.dialect)
        statuses = (BundleStatus.WRITING, BundleStatus.WRITTEN)
        free = text(f"storage = :storage AND status IN ('writing', 'written') AND (lease_until IS NULL OR lease_until <= {now})")
        with self.db.read() as session:
            if session.execute(select(Bundle.id).where(free), {"storage": self.storage}).first() is None:
                return None
        with self.db.write() as session:
            for status in statuses:
                claims = claim(session, Bundle, status, 1, lease=self.lease, where="storage = :storage", storage=self.storage)
                if claims:
                    return claims[0]
        return None

    def _begin(self) -> Claim | None:
        """Take an open bundle that is large or old enough: from now on its runs' copies are read."""
        with self.db.read() as session:
            ready = self.due(session)
        for bundle_id in ready:
            with self.db.write() as session:
                claims = claim(session, Bundle, BundleStatus.OPEN, 1, lease=self.lease, where="id = :bundle", bundle=bundle_id)
                if not claims:
                    continue
                members = self._members(session, bundle_id)
                look(session, Run, [run.id for _, run in members])  # locks them: who reads a copy needs it verified
                members = self._readable(session, members)
                if not members:
                    release(session, claims)
                    continue
                advance(session, look(session, Copy, [c.id for c, _ in members]), CopyStatus.WRITING, f"in bundle {bundle_id}")
                path = f"{self.config.name}-{bundle_id:06d}-{secrets.token_hex(4)}.tar"
                words = f"{len(members)} runs"
                return advance_one(session, claims[0], BundleStatus.WRITING, words, keep=True, path=path)
        return None

    def _readable(self, session: Session, members: list[tuple[Copy, Run]]) -> list[tuple[Copy, Run]]:
        """Those members whose data can be read; the others leave the bundle, and wait for another."""
        kept = []
        for copy, run in members:
            try:
                self._source(session, run)
                kept.append((copy, run))
            except BundleDiffers:
                copy.bundle_id = None
        session.flush()
        return kept

    def due(self, session: Session) -> list[int]:
        """Open bundles that are to be written now."""
        now = database_time(session)
        rows = session.execute(
            select(Bundle, func.count(Copy.id), func.coalesce(func.sum(Copy.nbytes), 0))
            .join(Copy, Copy.bundle_id == Bundle.id)
            .where(Bundle.storage == self.storage, text("bundles.status <> 'verified'"), Bundle.status == BundleStatus.OPEN)
            .group_by(Bundle.id).order_by(Bundle.id)
        )
        rule = self.section.bundle
        return [
            bundle.id
            for bundle, count, nbytes in rows
            if (bundle.not_before is None or bundle.not_before <= now)
            and (bundle.lease_until is None or bundle.lease_until <= now)
            and (count >= rule.count or int(nbytes or 0) >= rule.size or now - bundle.created_at >= rule.age)
        ]

    def next_due(self, session: Session) -> float | None:
        """Seconds until the oldest open bundle is old enough; None when there is none."""
        oldest = session.scalar(
            select(func.min(Bundle.created_at)).where(
                Bundle.storage == self.storage, text("status <> 'verified'"), Bundle.status == BundleStatus.OPEN
            )
        )
        if oldest is None:
            return None
        return max(0.0, (oldest + self.section.bundle.age - database_time(session)).total_seconds())

    def _carry_out(self, lane: Lane, places: Places, one: Claim) -> None:
        try:
            with lane.guard([one], f"bundle {one.id}") as work:
                self._write(lane, places, one, work)
        except LeaseLost:
            lane.log.warning("overtaken", extra={"bundle": one.id})
        except WorkCancelled as error:
            lane.log.info("broken off", extra={"bundle": one.id, "why": str(error)})
            with self.db.write() as session:
                release(session, [one])
        except Exception as error:  # goes on the row, and never stops the loop
            lane.log.warning("bundle failed", extra={"bundle": one.id, "why": str(error)}, exc_info=not isinstance(error, Machinery))
            self._give_back(one, str(error))

    def _write(self, lane: Lane, places: Places, one: Claim, work: Work) -> None:
        with self.db.read() as session:
            bundle = session.get_one(Bundle, one.id)
            members = self._members(session, one.id)
            manifests: dict[str, Manifest] = {}
            plain = {}
            for copy, run in members:
                source = self._source(session, run)
                assert source.manifest is not None
                manifests[source.path] = load_manifest(session, source.manifest)
                plain[copy.id] = source
        target, path = places.storage(self.storage), bundle.path
        assert path is not None
        target.check()
        nbytes = bundle.nbytes or 0
        if not target.exists(path):
            nbytes = self._tar(places, target, one, path, list(plain.values()), work)
        if one.status == BundleStatus.WRITING:
            with self.db.write() as session:
                one = advance_one(session, one, BundleStatus.WRITTEN, f"{path}, flushed", keep=True, nbytes=nbytes)
        lane.keep(work, [one])
        differences = target.verify_bundle(path, manifests, work=work)
        if differences:
            self._put_away(target, one, path, differences, work)
        with self.db.write() as session:
            hold_on(session, [one])
            advance_one(session, one, BundleStatus.VERIFIED, "read back, equal to the manifests", verified_at=NOW, tries=0)
            for held in look(session, Copy, list(plain)):
                source = plain[held.id]
                columns = {"manifest": source.manifest, "nbytes": source.nbytes, "nfiles": source.nfiles, "path": source.path}
                advance_one(session, held, CopyStatus.VERIFIED, f"read back from {path}", verified_at=NOW, **columns)
        lane.log.info("bundle verified", extra={"bundle": path, "runs": len(plain), "nbytes": nbytes})

    def _tar(self, places: Places, target: Storage, one: Claim, path: str, plain: Sequence[Copy], work: Work) -> int:
        """Write the tar under a name that bears the epoch, then give it its own."""
        part = f".{path}.{one.epoch}.part"
        for name in target.listing(f".{path}."):
            if name.endswith(".part"):
                target.remove_part(name, work=work)
        source = places.storage(plain[0].storage)
        nbytes = source.bundle(target, part, [(c.path, c.path) for c in plain], work=work)
        with self.db.write() as session:
            hold_on(session, [one])
        target.rename(part, path)
        return nbytes

    def _put_away(self, target: Storage, one: Claim, path: str, differences: Sequence[Difference], work: Work) -> None:
        """A tar that is not what it should be is no copy of anything: it goes, and the bundle is written again."""
        with self.db.write() as session:
            hold_on(session, [one])
        part = f".{path}.{one.epoch}.part"
        target.rename(path, part)
        target.remove_part(part, work=work)
        raise BundleDiffers(path=path, storage=self.storage, words="; ".join(d.words() for d in differences[:3]))

    def _give_back(self, one: Claim, why: str) -> None:
        """The step failed: the bundle is open again, its copies absent."""
        with self.db.write() as session:
            current = look(session, Bundle, [one.id])[0]
            if current.epoch != one.epoch:
                return
            moved = back_off(session, current, BundleStatus.OPEN, why, self.config.retry, give_up=None, path=None, nbytes=None)
            if moved:
                copies = [c.id for c, _ in self._members(session, one.id) if c.status == CopyStatus.WRITING]
                advance(session, look(session, Copy, copies), CopyStatus.ABSENT, why)

    # ---- runs ----

    def archived(self, lane: Lane) -> int:
        """Runs are archived when every copy that is wanted in an archive is verified; returns how many."""
        query = text(
            "SELECT r.id FROM runs r WHERE r.status = 'processed' AND r.to_archive IS TRUE"
            f" AND (r.lease_until IS NULL OR r.lease_until <= {now_sql(self.db.dialect)})"
            " AND EXISTS (SELECT 1 FROM copies c WHERE c.run_id = r.id AND c.form = 'bundled' AND c.wanted"
            "             AND c.status = 'verified' AND c.storage = :storage)"
            " AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.run_id = r.id AND c.form = 'bundled' AND c.wanted"
            "                 AND c.status <> 'verified') ORDER BY r.id LIMIT 1000"
        )
        with self.db.read() as session:
            ids = list(session.scalars(query, {"storage": self.storage}))
        if not ids:
            return 0
        listed = ", ".join(str(i) for i in ids)
        with self.db.write() as session:
            claims = claim(session, Run, RunStatus.PROCESSED, len(ids), lease=self.lease, where=f"id IN ({listed})")
            still = set(session.scalars(text(query.text.replace("r.lease_until IS NULL OR", "TRUE OR")), {"storage": self.storage}))
            moved = advance(session, [c for c in claims if c.id in still], RunStatus.ARCHIVED, "every copy wanted in the archive is verified")
            release(session, [c for c in claims if c.id not in still])
        if moved:
            lane.log.info("runs archived", extra={"runs": len(moved)})
        return len(moved)
