"""What follows from what was seen of attempts: on their rows, at the batch system, and at the attempt's own claim."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Config
from ..db.actor import actor
from ..db.clock import database_time
from ..db.engine import Database
from ..db.states import JobStatus
from ..db.steps import Claim, advance, release
from ..sites.attempts import Place, publish, revoke, tail
from ..sites.batch import BatchSystem
from ..sites.batch.reconcile import Conclusion, What
from ..sites.errors import Machinery
from ..sites.quote import shown
from ..sites.transport import Transport
from ..sites.work import Work
from .attemptrows import OpenAttempt, set_columns, set_many
from .base import Lane
from .settling import Settler

_SECONDS = 120.0

News = tuple[Claim, OpenAttempt, Conclusion]
"""What was concluded of an attempt, under the claim of its job."""


class Consequences:
    """Draws them, at one site: what goes its usual way for all attempts together, else for one after the other."""

    def __init__(self, config: Config, db: Database, system: BatchSystem) -> None:
        self.db, self.system = db, system
        self.settler = Settler(config)

    def draw(self, lane: Lane, news: Sequence[News], transport: Transport, place: Place, work: Work) -> int:
        """Do what follows; returns how many jobs moved."""
        moved = self._follow([one for one in news if one[2].what is What.FOLLOW])
        moved += self._done(lane, [one for one in news if _went_well(one)], transport, place, work)
        for c, one, conclusion in news:
            if conclusion.what is What.FOLLOW or _went_well((c, one, conclusion)):
                continue
            try:
                moved += self._do(lane, c, one, conclusion, transport, place, work)
            except Machinery as error:
                lane.log.warning("attempt can't be dealt with", extra={"run": one.run.name, "why": str(error)})
                with self.db.write() as session:
                    release(session, [c])
        return moved

    def _do(
        self,
        lane: Lane,
        c: Claim,
        one: OpenAttempt,
        conclusion: Conclusion,
        transport: Transport,
        place: Place,
        work: Work,
    ) -> int:
        match conclusion.what:
            case What.MISSED:
                return self._missed(c, one)
            case What.ADOPT:
                with self.db.write() as session:
                    if release(session, [c]):
                        set_columns(session, one.attempt.id, token=conclusion.token, batch_id=None)
                lane.log.warning("attempt adopted", extra={"run": one.run.name, "token": conclusion.token})
                return 1
            case What.CANCEL | What.REVOKE | What.GIVE_UP:
                return self._take_away(lane, c, one, conclusion, transport, place, work)
            case What.LOST:
                with self.db.write() as session:
                    return self.settler.lost(session, c, one, conclusion.words)
            case What.ENDED | What.DIED:
                return self._ended(lane, c, one, conclusion, transport, place, work)
            case _:
                return 0

    def _follow(self, news: Sequence[News]) -> int:
        """What the batch system says of attempts that wait or run; returns how many jobs moved."""
        if not news:
            return 0
        words, to = {}, {}
        for c, _, conclusion in news:
            seen = conclusion.seen
            assert seen is not None
            words[c.id] = f"the batch system says {seen.word or seen.state}"
            to[c.id] = JobStatus.RUNNING if conclusion.running else JobStatus.PENDING
            if c.status in (JobStatus.WAITING, JobStatus.RUNNING):
                to[c.id] = JobStatus(c.status)  # a payload that has begun never waits again
        with self.db.write() as session:
            held = release(session, [c for c, _, _ in news if to[c.id] == c.status])
            moved = []
            for status in (JobStatus.PENDING, JobStatus.RUNNING):
                stepping = [c for c, _, _ in news if to[c.id] == status != c.status]
                moved += advance(session, stepping, status, words) if stepping else []
            ours, now = {c.id for c in (*held, *moved)}, database_time(session)
            columns = {}
            for c, one, conclusion in news:
                seen = conclusion.seen
                if seen is not None and c.id in ours:
                    columns[one.attempt.id] = {
                        "batch_id": seen.batch_id or one.attempt.batch_id,
                        "state": seen.word,
                        "pending_reason": seen.reason,
                        "misses": 0,
                        "missed_since": None,
                        "started_at": one.attempt.started_at or (now if to[c.id] == JobStatus.RUNNING else None),
                        "submitted_at": one.attempt.submitted_at or now,
                    }
            set_many(session, columns)
        return len(moved)

    def _done(self, lane: Lane, news: Sequence[News], transport: Transport, place: Place, work: Work) -> int:
        """Payloads have ended well, by their exit files; returns how many jobs are done."""
        if not news:
            return 0
        with self.db.write() as session:
            ended = [(c, one, conclusion.exit) for c, one, conclusion in news if conclusion.exit is not None]
            done = self.settler.done(session, ended)
        links = []
        for one in done:
            extra = {"run": one.run.name, "module": one.job.module, "attempt": one.attempt.number}
            lane.log.info("attempt ended", extra={**extra, "status": JobStatus.DONE})
            folder = one.attempt.directory.rpartition("/")[0]
            links.append((f"{folder}/published", one.attempt.directory))
        try:
            publish(transport, links, place=place, work=work)
        except Machinery as error:  # it is done again when their runs are concluded
            lane.log.warning("outputs can't be published yet", extra={"why": str(error), "attempts": len(links)})
        return len(done)

    def _missed(self, c: Claim, one: OpenAttempt) -> int:
        with self.db.write() as session:
            if release(session, [c]):
                since = one.attempt.missed_since or database_time(session)
                set_columns(session, one.attempt.id, misses=one.attempt.misses + 1, missed_since=since)
        return 0

    def _take_away(
        self,
        lane: Lane,
        c: Claim,
        one: OpenAttempt,
        conclusion: Conclusion,
        transport: Transport,
        place: Place,
        work: Work,
    ) -> int:
        """Cancel what is seen, and take the claim: whoever has that decides whether the payload can ever start."""
        attempt, words = one.attempt, conclusion.words
        if conclusion.what is What.CANCEL or conclusion.seen is not None:
            result = transport.run(self.system.cancel([(attempt.token, attempt.batch_id)]), timeout=_SECONDS, work=work)
            trouble = self.system.parse_cancel(result)
            lane.log.info(
                "cancelled at the batch system",
                extra={"run": one.run.name, "token": attempt.token, "trouble": trouble},
            )
        answer = revoke(transport, [attempt.directory], actor(), place=place, work=work)[0]
        if answer.outcome in ("taken", "process"):
            with self.db.write() as session:
                return self.settler.given_up(session, c, one, words, conclusion.verdict)
        with self.db.write() as session:  # it has started, or we don't know: look again
            release(session, [c])
        if answer.outcome == "failed":
            lane.log.warning("claim can't be taken", extra={"run": one.run.name, "why": answer.words})
        return 0

    def _ended(
        self,
        lane: Lane,
        c: Claim,
        one: OpenAttempt,
        conclusion: Conclusion,
        transport: Transport,
        place: Place,
        work: Work,
    ) -> int:
        """The payload has ended: by its exit file, or by the batch system's verdict on this very start."""
        good = conclusion.exit is not None and conclusion.exit.code == 0
        said = ""
        if not good:
            end = tail(transport, one.attempt.directory, work=work)
            said = _last_words(end.stderr) or _last_words(end.stdout)
        with self.db.write() as session:
            status = self.settler.ended(session, c, one, conclusion.exit, conclusion.verdict, said)
        extra = {
            "run": one.run.name,
            "module": one.job.module,
            "attempt": one.attempt.number,
            "status": status,
        }
        lane.log.info("attempt ended", extra=extra)
        return int(status is not None)


def _went_well(news: News) -> bool:
    """Whether the payload has ended well, and nobody wants anything else of the job."""
    _, one, conclusion = news
    good = conclusion.exit is not None and conclusion.exit.code == 0
    return conclusion.what is What.ENDED and good and not one.job.wanted


def _last_words(raw: bytes) -> str:
    """The last lines that a payload wrote, for the row's reason."""
    lines = [line for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(shown(line) for line in lines[-8:])
