"""`ondeck history`: all that ever happened to a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.models import Attempt, Bundle, Copy, Job, Receipt, Run, Transition
from ..rules.choose import select_runs
from .errors import Command
from .opening import config_option, opened
from .words import iso, moment, plain, size, table

_CHUNK = 500


@click.command(cls=Command, context_settings={"max_content_width": 100}, epilog="""\b
Examples:
  ondeck history 152254
  ondeck history 152254 --local
  ondeck history '1522*' --json""")  # fmt: skip
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one a run, with full values; times in UTC.")
@click.option("--local", is_flag=True, help="Times in this machine's zone instead of UTC.")
def history(runs: Sequence[str], path: str | None, as_json: bool, local: bool) -> None:
    """Show every step of runs, of their jobs, copies and bundles: when, by whom and why.

    Then the attempts of the jobs, and the receipts of what was removed. RUN is a name, a glob, a number or a range.
    """
    del path
    with opened() as (_, db):
        with db.read() as session:
            ids = [run.id for run in select_runs(session, runs)]
        told = []
        for run_id in ids:
            with db.read() as session:
                told.append(tell(session, run_id))
    if as_json:
        click.echo(json.dumps(told, indent=1, default=_for_json))
    else:
        click.echo("\n\n".join(_text(one, local) for one in told))


def tell(session: Session, run_id: int) -> dict[str, Any]:
    """A run's history: {run, source, number, status, steps, attempts, receipts}, each in the order of time."""
    run = session.get_one(Run, run_id)
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.run_id == run_id).order_by(Job.id))}
    copies = {copy.id: copy for copy in session.scalars(select(Copy).where(Copy.run_id == run_id).order_by(Copy.id))}
    bundles = {copy.bundle_id for copy in copies.values() if copy.bundle_id is not None}
    rows = [
        *_steps(session, "runs", {run_id: "run"}),
        *_steps(session, "jobs", {i: _job(job) for i, job in jobs.items()}),
        *_steps(session, "copies", {i: _copy(copy, jobs) for i, copy in copies.items()}),
        *_steps(session, "bundles", {i: f"bundle {i}" for i in bundles}),
    ]
    return {
        "run": run.name,
        "source": run.source,
        "number": run.number,
        "status": run.status,
        "comments": run.comments,
        "steps": [row for _, row in sorted(rows, key=lambda pair: pair[0])],
        "attempts": _attempts(session, jobs),
        "receipts": _receipts(session, copies, jobs),
        "bundles": _bundles(session, bundles),
    }


def _job(job: Job) -> str:
    return f"job {job.module}" + (f" pass {job.pass_}" if job.pass_ else "") + (f" part {job.part}" if job.part else "")


def _copy(copy: Copy, jobs: dict[int, Job]) -> str:
    what = f"outputs of {_job(jobs[copy.job_id])}" if copy.job_id in jobs else "copy"
    return f"{what} on {copy.storage}" + ("" if copy.form == "plain" else f" ({copy.form})")


def _chunks(ids: Iterable[int]) -> Iterable[list[int]]:
    listed = sorted(ids)
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))


def _steps(session: Session, name: str, labels: dict[int, str]) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for ids in _chunks(labels):
        query = (
            select(Transition).where(Transition.table_name == name, Transition.row_id.in_(ids)).order_by(Transition.id)
        )
        for one in session.scalars(query):
            row = {
                "at": one.at, "what": labels[one.row_id], "table": name, "id": one.row_id,
                "from": one.source, "to": one.to, "by": one.actor, "why": one.reason,
            }  # fmt: skip
            found.append((one.id, row))
    return found


def _attempts(session: Session, jobs: dict[int, Job]) -> list[dict[str, Any]]:
    columns = (
        "number", "token", "site", "batch_id", "submitted_at", "started_at", "ended_at", "exit_code", "signal",
        "verdict", "words", "state", "pending_reason", "host", "cpu_seconds", "directory",
    )  # fmt: skip
    found = []
    for ids in _chunks(jobs):
        query = select(Attempt).where(Attempt.job_id.in_(ids)).order_by(Attempt.job_id, Attempt.number)
        for one in session.scalars(query):
            found.append({"job": _job(jobs[one.job_id]), **{name: getattr(one, name) for name in columns}})
    return found


def _receipts(session: Session, copies: dict[int, Copy], jobs: dict[int, Job]) -> list[dict[str, Any]]:
    columns = ("opened_at", "closed_at", "outcome", "rule", "reason", "checks", "free_before", "free_after", "actor")
    found = []
    for ids in _chunks(copies):
        for one in session.scalars(select(Receipt).where(Receipt.copy_id.in_(ids)).order_by(Receipt.id)):
            found.append({"copy": _copy(copies[one.copy_id], jobs), **{name: getattr(one, name) for name in columns}})
    return found


def _bundles(session: Session, ids: Iterable[int]) -> list[dict[str, Any]]:
    columns = ("id", "storage", "path", "status", "nbytes", "sha256", "verified_at")
    rows = [row for chunk in _chunks(ids) for row in session.scalars(select(Bundle).where(Bundle.id.in_(chunk)))]
    return [{name: getattr(row, name) for name in columns} for row in rows]


def _for_json(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else str(value)


def _text(told: dict[str, Any], local: bool) -> str:
    number = f", number {told['number']}" if told["number"] is not None else ""
    parts = [f"run {plain(told['run'], 80)} (source {plain(told['source'], 40)}{number}) is {told['status']}"]
    parts += [f"  comment: {plain(line, 200)}" for line in told["comments"].splitlines()]
    steps = [
        [
            moment(s["at"], local),
            plain(s["what"], 60),
            _step(s["from"], s["to"]),
            plain(s["by"], 40),
            plain(s["why"], 100),
        ]
        for s in told["steps"]
    ]
    parts.append(table(steps, ["time", "what", "step", "by", "why"]))
    if told["attempts"]:
        rows = [[plain(a["job"], 40), a["number"], *_attempt(a, local)] for a in told["attempts"]]
        parts += [
            "",
            table(rows, ["attempts", "", "batch id", "began", "ended", "exit code", "verdict", "host", "words"]),
        ]
    if told["receipts"]:
        rows = [
            [plain(r["copy"], 60), moment(r["opened_at"], local), r["outcome"] or "open", plain(r["rule"], 60),
             f"{size(r['free_before'])} -> {size(r['free_after'])}", len(r["checks"]), plain(r["actor"], 40),
             plain(r["reason"], 80)]
            for r in told["receipts"]
        ]  # fmt: skip
        parts += ["", table(rows, ["removals", "time", "outcome", "rule", "free space", "checks", "by", "why"])]
    return "\n".join(parts)


def _attempt(one: dict[str, Any], local: bool) -> list[Any]:
    code = one["exit_code"] if one["signal"] is None else f"signal {one['signal']}"
    began = one["started_at"] or one["submitted_at"]
    return [
        plain(one["batch_id"], 30), moment(began, local), moment(one["ended_at"], local), code,
        plain(one["verdict"], 20), plain(one["host"], 30),
        plain(one["words"] or one["pending_reason"] or one["state"], 80),
    ]  # fmt: skip


def _step(source: str | None, to: str) -> str:
    if source is None:
        return f"made: {to}"
    return to if source == to else f"{source} -> {to}"
