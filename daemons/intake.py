"""How a run that a source has found becomes a row, and how a row is given to its listener."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..config.listeners import Listener
from ..db.insert import born
from ..db.models import Copy, Run
from ..db.states import CopyStatus, RunStatus
from ..rules.listen import listener_for
from ..rules.names import BadRunName, check_run_name
from ..sources import Found
from ..sources.parameters import BadParameters, moment, whole_number, words

NAME_LENGTH = 1000
"""A longer name is cut before it is stored; it is refused anyway."""


class Refusal(ValueError):
    """Why a run can't be taken; its text goes on the row."""


def columns(found: Found) -> dict[str, Any]:
    """The columns of a run, from what its source says; raises Refusal with words for the row."""
    if found.error is not None:
        raise Refusal(found.error)
    try:
        check_run_name(found.name)
        given = found.parameters
        if given.get("name", found.name) != found.name:
            raise Refusal(
                f"{found.name}: its parameters say name = {str(given['name'])[:100]!r}, which is another run"
            )
        number = whole_number(found.name, given, "number")
        if number is None and found.name.isascii() and found.name.isdecimal() and len(found.name) <= 18:
            number = int(found.name)
        return {
            "number": number,
            "run_type": words(found.name, given, "run_type"),
            "started_at": moment(found.name, given, "started_at", "start"),
            "stopped_at": moment(found.name, given, "stopped_at", "stop"),
            "events": whole_number(found.name, given, "events"),
            "nbytes": found.nbytes,
            "params": given,
        }
    except (BadRunName, BadParameters) as error:
        raise Refusal(str(error)) from error


def candidate(source: str, found: Found) -> tuple[dict[str, Any], str | None]:
    """The row of a run that was found: (its columns, None), or (the columns of a refused run, why)."""
    name = found.name[:NAME_LENGTH]
    try:
        return {"source": source, "name": name, **columns(found)}, None
    except Refusal as error:
        return {"source": source, "name": name, "nbytes": found.nbytes}, str(error)


def listener_of(config: Config, row: dict[str, Any]) -> Listener | None:
    """Which listener takes the run with these columns; raises ListenersOverlap."""
    given: dict[str, Any] = {"run_type": "", "number": None, "events": None, "params": {}}
    return listener_for(config, Run(**{**given, **row}))


def taken(listener: Listener) -> dict[str, Any]:
    """The columns that say that `listener` has taken a run."""
    return {"listener": listener.name, "to_archive": listener.archive is not None}


def add_source_copy(
    session: Session, config: Config, run_id: int, source: str, path: str, nbytes: int | None
) -> None:
    """Write down where the run lies at its source; its manifest is made by Transfer. Does nothing when it is there."""
    storage = config.sources[source].storage
    if storage is None:
        return
    there = select(Copy.id).where(
        Copy.run_id == run_id, Copy.storage == storage, Copy.form == "plain", Copy.job_id.is_(None)
    )
    if session.scalar(there) is None:
        session.add(
            Copy(
                run_id=run_id,
                storage=storage,
                path=path,
                nbytes=nbytes,
                status=CopyStatus.WRITING, **born("written by the DAQ"),
            )
        )
        session.flush()


def status_after(listener: Listener) -> RunStatus:
    """Where a run begins: on deck at once when its listener copies nothing."""
    return RunStatus.ACQUIRED if listener.storage else RunStatus.ONDECK
