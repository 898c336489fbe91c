"""Keeping leases alive, in a thread of their own, for as long as the work under them gets on."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db import models, steps, tables  # noqa: F401 - so that all tables are known
from ..db.actor import actor
from ..db.base import Base, Worked
from ..db.engine import Database
from ..sites.work import Work
from .identity import stat, this_host

log = logging.getLogger(__name__)


def worked_models() -> dict[str, type[Worked]]:
    """Table name → model, of all tables whose rows are leased."""
    found = ((mapper.local_table, mapper.class_) for mapper in Base.registry.mappers)
    return {str(table): model for table, model in found if issubclass(model, Worked)}


class _Held:
    """A work and the claims that are kept for it."""

    def __init__(self, work: Work, claims: Sequence[steps.Claim]) -> None:
        self.work = work
        self.claims = list(claims)
        self.progress = work.progress()
        self.idle = 0.0  # seconds that the keeper has watched without seeing progress


class Keeper:
    """Renews the leases of all works of a daemon. `lease` and `stall` are asked for at each look."""

    def __init__(self, db: Database, lease: Callable[[], timedelta], stall: Callable[[], timedelta]) -> None:
        self.db, self.lease, self.stall = db, lease, stall
        self._held: list[_Held] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._last = time.monotonic()
        self._away = False

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._stop.set()

    @contextmanager
    def guard(self, work: Work, claims: Sequence[steps.Claim]) -> Iterator[Work]:
        """While inside, the leases of `claims` are renewed as long as `work` gets on; else it is cancelled."""
        held = _Held(work, claims)
        with self._lock:
            self._held.append(held)
        try:
            yield work
        finally:
            with self._lock:
                self._held.remove(held)

    def keep(self, work: Work, claims: Sequence[steps.Claim]) -> None:
        """From now on keep `claims` for `work`, in place of those it was begun with."""
        with self._lock:
            for held in self._held:
                if held.work is work:
                    held.claims = list(claims)

    def look(self) -> None:
        """Renew once what gets on, and cancel what doesn't or what was taken from us."""
        lease, stall = self.lease(), self.stall().total_seconds()
        now = time.monotonic()
        # This process may itself have been stopped: time in which the keeper did not watch is not held against a work.
        passed, self._last = min(now - self._last, 2 * self._pause()), now
        with self._lock:
            works = [(held, list(held.claims)) for held in self._held if not held.work.cancelled]
        going = []
        for held, claims in works:
            progress = held.work.progress()
            held.idle = 0.0 if progress > held.progress else held.idle + passed
            held.progress = progress
            if held.idle > stall:
                log.warning("no progress, broken off", extra={"work": held.work.name, "seconds": round(held.idle)})
                held.work.cancel(f"no progress for {round(held.idle)} s")
            elif claims:
                going.append((held, claims))
        if going:
            self._renew(going, lease)

    def _renew(self, going: Sequence[tuple[_Held, list[steps.Claim]]], lease: timedelta) -> None:
        asked = sorted({claim for _, claims in going for claim in claims})
        with self.db.write() as session:
            kept = {(c.table, c.id, c.epoch) for c in steps.renew(session, asked, lease)}
            missing = [c for c in asked if (c.table, c.id, c.epoch) not in kept]
            lost = set(_overtaken(session, missing))
        for held, claims in going:
            with self._lock:
                if held.claims != claims:
                    continue  # the daemon has changed them meanwhile: look again next time
                held.claims = [c for c in claims if c not in missing]
            taken = [f"{c.table} {c.id}" for c in claims if c in lost]
            if taken:
                log.warning("lease lost, work broken off", extra={"work": held.work.name, "rows": ", ".join(taken)})
                held.work.cancel(f"the lease on {', '.join(taken)} was lost")

    def _pause(self) -> float:
        return max(0.05, self.lease().total_seconds() / 4)

    def _run(self) -> None:
        while not self._stop.wait(self._pause()):
            try:
                self.look()
                self._away = False
            except Exception:  # the database is away: leases run out, and epochs keep us from harm
                if not self._away:
                    log.warning("leases can't be renewed", exc_info=True)
                self._away = True


def _overtaken(session: Session, missing: Sequence[steps.Claim]) -> list[steps.Claim]:
    """Those of `missing` whose epoch has risen. The others' lease was ended by their own holder, who is done."""
    by_name = worked_models()
    now = {
        (found.table, found.id): found.epoch
        for table in {c.table for c in missing}
        for found in steps.look(session, by_name[table], [c.id for c in missing if c.table == table], lock=False)
    }
    return [c for c in missing if now.get((c.table, c.id)) != c.epoch]


def release_own(db: Database) -> int:
    """Give back all that this process still holds; returns how many rows."""
    with db.write() as session:
        return sum(steps.release_of(session, model, actor()) for model in worked_models().values())


def release_dead(db: Database, name: str, alive: Callable[[int], bool] = lambda pid: stat(pid) is not None) -> int:
    """Give back what instances of daemon `name` on this host hold whose process is gone; returns how many rows.

    Call it before this process takes its first claim: what stands under its own actor is of a predecessor that had
    the same pid. Without it these rows would wait until their leases run out.
    """
    mine = re.compile(re.escape(f"{name}@{this_host()}:") + r"(\d+)")
    count = 0
    for model in worked_models().values():
        with db.read() as session:
            held = select(model.leased_by).where(model.lease_until.is_not(None)).distinct()
            holders = [holder for holder in session.scalars(held) if holder is not None]
        for holder in holders:
            match = mine.fullmatch(holder)
            if match and (holder == actor() or not alive(int(match[1]))):
                with db.write() as session:
                    given = steps.release_of(session, model, holder)
                count += given
                log.info("leases of a dead process given back", extra={"holder": holder, "rows": given})
    return count
