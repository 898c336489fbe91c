"""Rows of the jobs that a run's listener asks for, with their job options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from ..config import Config
from ..config.errors import OndeckError
from ..config.listeners import Listener
from ..config.modules import Module
from ..db.insert import born
from ..db.models import Copy, Run
from ..db.states import JobStatus
from ..sites.render import Renderer
from .copies import raw_copies


class NoListener(OndeckError):
    """its listener {listener} is not in ondeck.toml any more."""


class NoModule(OndeckError):
    """its listener {listener} names the module {module}, which is not in ondeck.toml."""


class JobRows:
    """Makes the rows of the jobs of some runs. Templates are read once, as they are now."""

    def __init__(self, config: Config, session: Session, runs: Sequence[Run]) -> None:
        self.config = config
        self._renderer = Renderer(config.template_folders, keep=True)
        self._settings = {m.name: m.model_dump(mode="json", by_alias=True) for m in config.modules.values()}
        storages = {one.storage for one in config.listeners.values() if one.storage}
        ids = [run.id for run in runs]
        self._copies: dict[str, dict[int, Copy]] = {name: raw_copies(session, ids, name) for name in storages}

    def of(self, run: Run) -> list[dict[str, Any]]:
        """The rows of all jobs that the run's listener asks for.

        Raises NoListener, NoModule, and what a template raises.
        """
        listener = self.config.listeners.get(run.listener or "")
        if listener is None:
            raise NoListener(listener=run.listener)
        rows = []
        for name in listener.modules:
            module = self.config.modules.get(name)
            if module is None:
                raise NoModule(listener=listener.name, module=name)
            rows.append(self._job(run, listener, module))
        return rows

    def _job(self, run: Run, listener: Listener, module: Module) -> dict[str, Any]:
        few = listener.min_events > 0 if run.events is None else run.events < listener.min_events
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
            "settings": self._settings[module.name],
            "options": self._options(run, listener, module),
            "software_version": module.version,
            "site": module.site,
            "walltime": int(module.walltime.total_seconds()),
            "priority": run.priority,
            "status": JobStatus.WAITING if validation == "WAITING" else JobStatus.BLOCKED,
            **born(f"{why}: say go with StartJob" if validation == "WAITING" else "made"),
        }
        return row

    def _options(self, run: Run, listener: Listener, module: Module) -> str:
        """The job's script, rendered from the module's template."""
        copy = self._copies[listener.storage].get(run.id) if listener.storage else None
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
        return self._renderer.render(module.template, variables)
