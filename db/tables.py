"""The tables around the runs: sources, sites, storages, daemons, messages, requests, locks, conditions, probes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, Created, Worked, waiting_in_line


class Source(Base):
    """State of a source. `adopted` says where it begins (`all`, `now`, `after:RUN`; null = not decided yet);
    `watermark` is the source's own mark of what was seen; `open_runs` are runs that were still going on there."""

    __tablename__ = "sources"
    name: Mapped[str] = mapped_column(primary_key=True)
    adopted: Mapped[str | None]
    adopted_at: Mapped[datetime | None]
    watermark: Mapped[str | None]
    open_runs: Mapped[list[Any]] = mapped_column(server_default="[]")
    left_out: Mapped[list[Any]] = mapped_column(server_default="[]")
    looked_at: Mapped[datetime | None]
    error: Mapped[str | None]


class Site(Base):
    """State of a site: its breaker, a person's pause, when its batch system was last asked.

    `breaker_rows` are the rows which had trouble there since it last went well; `breaker_trial_at` is when the next
    row may try an open breaker.
    """

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    paused_by: Mapped[str | None]
    pause_reason: Mapped[str | None]
    drain: Mapped[bool] = mapped_column(server_default=text("false"))
    breaker_opened_at: Mapped[datetime | None]
    breaker_reason: Mapped[str | None]
    breaker_trial_at: Mapped[datetime | None]
    breaker_rows: Mapped[list[Any]] = mapped_column(server_default="[]")
    polled_at: Mapped[datetime | None]
    poll_seconds: Mapped[float | None]


class StorageState(Base):
    """What is known of a storage: the uuid of its disk, given once; two storages with one uuid are one."""

    __tablename__ = "storages"
    name: Mapped[str] = mapped_column(primary_key=True)
    uuid: Mapped[str]
    initialised_at: Mapped[datetime]
    actor: Mapped[str]


class Probe(Base):
    """What was last seen outside. An expired probe is a closed gate."""

    __tablename__ = "probes"
    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    seen_at: Mapped[datetime]
    valid_until: Mapped[datetime]
    error: Mapped[str | None]


class DaemonBeat(Base):
    """Heartbeat of one daemon instance; `start_ticks` is the process's start in clock ticks since boot."""

    __tablename__ = "daemons"
    __table_args__ = (UniqueConstraint("name", "host", "state_dir"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    host: Mapped[str]
    state_dir: Mapped[str]
    pid: Mapped[int]
    boot_id: Mapped[str]
    start_ticks: Mapped[int]
    version: Mapped[str]
    config_hash: Mapped[str]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    lanes: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class Inbox(Worked, Created, Base):
    """A message from outside, stored before anything is done with it."""

    __tablename__ = "inbox"
    topic: Mapped[str]
    sha256: Mapped[str]
    body: Mapped[bytes]
    constraints: ClassVar[tuple[Any, ...]] = (
        UniqueConstraint("topic", "sha256"),
        waiting_in_line("inbox", "new"),
    )


_UNSENT = text("status IN ('queued', 'sending')")


class Outbox(Worked, Created, Base):
    """A message to the outside, in order within its `stream`; `sink` names who delivers it."""

    __tablename__ = "outbox"
    stream: Mapped[str]
    sink: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    key: Mapped[str | None] = mapped_column(unique=True)
    sent_at: Mapped[datetime | None]
    constraints: ClassVar[tuple[Any, ...]] = (
        Index("outbox_waiting", "sink", "stream", "id", postgresql_where=_UNSENT, sqlite_where=_UNSENT),
        waiting_in_line("outbox", "queued", "sink"),
        waiting_in_line("outbox", "sending", "sink"),
    )


class Request(Created, Base):
    """What a person asked for with offline_processing; JobOrganizer works on it."""

    __tablename__ = "requests"
    id: Mapped[int] = mapped_column(primary_key=True)
    mode: Mapped[str]
    runs: Mapped[list[Any]] = mapped_column(server_default="[]")
    modules: Mapped[list[Any]] = mapped_column(server_default="[]")
    software_version: Mapped[str] = mapped_column(server_default="")
    label: Mapped[str] = mapped_column(server_default="")
    options: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    progress: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    actor: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str | None]


class Lock(Base):
    """A calibration lock: later runs wait until it is released and its validity is set."""

    __tablename__ = "locks"
    id: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    set_at: Mapped[datetime]
    set_by: Mapped[str]
    valid_from: Mapped[int | None]
    valid_to: Mapped[int | None]
    released_at: Mapped[datetime | None]
    released_by: Mapped[str | None]


class Condition(Created, Base):
    """A condition table valid for a range of run numbers, with the tags that freeze it."""

    __tablename__ = "conditions"
    __table_args__ = (Index("conditions_name", "name", "valid_from"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    valid_from: Mapped[int]
    valid_to: Mapped[int | None]
    tags: Mapped[list[Any]] = mapped_column(server_default="[]")
    digest: Mapped[str] = mapped_column(server_default="")
    actor: Mapped[str | None]
