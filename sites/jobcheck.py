"""A job of one second, followed to its end: what Process does, without a row in the run database."""

from __future__ import annotations

import secrets
import time

from ..config.finding import Finding
from .attempts import Look, Place, Preparation, look, make_token, prepare, revoke, tail, wrapper
from .batch import BatchSystem, JobSpec, JobState, Rejected, Snapshot, Submitted
from .command import Command
from .errors import Machinery
from .quote import shown
from .transport import NoSuchFile, Transport

PAYLOAD = b"""#!/bin/sh
sleep 1
printf 'seen by %s\\n' "$(uname -n)" >"$ONDECK_OUTPUT/seen"
"""
SECONDS = 60.0
GLANCE = 0.5
SUBJECT = "job"


class JobCheck:
    """One such job. `wait`: seconds that it may take, waiting in the queue included."""

    def __init__(
        self,
        transport: Transport,
        system: BatchSystem,
        place: Place,
        prefix: str,
        *,
        wait: float,
        queue: str | None = None,
    ) -> None:
        self.transport, self.system, self.place, self.wait, self.queue = transport, system, place, wait, queue
        self.token = make_token(prefix)
        self.folder = f"{place.root}/.ondeck-check-{secrets.token_hex(8)}"
        self.directory = f"{self.folder}/job"

    def run(self) -> Finding:
        """Submit it, follow it, look at what it has left, and remove that. Raises what the transport raises."""
        trouble = self._prepare()
        if trouble:
            return Finding("fail", SUBJECT, f"its directory can't be made: {trouble}", "See the checks above")
        live = False
        try:
            spec = JobSpec(self.token, self.directory, queue=self.queue)
            submission = self.system.parse_submit(self.transport.run(self.system.submit(spec), timeout=SECONDS))
            if isinstance(submission, Rejected):
                todo = "Mend the options of [sites.NAME.batch]"
                return Finding("fail", SUBJECT, f"{self.system.name} refused it: {submission.words}", todo)
            live = True
            if not isinstance(submission, Submitted):
                return Finding("fail", SUBJECT, f"not known whether it was submitted: {submission.words}", "Try again")
            began = time.monotonic()
            seen, last = self._follow(began)
            live = seen.exit is None
            return self._verdict(seen, last, submission.batch_id, time.monotonic() - began)
        finally:
            if self._over(live):
                self.transport.run(Command(("rm", "-rf", "--", self.folder), name="remove the check"), timeout=SECONDS)

    def _prepare(self) -> str:
        made = self.transport.run(Command(("mkdir", "--", self.folder), name="make a directory"), timeout=SECONDS)
        if made.code:
            return shown(made.err[:300]) or f"exit code {made.code}"
        script = wrapper(self.directory, self.token, identity=self.system.identity)
        files = {"wrapper.sh": script, "payload.sh": PAYLOAD}
        (done,) = prepare(self.transport, [Preparation(self.directory, self.token, files)], place=self.place)
        return "" if done.outcome == "made" else done.words or done.outcome

    def _follow(self, began: float) -> tuple[Look, Snapshot | None]:
        """Until the exit file is there, or the time is over."""
        last: Snapshot | None = None
        while True:
            last = self.system.parse_poll(self.transport.run(self.system.poll(), timeout=SECONDS), [self.token])
            (seen,) = look(self.transport, [self.directory], place=self.place)
            if seen.exit is not None or time.monotonic() - began > self.wait:
                return seen, last
            time.sleep(GLANCE)

    def _verdict(self, seen: Look, last: Snapshot | None, batch_id: str, seconds: float) -> Finding:
        name = f"{self.system.name} job {batch_id}"
        if seen.exit is None:
            jobs = last.jobs.get(self.token, ()) if last else ()
            shows = ", ".join(f"{one.state} {one.word} {one.reason}".strip() for one in jobs)
            if last is not None and not last.ok:
                return Finding("fail", SUBJECT, f"{name}: the batch system can't be asked: {last.words}", "Try again")
            if seen.claim is None and any(one.state in (JobState.PENDING, JobState.HELD) for one in jobs):
                words = f"{name} waits in the queue since {seconds:.0f} s ({shows}); it was cancelled"
                return Finding("fail", SUBJECT, words, "Try again later, or with a longer --wait")
            if seen.claim is None:
                words = f"{name} did not start within {seconds:.0f} s (the batch system shows: {shows or 'nothing'})"
                return Finding("fail", SUBJECT, words, "Do the batch system's nodes see the work directory?")
            return Finding("fail", SUBJECT, f"{name} has started, and not ended within {seconds:.0f} s", "Try again")
        if seen.exit.code:
            words = tail(self.transport, self.directory).stderr.decode("utf-8", "replace").strip()[-300:]
            return Finding("fail", SUBJECT, f"{name} ended with {seen.exit.code}: {words}", "See what it says")
        try:
            left = self.transport.get(f"{self.directory}/output/seen").decode("utf-8", "replace").strip()
        except NoSuchFile:
            return Finding("fail", SUBJECT, f"{name} has left no output", "Do all machines see one work directory?")
        return Finding("ok", SUBJECT, f"{name} ran and ended within {seconds:.1f} s, {shown(left)}")

    def _over(self, live: bool) -> bool:
        """Whether nothing of the job is left that could still write; ends what is."""
        try:
            if live:
                self.transport.run(self.system.cancel([(self.token, None)]), timeout=SECONDS)
                revoke(self.transport, [self.directory], "site check", place=self.place)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                snapshot = self.system.parse_poll(self.transport.run(self.system.poll(), timeout=SECONDS), [self.token])
                states = [one.state for one in snapshot.jobs.get(self.token, ())]
                if snapshot.ok and all(state is JobState.ENDED for state in states):
                    return True
                time.sleep(GLANCE)
        except Machinery:
            return False
        return False
