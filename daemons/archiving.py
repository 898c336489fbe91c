"""Bundles: runs are gathered, written to the archive as one tar, read back, and only then count as archived."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, text

from ..config import Config
from ..db.clock import NOW
from ..db.engine import Database
from ..db.errors import LeaseLost
from ..db.models import Bundle, Copy, Run
from ..db.states import BundleStatus, CopyStatus, RunStatus
from ..db.steps import Claim, advance, advance_one, claim, due, hold_on, look, release, unheld
from ..rules.breaker import begin_trial, room, site_of, trouble, worked
from ..rules.gates import pause
from ..rules.trouble import back_off
from ..sites.errors import Machinery
from ..sites.storage import Difference, Storage
from ..sites.work import Work, WorkCancelled
from .base import Lane
from .copies import load_manifests
from .gathering import Gatherer, NothingToRead
from .places import Places

_BATCH = 1000


class BundleDiffers(Machinery):
    """bundle {path} on storage {storage} differs from the manifests of its runs: {words}."""


class Archiver:
    """Looks after one archive storage."""

    def __init__(self, config: Config, db: Database, storage: str, lease: timedelta) -> None:
        self.config, self.db, self.storage, self.lease = config, db, storage, lease
        self.section = config.storages[storage]
        self.gatherer = Gatherer(config, db, storage)

    def step(self, lane: Lane, places: Places) -> int:
        """Gather, write one bundle, and say which runs are archived; returns how many rows moved."""
        moved = self.gatherer.gather() + self.archived(lane)
        with self.db.read() as session:
            if pause(session, self.section.site) is not None:
                return moved
        one = self._take_up() or self._begin()
        if one is None:
            return moved
        self._carry_out(lane, places, one)
        return moved + 1

    # ---- writing ----

    def _take_up(self) -> Claim | None:
        """A bundle that somebody left half done."""
        statuses = (BundleStatus.WRITING, BundleStatus.WRITTEN)
        free = text(
            "storage = :storage AND status <> 'verified' AND status IN ('writing', 'written')"
            f" AND {unheld(self.db.dialect)}"
        )
        with self.db.read() as session:
            if session.execute(select(Bundle.id).where(free), {"storage": self.storage}).first() is None:
                return None
        with self.db.write() as session:
            for status in statuses:
                claims = claim(
                    session,
                    Bundle,
                    status,
                    1,
                    lease=self.lease,
                    where="storage = :storage AND status <> 'verified'",
                    storage=self.storage,
                )
                if claims:
                    return claims[0]
        return None

    def _begin(self) -> Claim | None:
        """Take an open bundle that is large or old enough: from now on its runs' copies are read."""
        with self.db.read() as session:
            ready = self.gatherer.due(session)
        for bundle_id in ready:
            with self.db.write() as session:
                if room(session, self.section.site) == 0:
                    return None
                begin_trial(session, self.config, self.section.site)
                claims = claim(
                    session,
                    Bundle,
                    BundleStatus.OPEN,
                    1,
                    lease=self.lease,
                    where="id = :bundle",
                    bundle=bundle_id,
                )
                if not claims:
                    continue
                members = self.gatherer.members(session, bundle_id)
                look(session, Run, [run.id for _, run in members])  # locks them: who reads a copy needs it verified
                members = self.gatherer.readable(session, members)
                if not members:
                    release(session, claims)
                    continue
                advance(
                    session,
                    look(session, Copy, [c.id for c, _ in members]),
                    CopyStatus.WRITING,
                    f"in bundle {bundle_id}",
                )
                path = f"{self.config.name}-{bundle_id:06d}-{secrets.token_hex(4)}.tar"
                words = f"{len(members)} runs"
                return advance_one(session, claims[0], BundleStatus.WRITING, words, keep=True, path=path)
        return None

    def _carry_out(self, lane: Lane, places: Places, one: Claim) -> None:
        try:
            with lane.guard([one], f"bundle {one.id}") as work:
                self._write(lane, places, one, work)
        except LeaseLost:
            lane.log.warning("overtaken", extra={"bundle": one.id})
        except WorkCancelled as error:
            lane.log.info("broken off", extra={"bundle": one.id, "why": str(error)})
            if not lane.stopping.is_set():  # it did not get on: that is a try that failed
                self._give_back(one, str(error))
            with self.db.write() as session:
                release(session, [one])
        except Exception as error:  # goes on the row, and never stops the loop
            lane.log.warning(
                "bundle failed",
                extra={"bundle": one.id, "why": str(error)},
                exc_info=not isinstance(error, Machinery),
            )
            self._give_back(one, str(error), site_of(self.config, error))

    def _write(self, lane: Lane, places: Places, one: Claim, work: Work) -> None:
        with self.db.read() as session:
            bundle = session.get_one(Bundle, one.id)
            members = self.gatherer.members(session, one.id)
            sources = self.gatherer.sources_of(session, [run for _, run in members])
            for _, run in members:
                if run.id not in sources:
                    raise NothingToRead(run=run.name)
            plain = {copy.id: sources[run.id] for copy, run in members}
            contents = load_manifests(session, [source.manifest or "" for source in plain.values()])
            manifests = {source.path: contents[source.manifest or ""] for source in plain.values()}
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
            advance_one(
                session,
                one,
                BundleStatus.VERIFIED,
                "read back, equal to the manifests",
                verified_at=NOW,
                tries=0,
            )
            each = {
                copy: {name: getattr(source, name) for name in ("manifest", "nbytes", "nfiles", "path")}
                for copy, source in plain.items()
            }
            held, words = look(session, Copy, list(plain)), f"read back from {path}"
            advance(session, held, CopyStatus.VERIFIED, words, each=each, verified_at=NOW)
            worked(session, self.section.site)
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

    def _give_back(self, one: Claim, why: str, site: str | None = None) -> None:
        """The step failed: the bundle is open again, its copies absent."""
        with self.db.write() as session:
            current = look(session, Bundle, [one.id])[0]
            if current.epoch != one.epoch:
                return
            trial = trouble(session, self.config, site, f"bundles {one.id}", why)
            moved = back_off(
                session,
                current,
                BundleStatus.OPEN,
                why,
                self.config.retry,
                give_up=None,
                free=trial,
                path=None,
                nbytes=None,
            )
            if moved:
                copies = [c.id for c, _ in self.gatherer.members(session, one.id) if c.status == CopyStatus.WRITING]
                advance(session, look(session, Copy, copies), CopyStatus.ABSENT, why)

    # ---- runs ----

    def archived(self, lane: Lane) -> int:
        """Runs are archived when every copy that is wanted in an archive is verified; returns how many."""
        whole = (
            "to_archive IS TRUE AND EXISTS (SELECT 1 FROM copies c WHERE c.run_id = runs.id AND c.form = 'bundled'"
            " AND c.wanted AND c.status = 'verified' AND c.storage = :storage)"
            " AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.run_id = runs.id AND c.form = 'bundled' AND c.wanted"
            " AND c.status <> 'verified')"
        )
        query = f"SELECT 1 FROM runs WHERE status = 'processed' AND {due(self.db.dialect)} AND {whole} LIMIT 1"
        with self.db.read() as session:
            if session.execute(text(query), {"storage": self.storage}).first() is None:
                return 0
        words = "every copy wanted in the archive is verified"
        with self.db.write() as session:
            claims = claim(
                session, Run, RunStatus.PROCESSED, _BATCH, lease=self.lease, where=whole, storage=self.storage
            )
            moved = advance(session, claims, RunStatus.ARCHIVED, words)
        if moved:
            lane.log.info("runs archived", extra={"runs": len(moved)})
        return len(moved)
