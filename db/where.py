"""Where the data of runs are, in one word, computed from their copies; and how their jobs stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..config import Config
from .models import Copy, Job
from .states import STATUSES, CopyStatus

DAQ, DISK, TAPE = "DAQ", "disk", "tape"

CopyFacts = tuple[str, str, bool]
"""(place, status, wanted) of a copy."""


def place_words(config: Config) -> dict[str, str]:
    """Storage → DAQ (it belongs to a source), disk or tape."""
    words = {name: TAPE if storage.kind == "archive" else DISK for name, storage in config.storages.items()}
    return words | {source.storage: DAQ for source in config.sources.values() if source.storage}


def word(copies: Iterable[CopyFacts]) -> str:
    """The one word for a run's copies.

    What moves or is wrong comes first: suspect, restoring, copying, archiving, removing. Else the places that hold a
    verified copy, `disk+tape`; the DAQ is named only while nothing else is. `nowhere`: there were copies, and none
    is left. Empty: a run without data.
    """
    there = list(copies)
    whole = [place for place, status, wanted in there if status == CopyStatus.VERIFIED and wanted]
    writing = [place for place, status, _ in there if status == CopyStatus.WRITING]
    if any(status == CopyStatus.SUSPECT for _, status, _ in there):
        return "suspect"
    if DISK in writing:
        return "restoring" if whole and set(whole) == {TAPE} and DAQ not in writing else "copying"
    if TAPE in writing:
        return "archiving"
    if any(
        status == CopyStatus.DELETING or (status == CopyStatus.VERIFIED and not wanted) for _, status, wanted in there
    ):
        return "removing"
    places = [place for place in (DISK, TAPE) if place in whole]
    if places:
        return "+".join(places)
    if DAQ in whole or DAQ in writing:  # the DAQ's own copy has no manifest before Transfer has read it
        return DAQ
    return "nowhere" if there else ""


def data_words(session: Session, run_ids: Sequence[int], places: Mapping[str, str]) -> dict[int, str]:
    """Run's id → where its raw data are. One query; `places` as `place_words` gives them."""
    rows = session.execute(
        select(Copy.run_id, Copy.storage, Copy.status, Copy.wanted).where(
            Copy.run_id.in_(run_ids), Copy.job_id.is_(None)
        )
    )
    copies: dict[int, list[CopyFacts]] = {run_id: [] for run_id in run_ids}
    for run_id, storage, status, wanted in rows:
        copies[run_id].append((places.get(storage, DISK), status, wanted))
    return {run_id: word(found) for run_id, found in copies.items()}


def job_counts(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Run's id → how many of its jobs are in each status, in the order of a job's usual way. One query."""
    rows = session.execute(
        select(Job.run_id, Job.status, func.count()).where(Job.run_id.in_(run_ids)).group_by(Job.run_id, Job.status)
    )
    found: dict[int, dict[str, int]] = {}
    for run_id, status, count in rows:
        found.setdefault(run_id, {})[status] = count
    return {i: {s: found[i][s] for s in STATUSES["jobs"] if s in found[i]} if i in found else {} for i in run_ids}


def job_words(counts: Mapping[str, int]) -> str:
    """`2 done, 1 failed`."""
    return ", ".join(f"{count} {status}" for status, count in counts.items())
