"""Removing a copy: only with proof that others have it, read back for this very removal.

1. Under the run's lock the copy becomes unwanted and its witnesses are pinned by an open receipt.
2. The witnesses are read again; then the directory is renamed to a name that bears copy and epoch.
3. Under the lock again everything is asked once more: only then is the copy `deleting`.
4. Inside that name exactly the manifest's files are unlinked.
5. The disk is seen, nothing is left: the copy is absent, the receipt closed.
Whatever falls on the way renames back, closes the receipt and wants the copy again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, text

from ..config import Config
from ..db.actor import actor
from ..db.clock import database_time
from ..db.engine import Database
from ..db.models import Copy, Pin, Receipt, Run
from ..db.states import CopyStatus
from ..db.steps import Claim, advance, advance_one, claim, hold_on, look, release, unheld
from ..rules.messages import post
from ..rules.receipts import close_receipt
from ..sites.errors import Machinery, Refused
from ..sites.storage import Manifest, Storage
from ..sites.work import Work
from .base import Lane
from .copies import load_manifest
from .places import Places
from .proof import NoProof, Proof

_AGAIN = timedelta(minutes=10)
"""How long a copy that could not be removed is left alone."""


class Remover:
    """Removes copies from one storage."""

    def __init__(self, config: Config, db: Database, storage: str, lease: timedelta) -> None:
        self.config, self.db, self.storage, self.lease = config, db, storage, lease
        self.proof = Proof(config, db, storage)

    # ---- the steps ----

    def remove(self, lane: Lane, places: Places, copy_id: int, rule: str) -> bool:
        """Remove a copy if the proof stands; True when it is gone. What hinders it goes on its row and in the log."""
        opened = self._open(copy_id, rule, places)
        if opened is None:
            return False
        return self._carry_out(lane, places, opened)

    def take_up(self, lane: Lane, places: Places) -> int:
        """Finish or undo what somebody left half done here; returns how many copies."""
        nobody = text(unheld(self.db.dialect, "copies"))
        with self.db.read() as session:
            deleting = session.scalars(
                select(Copy.id).where(
                    text("copies.status IN ('writing', 'suspect', 'deleting')"),
                    Copy.storage == self.storage,
                    Copy.status == CopyStatus.DELETING,
                    nobody,
                )
            ).all()
            left = session.execute(  # no further conditions: they would lead SQLite to another index
                select(Copy.id, Copy.storage, Copy.status).where(
                    Copy.id.in_(select(Receipt.copy_id).where(text("receipts.closed_at IS NULL"))), nobody
                )
            ).all()
        here = (self.storage, CopyStatus.VERIFIED)
        opened = [copy_id for copy_id, *where in left if tuple(where) == here]
        done = 0
        for copy_id, status in [
            *((i, CopyStatus.DELETING) for i in deleting),
            *((i, CopyStatus.VERIFIED) for i in opened),
        ]:
            with self.db.write() as session:
                claims = claim(session, Copy, status, 1, lease=self.lease, where="id = :copy", copy=copy_id)
            if claims and status == CopyStatus.DELETING:
                self._carry_out(lane, places, claims[0])
                done += 1
            elif claims:
                with lane.guard(claims, f"copy {copy_id}"):
                    self._undo(lane, places.storage(self.storage), claims[0], "its removal was broken off")
                done += 1
        return done

    def _open(self, copy_id: int, rule: str, places: Places) -> Claim | None:
        """(1) Under the run's lock: unwanted, and its witnesses pinned by an open receipt."""
        free = places.storage(self.storage).space().free
        with self.db.write() as session:
            run_id = session.scalar(select(Copy.run_id).where(Copy.id == copy_id))
            assert run_id is not None
            look(session, Run, [run_id])
            claims = claim(
                session,
                Copy,
                CopyStatus.VERIFIED,
                1,
                lease=self.lease,
                where="id = :copy AND wanted",
                copy=copy_id,
            )
            if not claims:
                return None
            run = session.get_one(Run, run_id, populate_existing=True)
            copy = session.get_one(Copy, copy_id, populate_existing=True)
            pinned = session.scalar(
                select(Pin.copy_id).join(Receipt).where(Pin.copy_id == copy_id, Receipt.closed_at.is_(None)).limit(1)
            )
            try:
                why = "it is the witness of another removal" if pinned else self.proof.needed(session, copy, run)
                if why:
                    raise NoProof(copy=copy_id, run=run.name, storage=self.storage, why=why)
                witnesses = self.proof.witnesses(session, copy, run)
            except NoProof as error:
                copy.reason, copy.not_before = str(error), database_time(session) + _AGAIN
                release(session, claims)
                return None
            receipt = Receipt(
                copy_id=copy_id, opened_at=database_time(session), rule=rule, actor=actor(), free_before=free
            )
            session.add(receipt)
            session.flush()
            session.add_all(Pin(receipt_id=receipt.id, copy_id=w.id) for w in witnesses)
            session.flush()
            words = f"to be removed ({rule}); witnesses: {', '.join(w.storage for w in witnesses)}"
            return advance_one(session, claims[0], CopyStatus.VERIFIED, words, keep=True, wanted=False)

    def _carry_out(self, lane: Lane, places: Places, one: Claim) -> bool:
        storage = places.storage(self.storage)
        with lane.guard([one], f"removal of copy {one.id}") as work:
            try:
                gone = self._prove_and_remove(storage, places, one, work)
            except (Machinery, Refused) as error:
                lane.log.warning("copy not removed", extra={"copy": one.id, "why": str(error)})
                self._undo(lane, storage, one, str(error))
                return False
        lane.log.info("copy removed" if gone else "copy left over in part", extra={"copy": one.id})
        return gone

    def _prove_and_remove(self, storage: Storage, places: Places, one: Claim, work: Work) -> bool:
        with self.db.read() as session:
            copy = session.get_one(Copy, one.id)
            assert copy.manifest is not None
            manifest = load_manifest(session, copy.manifest)
        fenced = self._fenced_name(copy, one)
        if one.status == CopyStatus.DELETING:  # taken up: the name first, so that the old holder finds nothing
            self._rename_to(storage, copy, fenced)
            checks = self.proof.read_witnesses(places, copy, work)
        else:
            checks = self.proof.read_witnesses(places, copy, work)
            self._rename_to(storage, copy, fenced)
        storage.check()
        there = storage.exists(fenced)
        if not there and one.status != CopyStatus.DELETING:
            raise NoProof(
                copy=one.id,
                run=copy.run_id,
                storage=self.storage,
                why="its directory was not seen after it was renamed",
            )
        deleting = self._decide(one, checks)
        left = self._unlink(storage, fenced, manifest, work) if there else []
        storage.check()
        if left or storage.exists(fenced) or storage.exists(copy.path):
            self._left_over(storage, copy, deleting, fenced, left)
            return False
        self._gone(storage, deleting)
        return True

    @staticmethod
    def _unlink(storage: Storage, fenced: str, manifest: Manifest, work: Work) -> list[str]:
        """(4) The only place where data are removed."""
        return storage.unlink(fenced, manifest, work=work)

    @staticmethod
    def _fenced_name(copy: Copy, one: Claim) -> str:
        folder, _, name = copy.path.rpartition("/")
        return f"{folder}{'/' if folder else ''}.{name}.{copy.id}.{one.epoch}.deleting"

    @staticmethod
    def _renamed(storage: Storage, copy: Copy) -> list[str]:
        """Names that removals of this copy have given to its directory."""
        folder, _, name = copy.path.rpartition("/")
        names = storage.listing(f".{name}.{copy.id}.", folder or ".")
        return [f"{folder}{'/' if folder else ''}{n}" for n in names if n.endswith(".deleting")]

    def _rename_to(self, storage: Storage, copy: Copy, fenced: str) -> None:
        for old in self._renamed(storage, copy):
            if old != fenced:
                storage.rename(old, fenced)
                return
        if storage.exists(copy.path):
            storage.rename(copy.path, fenced)

    def _decide(self, one: Claim, checks: list[dict[str, Any]]) -> Claim:
        """(3) Under the lock, everything once more."""
        with self.db.write() as session:
            run_id = session.scalar(select(Copy.run_id).where(Copy.id == one.id))
            assert run_id is not None
            look(session, Run, [run_id])
            hold_on(session, [one])
            copy = session.get_one(Copy, one.id, populate_existing=True)
            run = session.get_one(Run, run_id, populate_existing=True)
            receipt = session.scalar(select(Receipt).where(Receipt.copy_id == one.id, Receipt.closed_at.is_(None)))
            pinned = session.scalars(
                select(Copy)
                .join(Pin, Pin.copy_id == Copy.id)
                .where(Pin.receipt_id == (receipt.id if receipt else -1))
                .execution_options(populate_existing=True)
            ).all()
            why = None
            if receipt is None or copy.wanted:
                why = "it is wanted again"
            elif any(w.status != CopyStatus.VERIFIED or not w.wanted for w in pinned):
                why = "a witness fell away"
            elif {c["copy"] for c in checks} != {w.id for w in pinned}:
                why = "its witnesses are not those that were read"
            else:
                why = self.proof.needed(session, copy, run)
            if why or receipt is None:
                raise NoProof(copy=one.id, run=run.name, storage=self.storage, why=why)
            receipt.checks = checks
            session.flush()
            return advance_one(session, one, CopyStatus.DELETING, f"receipt {receipt.id}", keep=True)

    # ---- the ends ----

    def _gone(self, storage: Storage, one: Claim) -> None:
        """(5) Nothing is left: the copy is absent, the receipt closed."""
        free = storage.space().free
        with self.db.write() as session:
            advance_one(session, one, CopyStatus.ABSENT, "its files are gone", verified_at=None, tries=0)
            close_receipt(session, one.id, "removed", None, free_after=free)

    def _left_over(self, storage: Storage, copy: Copy, one: Claim, fenced: str, left: list[str]) -> None:
        """Something was there that the manifest doesn't know: it stays, and a person is told."""
        if storage.exists(fenced) and not storage.exists(copy.path):
            storage.rename(fenced, copy.path)
        words = f"left over, not in the manifest: {', '.join(left[:5]) or copy.path}"
        with self.db.write() as session:
            advance_one(session, one, CopyStatus.SUSPECT, words, wanted=True, delay=_AGAIN)
            close_receipt(session, one.id, "aborted", words)
            post(
                session,
                self.config,
                f"something was left over on {self.storage}",
                f"{copy.path}: {words}",
                stream=f"storage:{self.storage}",
                key=f"left:{copy.id}:{one.epoch}",
            )

    def _undo(self, lane: Lane, storage: Storage, one: Claim, why: str) -> None:
        """The proof fell: the directory gets its name back, the copy is wanted, the receipt closed."""
        with self.db.write() as session:
            current = look(session, Copy, [one.id])[0]
            copy = session.get_one(Copy, one.id, populate_existing=True)
        if current.epoch != one.epoch:
            return  # somebody else has it, and takes the name to his own epoch
        try:
            for name in self._renamed(storage, copy):
                if not storage.exists(copy.path):
                    storage.rename(name, copy.path)
        except (
            Machinery,
            Refused,
        ) as error:  # it stays claimed until the lease runs out, then it is taken up again
            lane.log.warning("directory can't be renamed back", extra={"copy": one.id, "why": str(error)})
            with self.db.write() as session:
                release(session, [current])
            return
        with self.db.write() as session:
            look(session, Run, [copy.run_id])
            to = CopyStatus.SUSPECT if current.status == CopyStatus.DELETING else CopyStatus.VERIFIED
            if advance(session, [current], to, why, wanted=True, delay=_AGAIN):
                close_receipt(session, one.id, "aborted", why)
