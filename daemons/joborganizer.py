"""JobOrganizer: decides what has to be done with a run, and opens what a gate held back. One lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..config.errors import OndeckError
from ..config.listeners import Listener
from ..config.modules import Module
from ..db.errors import LeaseLost
from ..db.insert import born, insert_new
from ..db.models import Job, Run
from ..db.states import JobStatus, RunStatus
from ..db.steps import Claim, advance, advance_one, claim, due, hold_on, release
from ..rules.gates import job_gates
from ..sites.render import Renderer
from .base import Daemon, Lane
from .blocking import block, unblock
from .copies import raw_copy

_BATCH = 50
_LOOK_AHEAD = 1000


class NoListener(OndeckError):
    """its listener {listener} is not in ondeck.toml any more."""


class NoModule(OndeckError):
    """its listener {listener} names the module {module}, which is not in ondeck.toml."""


class JobOrganizer(Daemon):
    """Makes the jobs of runs on deck, with their job options, and moves blocked jobs to new."""

    name = "JobOrganizer"

    def lanes(self) -> Sequence[str]:
        """One: it only works on the database."""
        return ["runs"]

    def step(self, lane: Lane) -> int:
        """Organise runs on deck, then open blocked jobs."""
        return self._organise(lane) + self._open_blocked(lane)

    def plan(self, lane: Lane) -> Iterator[str]:
        """Say which jobs would be made, with their job options."""
        del lane
        with self.db.read() as session:
            runs = session.scalars(
                select(Run).where(text("status = 'ondeck'"), Run.listener.is_not(None)).order_by(Run.id)
            )
            for run in runs.all():
                try:
                    rows = self._jobs(session, run)
                except OndeckError as error:
                    yield f"fail {run.name}: {error}"
                    continue
                if not rows:
                    yield f"{run.name}: no module wants it"
                for row in rows:
                    yield f"make job {run.name} {row['module']} ({row['status']})\n{row['options']}"

    # ---- runs on deck ----

    def _organise(self, lane: Lane) -> int:
        with self.db.read() as session:
            if not self._waiting(session):
                return 0
        with self.db.write() as session:
            claims = claim(
                session,
                Run,
                RunStatus.ONDECK,
                _BATCH,
                lease=self.settings.lease,
                where="listener IS NOT NULL",
            )
        for one in claims:
            try:
                with self.db.write() as session:
                    hold_on(session, [one])
                    self._organise_one(session, lane, one)
            except LeaseLost:
                lane.log.warning("overtaken", extra={"row": one.id})
            except OndeckError as error:  # a template or the configuration: a person must look
                with self.db.write() as session:
                    advance(session, [one], RunStatus.FAILED, str(error), failed_from=RunStatus.ONDECK)
                lane.log.warning("run can't be organised", extra={"row": one.id, "why": str(error)})
        return len(claims)

    def _waiting(self, session: Session) -> bool:
        query = (
            "SELECT 1 FROM runs WHERE status = 'ondeck' AND listener IS NOT NULL"
            f" AND {due(self.db.dialect)} LIMIT 1"
        )
        return session.execute(text(query)).first() is not None

    def _organise_one(self, session: Session, lane: Lane, one: Claim) -> None:
        run = session.get_one(Run, one.id)
        rows = self._jobs(session, run)
        made = insert_new(session, Job, rows, ["run_id", "module", "pass", "part"])
        if rows:
            words = f"jobs: {', '.join(dict.fromkeys(row['module'] for row in rows))}"
            advance_one(session, one, RunStatus.PROCESSING, words, tries=0)
        else:
            advance_one(session, one, RunStatus.PROCESSED, "no module wants it", tries=0)
        lane.log.info("run organised", extra={"run": run.name, "jobs": len(made)})

    def _jobs(self, session: Session, run: Run) -> list[dict[str, Any]]:
        """The rows of all jobs that the run's listener asks for."""
        listener = self.config.listeners.get(run.listener or "")
        if listener is None:
            raise NoListener(listener=run.listener)
        rows = []
        for name in listener.modules:
            module = self.config.modules.get(name)
            if module is None:
                raise NoModule(listener=listener.name, module=name)
            rows.append(self._job(session, run, listener, module))
        return rows

    def _job(self, session: Session, run: Run, listener: Listener, module: Module) -> dict[str, Any]:
        few = (
            (run.events is not None
            and run.events < listener.min_events)
            or (run.events is None
            and listener.min_events > 0)
        )
        validation = "WAITING" if module.needs_validation or few else "NONE"
        why = (
            f"only {run.events} events, {listener.min_events} are expected"
            if few
            else f"module {module.name} wants a go"
        )
        row: dict[str, Any] = {
            "run_id": run.id,
            "module": module.name,
            "pass_": 0,
            "part": 0,
            "validation": validation,
            "settings": module.model_dump(mode="json", by_alias=True),
            "options": self._options(session, run, listener, module),
            "software_version": module.version,
            "site": module.site,
            "walltime": int(module.walltime.total_seconds()),
            "priority": run.priority,
            "status": JobStatus.WAITING if validation == "WAITING" else JobStatus.BLOCKED,
            **born(f"{why}: say go with StartJob" if validation == "WAITING" else "made"),
        }
        return row

    def _options(self, session: Session, run: Run, listener: Listener, module: Module) -> str:
        """The job's script, rendered from the module's template."""
        copy = raw_copy(session, run.id, listener.storage) if listener.storage else None
        place = self.config.storages[listener.storage].path / copy.path if listener.storage and copy else None
        facts = {
            "name": run.name,
            "number": run.number,
            "source": run.source,
            "run_type": run.run_type,
            "events": run.events,
            "nbytes": run.nbytes,
            "start": run.started_at,
            "stop": run.stopped_at,
            "params": run.params,
        }
        job = {"pass": 0, "pass_": 0, "part": 0, "module": module.name}
        about = {"name": module.name, "version": module.version, "options": module.options, "env": module.env}
        variables = {"run": facts, "module": about, "job": job, "input": str(place) if place else ""}
        return Renderer(self.config.template_folders).render(module.template, variables)

    # ---- blocked jobs ----

    def _open_blocked(self, lane: Lane) -> int:
        """Ask the gates of blocked jobs again, and move those whose gates are open to new."""
        with self.db.read() as session:
            pairs = self._blocked(session)
            answers = {job.id: job_gates(session, self.config, job, run) for job, run in pairs}
            news = [job.id for job, _ in pairs if (c := answers[job.id]) and c.gate != job.blocked_by]
            ready = [job.id for job, _ in pairs if answers[job.id] is None]
        if news:
            with self.db.write() as session:
                for job in session.scalars(
                    select(Job).where(Job.id.in_(news), Job.status == JobStatus.BLOCKED)
                ):
                    closed = answers[job.id]
                    if closed is not None:
                        block(session, job, closed)
        moved = 0
        for start in range(0, len(ready), _BATCH):
            moved += self._open(ready[start : start + _BATCH])
        if moved:
            lane.log.info("gates are open", extra={"jobs": moved})
        return moved

    def _blocked(self, session: Session) -> list[tuple[Job, Run]]:
        """Blocked jobs, some of each site, so that those of a paused one don't stand in the way of others."""
        found: list[tuple[Job, Run]] = []
        for site in (*(Job.site == name for name in self.config.sites), Job.site.not_in(list(self.config.sites))):
            query = (
                select(Job, Run)
                .join(Run, Run.id == Job.run_id)
                .where(text("jobs.status = 'blocked'"), site, Run.status == RunStatus.PROCESSING)
                .order_by(Job.priority.desc(), Job.id)
                .limit(_LOOK_AHEAD)
            )
            found += [(job, run) for job, run in session.execute(query)]
        return sorted(found, key=lambda pair: (-pair[0].priority, pair[0].id))

    def _open(self, ids: list[int]) -> int:
        listed = ", ".join(str(i) for i in ids)
        with self.db.write() as session:
            claims = claim(
                session,
                Job,
                JobStatus.BLOCKED,
                len(ids),
                lease=self.settings.lease,
                where=f"id IN ({listed})",
            )
            moved = []
            for one in claims:
                job = session.get_one(Job, one.id)
                if job_gates(session, self.config, job, session.get_one(Run, job.run_id)) is None:
                    unblock(session, job)
                    moved.append(one)
            release(session, [c for c in claims if c not in moved])
            return len(advance(session, moved, JobStatus.NEW, "its gates are open"))
