"""The following half of Process: asks the batch system about all open attempts at once, and draws the conclusions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from ..config import Config
from ..db.clock import database_time, later_sql, now_sql
from ..db.engine import Database
from ..db.insert import insert_new
from ..db.models import Job
from ..db.states import JobStatus
from ..db.steps import Claim, claim, release
from ..db.tables import Site
from ..sites.attempts import GarbledFile, Look, Place, UnreadableFile, look
from ..sites.batch import BatchSystem, Snapshot
from ..sites.batch.reconcile import Conclusion, Files, Open, Patience, What, conclude
from ..sites.transport import Transport
from .attemptrows import OpenAttempt, batch_of, open_attempts
from .base import Lane
from .consequences import Consequences

_SECONDS = 120.0


class Follower:
    """Follows the attempts of one site."""

    def __init__(self, config: Config, db: Database, site: str, system: BatchSystem, lease: timedelta) -> None:
        self.config, self.db, self.site, self.system, self.lease = config, db, site, system, lease
        batch = batch_of(config, site)
        self.pause = batch.poll
        self.patience = Patience(batch.grace, batch.lost_after)
        self.consequences = Consequences(config, db, system)

    def step(self, lane: Lane, transport: Transport, place: Place) -> int:
        """Ask once about all open attempts, when it is time; returns how many rows moved."""
        with self.db.read() as session:
            if not open_attempts(session, self.site):
                return 0
        if not self._our_turn(lane):
            return 0
        with self.db.read() as session:
            attempts = open_attempts(session, self.site)
            now = database_time(session)
        with lane.guard([], f"poll of {self.site}") as work:
            snapshot = self.system.parse_poll(
                transport.run(self.system.poll(), timeout=_SECONDS, work=work),
                [a.attempt.token for a in attempts],
            )
            if not snapshot.ok:
                lane.log.warning("the batch system gave no answer", extra={"why": snapshot.words})
            looks = look(transport, [a.attempt.directory for a in attempts], place=place, work=work)
        news = []
        for one, files in zip(attempts, looks, strict=True):
            conclusion = self._conclude(lane, one, files, snapshot, now)
            if conclusion is not None and self._is_news(one, conclusion):
                news.append((one, conclusion))
        return self._act(lane, news, transport, place) if news else 0

    def _our_turn(self, lane: Lane) -> bool:
        """Whether nobody has asked within the pause between two questions; if so, it is written down that we do."""
        seconds, dialect = self.pause.total_seconds(), self.db.dialect
        now = now_sql(dialect)
        lane.again(seconds)
        with self.db.write() as session:
            insert_new(session, Site, [{"name": self.site}], ["name"])
            turn = session.execute(
                text(
                    f"UPDATE sites SET polled_at = {now} WHERE name = :site AND (polled_at IS NULL"
                    f" OR polled_at <= {later_sql(dialect, 'ago')} OR polled_at > {now}) RETURNING name"
                ),
                {"site": self.site, "ago": -seconds},
            ).first()
        return turn is not None

    def _conclude(
        self, lane: Lane, one: OpenAttempt, files: Look, snapshot: Snapshot, now: datetime
    ) -> Conclusion | None:
        attempt, job = one.attempt, one.job
        try:
            there = Files(files.token, files.claim, files.exit)
        except (GarbledFile, UnreadableFile) as error:
            lane.log.warning("attempt's files can't be read", extra={"run": one.run.name, "why": str(error)})
            return None
        state = Open(
            attempt.token,
            attempt.batch_id,
            attempt.submitted_at or attempt.created_at,
            job.wanted,
            job.status == JobStatus.WAITING,
            attempt.missed_since,
            attempt.misses,
        )
        return conclude(state, there, snapshot, self.system, now, self.patience)

    @staticmethod
    def _is_news(one: OpenAttempt, conclusion: Conclusion) -> bool:
        """Whether the database doesn't say so already."""
        if conclusion.what is What.NOTHING:
            return False
        if conclusion.what is not What.FOLLOW:
            return True
        seen, attempt = conclusion.seen, one.attempt
        assert seen is not None
        status = JobStatus.RUNNING if conclusion.running else JobStatus.PENDING
        said = attempt.state == seen.word and (attempt.pending_reason or "") == seen.reason and attempt.misses == 0
        return (
            not said or attempt.batch_id is None or one.job.status not in (status, JobStatus.WAITING, JobStatus.RUNNING)
        )

    def _act(
        self, lane: Lane, news: Sequence[tuple[OpenAttempt, Conclusion]], transport: Transport, place: Place
    ) -> int:
        """Claim the jobs that there is news about, and do what follows from it."""
        with self.db.write() as session:
            claims: dict[int, Claim] = {}
            for status in {one.job.status for one, _ in news}:
                listed = ", ".join(str(one.job.id) for one, _ in news if one.job.status == status)
                for c in claim(session, Job, status, len(news), lease=self.lease, where=f"id IN ({listed})"):
                    claims[c.id] = c
            still = {
                o.attempt.id: o
                for o in open_attempts(session, self.site, ids=[o.attempt.id for o, _ in news], held=True)
            }
            kept = []
            for one, conclusion in news:
                fresh = still.get(one.attempt.id)
                if one.job.id in claims and fresh is not None and fresh.attempt.token == one.attempt.token:
                    kept.append((claims.pop(one.job.id), fresh, conclusion))
            release(session, list(claims.values()))
        with lane.guard([c for c, _, _ in kept], f"attempts at {self.site}") as work:
            return self.consequences.draw(lane, kept, transport, place, work)
