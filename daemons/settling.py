"""What becomes of a job when one of its attempts has ended: the rules, in one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from ..config import Config
from ..config.units import format_duration
from ..db.clock import database_time
from ..db.states import JobStatus
from ..db.steps import Claim, advance
from ..rules.breaker import trouble, worked
from ..rules.trouble import back_off, wait_after
from ..sites.attempts import ExitFile
from ..sites.batch import Verdict
from .attemptrows import OpenAttempt, moment, set_columns, set_many

_WANTED = {"reset": JobStatus.NEW, "hold": JobStatus.WAITING, "cancel": JobStatus.CANCELLED}


class Settler:
    """Moves jobs whose attempts have ended. All methods work in the caller's transaction, under the job's claim."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def ended(
        self,
        session: Session,
        c: Claim,
        one: OpenAttempt,
        exit_file: ExitFile | None,
        verdict: Verdict | None,
        said: str,
    ) -> JobStatus | None:
        """The payload has ended. Returns the job's status then; None when we were overtaken."""
        good = exit_file is not None and exit_file.code == 0
        words = "" if good else _words(exit_file, verdict, said, one.job.walltime)
        if one.job.wanted:
            moved, to = self._as_wanted(session, c, one, words or "it had ended well, but was not to be published")
        elif exit_file is not None and good:
            return JobStatus.DONE if self.done(session, [(c, one, exit_file)]) else None
        else:
            moved, to = self._failure(session, c, one, words)
        if not moved:
            return None
        self._close(session, one, exit_file, verdict, words)
        worked(session, one.job.site)
        return to

    def done(self, session: Session, ended: Sequence[tuple[Claim, OpenAttempt, ExitFile]]) -> list[OpenAttempt]:
        """The payloads have ended well, and nobody wants anything else: returns those whose job is done."""
        moved = advance(
            session,
            [c for c, _, _ in ended],
            JobStatus.DONE,
            {c.id: f"attempt {one.attempt.number} ended with exit code 0" for c, one, _ in ended},
            each={c.id: {"published_attempt": one.attempt.number} for c, one, _ in ended},
            result="OK",
            tries=0,
            failures=0,
        )
        there, now = {c.id for c in moved}, database_time(session)
        done = [(one, exit_file) for c, one, exit_file in ended if c.id in there]
        for site in {one.job.site for one, _ in done}:
            worked(session, site)
        set_many(session, {one.attempt.id: _columns(one, exit_file, None, "", now) for one, exit_file in done})
        return [one for one, _ in done]

    def given_up(self, session: Session, c: Claim, one: OpenAttempt, words: str, verdict: Verdict | None) -> int:
        """The attempt has never started and never can: machinery's fault, or a person's wish."""
        if one.job.wanted:
            moved, _ = self._as_wanted(session, c, one, words)
        else:
            trial = trouble(session, self.config, one.job.site, f"jobs {c.id}", words)
            moved = back_off(
                session,
                c,
                JobStatus.NEW,
                f"attempt {one.attempt.number} was given up: {words}",
                self.config.retry,
                give_up=JobStatus.FAILED,
                free=trial,
                given_up={"result": "FAILED"},
            )
        if moved:
            ended = {
                "ended_at": database_time(session),
                "verdict": "revoked",
                "words": words or (verdict.words if verdict else ""),
            }
            set_columns(session, one.attempt.id, **ended)
        return len(moved)

    def lost(self, session: Session, c: Claim, one: OpenAttempt, words: str) -> int:
        """The payload has started and nothing says how it ended: a person must look, unless it may run twice."""
        if one.job.settings.get("idempotent"):
            said = f"attempt {one.attempt.number} is lost: {words}; it may run twice"
            if one.job.wanted:
                moved, _ = self._as_wanted(session, c, one, said)
            else:
                failed = {"result": "FAILED"}
                retry = self.config.retry
                moved = back_off(session, c, JobStatus.NEW, said, retry, give_up=JobStatus.FAILED, given_up=failed)
            if moved:
                set_columns(session, one.attempt.id, ended_at=database_time(session), verdict="lost", words=words)
            return len(moved)
        host = one.attempt.host or "an unknown host"
        return len(
            advance(
                session,
                [c],
                JobStatus.WAITING,
                f"attempt {one.attempt.number} may still run on {host}: {words}",
            )
        )

    def _as_wanted(self, session: Session, c: Claim, one: OpenAttempt, words: str) -> tuple[list[Claim], JobStatus]:
        wanted = one.job.wanted
        to = _WANTED[wanted]
        columns: dict[str, Any] = {"wanted": "", "tries": 0, "failures": 0, "not_before": None}
        if wanted == "hold":
            columns["validation"] = "WAITING"
        reason = f"{wanted} was wanted; attempt {one.attempt.number}: {words}" if words else f"{wanted} was wanted"
        return advance(session, [c], to, reason, **columns), to

    def _failure(self, session: Session, c: Claim, one: OpenAttempt, words: str) -> tuple[list[Claim], JobStatus]:
        """The payload failed: one failure is used up."""
        failures = one.job.failures + 1
        most = int(one.job.settings.get("max_failures", 1))
        if failures >= most:
            reason = f"attempt {one.attempt.number} failed, and no failure is left ({failures} of {most}): {words}"
            return advance(session, [c], JobStatus.FAILED, reason, failures=failures, result="FAILED"), JobStatus.FAILED
        reason = f"attempt {one.attempt.number} failed ({failures} of {most}): {words}"
        delay = wait_after(self.config.retry, failures)
        return advance(session, [c], JobStatus.NEW, reason, failures=failures, delay=delay), JobStatus.NEW

    @staticmethod
    def _close(
        session: Session, one: OpenAttempt, exit_file: ExitFile | None, verdict: Verdict | None, words: str
    ) -> None:
        now = database_time(session)
        set_columns(session, one.attempt.id, **_columns(one, exit_file, verdict, words, now))


def _columns(
    one: OpenAttempt, exit_file: ExitFile | None, verdict: Verdict | None, words: str, now: datetime
) -> dict[str, Any]:
    """The columns of an attempt that has ended."""
    columns: dict[str, Any] = {
        "words": words,
        "verdict": verdict.kind if verdict else "exited",
        "ended_at": now,
    }
    if exit_file is not None:
        columns |= {
            "exit_code": exit_file.code,
            "signal": exit_file.signal,
            "host": exit_file.host,
            "cpu_seconds": exit_file.cpu,
            "started_at": moment(exit_file.started) or one.attempt.started_at,
            "ended_at": moment(exit_file.ended) or now,
            "verdict": exit_file.reason or ("signalled" if exit_file.signal else "exited"),
        }
    elif verdict is not None:
        columns |= {"exit_code": verdict.code, "signal": verdict.signal}
    return columns


def _words(exit_file: ExitFile | None, verdict: Verdict | None, said: str, walltime: int | None) -> str:
    if exit_file is not None and exit_file.reason == "walltime":
        limit = f" of {format_duration(timedelta(seconds=walltime))}" if walltime else ""
        how = f"exceeded its walltime{limit} on {exit_file.host}"
    elif exit_file is not None:
        how = f"killed by signal {exit_file.signal}" if exit_file.signal else f"exit code {exit_file.code}"
        how += f" on {exit_file.host}"
    else:
        how = verdict.words if verdict else "ended"
    return f"{how}\n{said}" if said else how
