"""Which listener takes a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..config.errors import OndeckError
from ..config.listeners import Listener
from ..db.models import Run


class ListenersOverlap(OndeckError):
    """listeners {names} of one priority all match run {run}: give them different priorities, or conditions that
    exclude each other."""


def facts(run: Run) -> Mapping[str, Any]:
    """What listeners look at."""
    return {
        "source": run.source,
        "name": run.name,
        "number": run.number,
        "run_type": run.run_type,
        "events": run.events,
        "params": run.params,
    }


def listener_for(config: Config, run: Run) -> Listener | None:
    """The listener that takes `run`: of those that match, the one of the highest priority; None if no one does.

    Raises ListenersOverlap when there is no single highest.
    """
    matching = [one for one in config.listeners.values() if one.takes(facts(run))]
    if not matching:
        return None
    highest = max(one.priority for one in matching)
    best = [one for one in matching if one.priority == highest]
    if len(best) > 1:
        raise ListenersOverlap(names=" and ".join(one.name for one in best), run=run.name)
    return best[0]
