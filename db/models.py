"""The tables of the run database that runs go through.

See `tables.py` for what surrounds them. Every column that a person or a DAQ need not know has a default in the
database itself: a run can be inserted by hand with its name and status alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Created, Worked, as_typed, one_of, waiting_in_line
from .states import JobStatus, RunStatus


class Run(Worked, Created, Base):
    """A run: a unit of data with a name, a number and parameters.

    `wanted` is '' or `cancel`; `failed_from` is the status to which a reset leads back; `to_archive` is unknown
    until a listener has taken the run. `nbytes` in bytes.
    """

    __tablename__ = "runs"
    source: Mapped[str] = mapped_column(server_default="daq")
    name: Mapped[str]
    number: Mapped[int | None]
    listener: Mapped[str | None]
    run_type: Mapped[str] = mapped_column(server_default="")
    started_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    events: Mapped[int | None]
    nbytes: Mapped[int | None]
    params: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    wanted: Mapped[str] = mapped_column(server_default="")
    failed_from: Mapped[str | None]
    to_archive: Mapped[bool | None]
    comments: Mapped[str] = mapped_column(server_default="")
    tags: Mapped[list[Any]] = mapped_column(server_default="[]")
    constraints: ClassVar[tuple[Any, ...]] = (
        UniqueConstraint("name", "source"),  # in this order: else SQLite would read all of a source's runs by it
        one_of("wanted_known", "wanted", ("", "cancel")),
        *as_typed(
            ("source", "name", "run_type"),
            ("number", "events", "nbytes", "priority"),
            ("started_at", "stopped_at"),
            {"params": "object", "tags": "array"},
        ),
        Index("runs_number", "number"),
        *(
            waiting_in_line("runs", s)
            for s in (RunStatus.ACQUIRED, RunStatus.TRANSFERRING, RunStatus.ONDECK, RunStatus.PROCESSING)
        ),
        Index(
            "runs_to_archive",
            "id",
            postgresql_where=text("status = 'processed' AND to_archive IS TRUE"),
            sqlite_where=text("status = 'processed' AND to_archive IS TRUE"),
        ),
        Index(
            "runs_failed",
            "id",
            postgresql_where=text("status = 'failed'"),
            sqlite_where=text("status = 'failed'"),
        ),
    )


class Job(Worked, Created, Base):
    """One (run, module, pass, part). `settings` are the module's, resolved when the job was made; `options` is the
    rendered script.

    `wanted` is '' or what a person asked of a live job: reset, hold, cancel. `published_attempt` is the number of
    the attempt whose outputs stand. `walltime` in seconds.
    """

    __tablename__ = "jobs"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    module: Mapped[str]
    pass_: Mapped[int] = mapped_column("pass", server_default=text("0"))
    part: Mapped[int] = mapped_column(server_default=text("0"))
    wanted: Mapped[str] = mapped_column(server_default="")
    validation: Mapped[str] = mapped_column(server_default="NONE")
    result: Mapped[str] = mapped_column(server_default="")
    settings: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    options: Mapped[str] = mapped_column(server_default="")
    software_version: Mapped[str] = mapped_column(server_default="")
    filetype: Mapped[str] = mapped_column(server_default="")
    conditions_tag: Mapped[str] = mapped_column(server_default="")
    site: Mapped[str] = mapped_column(server_default="")
    queue: Mapped[str] = mapped_column(server_default="")
    walltime: Mapped[int | None]
    prerequisite_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    published_attempt: Mapped[int | None]
    label: Mapped[str] = mapped_column(server_default="")
    constraints: ClassVar[tuple[Any, ...]] = (
        UniqueConstraint("run_id", "module", "pass", "part"),
        one_of("wanted_known", "wanted", ("", "reset", "hold", "cancel")),
        one_of("validation_known", "validation", ("NONE", "WAITING", "YES", "BAD")),
        one_of("result_known", "result", ("", "OK", "FAILED")),
        Index("jobs_prerequisite", "prerequisite_id"),
        *(
            waiting_in_line("jobs", s, "site")
            for s in (
                JobStatus.BLOCKED,
                JobStatus.NEW,
                JobStatus.SUBMITTING,
                JobStatus.PENDING,
                JobStatus.RUNNING,
                JobStatus.WAITING,
            )
        ),
    )


class Attempt(Created, Base):
    """One submission of a job to a batch system; submitted once.

    `number` counts a job's attempts from 1; `token` is the name by which the batch system can be asked; `state` is
    the batch system's own word and `pending_reason` its reason for waiting; `misses` counts listings without it.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        UniqueConstraint("token"),
        Index(
            "attempts_open",
            "site",
            "id",
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    token: Mapped[str]
    site: Mapped[str]
    directory: Mapped[str]
    batch_id: Mapped[str | None]
    submitted_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    signal: Mapped[int | None]
    verdict: Mapped[str | None]
    words: Mapped[str | None]
    state: Mapped[str | None]
    pending_reason: Mapped[str | None]
    host: Mapped[str | None]
    cpu_seconds: Mapped[float | None]
    missed_since: Mapped[datetime | None]
    misses: Mapped[int] = mapped_column(server_default=text("0"))


class Manifest(Base):
    """What a copy consists of: paths, sizes, times, checksums. Copies with the same content share one."""

    __tablename__ = "manifests"
    digest: Mapped[str] = mapped_column(primary_key=True)
    nbytes: Mapped[int]
    nfiles: Mapped[int]
    content: Mapped[bytes]


_RAW_THERE = text("status = 'verified' AND wanted AND form = 'plain' AND job_id IS NULL")


class Copy(Worked, Created, Base):
    """A run's (or a job's outputs') data in one storage. `path` is relative to the storage's root."""

    __tablename__ = "copies"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    bundle_id: Mapped[int | None] = mapped_column(ForeignKey("bundles.id"))
    storage: Mapped[str]
    path: Mapped[str]
    form: Mapped[str] = mapped_column(server_default="plain")
    nbytes: Mapped[int | None]
    nfiles: Mapped[int | None]
    manifest: Mapped[str | None] = mapped_column(ForeignKey("manifests.digest"))
    wanted: Mapped[bool] = mapped_column(server_default=text("true"))
    verified_at: Mapped[datetime | None]
    constraints: ClassVar[tuple[Any, ...]] = (
        one_of("form_known", "form", ("plain", "compressed", "bundled")),
        Index("copies_run_id", "run_id"),
        Index("copies_bundle_id", "bundle_id"),
        Index(
            "copies_raw_key",
            "run_id",
            "storage",
            "form",
            unique=True,
            postgresql_where=text("job_id IS NULL"),
            sqlite_where=text("job_id IS NULL"),
        ),
        Index(
            "copies_output_key",
            "job_id",
            "storage",
            "form",
            unique=True,
            postgresql_where=text("job_id IS NOT NULL"),
            sqlite_where=text("job_id IS NOT NULL"),
        ),
        Index(
            "copies_there",
            "storage",
            "verified_at",
            postgresql_where=text("status = 'verified'"),
            sqlite_where=text("status = 'verified'"),
        ),
        Index(
            "copies_raw_there",  # those that may be removed, the oldest runs first
            "storage",
            "run_id",
            postgresql_where=_RAW_THERE,
            sqlite_where=_RAW_THERE,
        ),
        Index(
            "copies_moving",
            "storage",
            "status",
            "id",
            postgresql_where=text("status IN ('writing', 'suspect', 'deleting')"),
            sqlite_where=text("status IN ('writing', 'suspect', 'deleting')"),
        ),
        Index(
            "copies_missing",
            "storage",
            "id",
            postgresql_where=text("status = 'absent' AND wanted"),
            sqlite_where=text("status = 'absent' AND wanted"),
        ),
        Index(
            "copies_unwanted",
            "storage",
            "id",
            postgresql_where=text("NOT wanted AND status = 'verified'"),
            sqlite_where=text("NOT wanted AND status = 'verified'"),
        ),
    )


class Bundle(Worked, Created, Base):
    """A tar of several runs in the archive. `path` is relative to the storage's root, known once it is written."""

    __tablename__ = "bundles"
    storage: Mapped[str]
    path: Mapped[str | None]
    nbytes: Mapped[int | None]
    sha256: Mapped[str | None]
    verified_at: Mapped[datetime | None]
    constraints: ClassVar[tuple[Any, ...]] = (
        Index(
            "bundles_unfinished",
            "storage",
            "status",
            "id",
            postgresql_where=text("status <> 'verified'"),
            sqlite_where=text("status <> 'verified'"),
        ),
    )


class Receipt(Base):
    """The proof of one removal: rule, witnesses (`pins`), what was recomputed where and when, space, who."""

    __tablename__ = "receipts"
    __table_args__ = (
        Index("receipts_copy_id", "copy_id"),
        Index(
            "receipts_open",
            "copy_id",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        one_of("outcome_known", "outcome", ("", "removed", "aborted")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    copy_id: Mapped[int] = mapped_column(ForeignKey("copies.id"))
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(server_default="")
    rule: Mapped[str]
    reason: Mapped[str | None]
    checks: Mapped[list[Any]] = mapped_column(server_default="[]")
    free_before: Mapped[int | None]
    free_after: Mapped[int | None]
    actor: Mapped[str]


class Pin(Base):
    """A witness of an open receipt: it can't be made unwanted."""

    __tablename__ = "pins"
    __table_args__ = (Index("pins_copy_id", "copy_id"),)
    receipt_id: Mapped[int] = mapped_column(ForeignKey("receipts.id"), primary_key=True)
    copy_id: Mapped[int] = mapped_column(ForeignKey("copies.id"), primary_key=True)


class Transition(Base):
    """One step of one row, written by the triggers. Append-only. `source` is null for a birth."""

    __tablename__ = "transitions"
    __table_args__ = (Index("transitions_row", "table_name", "row_id", "id"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    table_name: Mapped[str]
    row_id: Mapped[int]
    source: Mapped[str | None]
    to: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    reason: Mapped[str | None]
