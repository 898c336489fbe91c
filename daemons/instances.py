"""Which instances of a daemon there are: by the pid file, the local heartbeat and the rows in the run database.

Each says of which process it speaks, and that is looked up in /proc; so one of them may be missing or stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ..config.errors import OndeckError
from ..config.model import Config
from ..db.clock import database_time
from ..db.engine import Database
from ..db.tables import DaemonBeat
from . import beat, pidfile
from .folders import places
from .identity import Identity, this_host
from .logs import redact

STALE_BEATS = 10
"""Beats after which a daemon of another host counts as gone."""


class NotStarted(OndeckError):
    """{why}"""


class Row(NamedTuple):
    """An instance as its row tells of it. `age`: seconds since its last beat, by the database's clock."""

    identity: Identity
    state_dir: str
    age: float
    stopped: bool
    started_at: datetime
    last_error: str | None
    lanes: dict[str, Any]


class Rows(NamedTuple):
    """All rows of a daemon, or why they can't be read."""

    rows: tuple[Row, ...] = ()
    trouble: str | None = None


def rows_of(db: Database, name: str) -> Rows:
    """The rows of all instances of the daemon `name`."""
    try:
        db.check_schema()
        with db.read() as session:
            now = database_time(session)
            found = session.scalars(select(DaemonBeat).where(DaemonBeat.name == name).order_by(DaemonBeat.id)).all()
    except (OndeckError, SQLAlchemyError, OSError) as error:
        return Rows(trouble=redact(str(error).splitlines()[0] if str(error) else type(error).__name__))
    return Rows(
        tuple(
            Row(
                Identity(row.pid, row.host, row.boot_id, row.start_ticks),
                row.state_dir,
                (now - row.beat_at).total_seconds(),
                row.stopped_at is not None,
                row.started_at,
                row.last_error,
                row.lanes,
            )
            for row in found
        )
    )


@dataclass(frozen=True)
class Found:
    """What was found of one daemon with this configuration.

    `live` are its processes on this machine; `elsewhere` is a process of another machine that the files speak of,
    `elsewhere_row` its row; `stale` is who the pid file names, of this machine and gone.
    """

    name: str
    heartbeat: float
    live: tuple[Identity, ...] = ()
    elsewhere: Identity | None = None
    elsewhere_row: Row | None = None
    stale: Identity | None = None
    local: beat.LocalBeat | None = None
    row: Row | None = None
    others: tuple[Row, ...] = ()
    trouble: str | None = None

    @property
    def elsewhere_gone(self) -> bool:
        """Whether the database knows that the process elsewhere has stopped, or has not beaten for long."""
        row = self.elsewhere_row
        return row is not None and (row.stopped or row.age > STALE_BEATS * self.heartbeat)

    def refusal(self, *, take_over: bool = False) -> str | None:
        """Why no instance may be started now; None when one may."""
        if self.live:
            return f"{self.name} is already running: pid {', '.join(str(one.pid) for one in self.live)}"
        if self.elsewhere is None or self.elsewhere_gone or take_over:
            return None
        if self.elsewhere_row is None:
            why = self.trouble or "the run database has no heartbeat of it"
        else:
            why = f"its last heartbeat is {self.elsewhere_row.age:.0f} s old"
        return (
            f"{self.name} runs on {self.elsewhere.host} (pid {self.elsewhere.pid}; {why}): "
            f"stop it there, or use --take-over if you know that it is gone"
        )


def find(config: Config, name: str, rows: Rows, but: Identity | None = None) -> Found:
    """Look for the instances of `name` that keep their files where `config` says; `but` is left out."""
    where = places(config, name)
    heartbeat = config.daemon(name).heartbeat.total_seconds()
    pid, local = pidfile.read(where.pid), beat.read(where.beat)
    here = [row for row in rows.rows if row.identity.host == this_host() and row.state_dir == where.key]
    beating = local.identity if local and not local.stopped_at else None
    candidates = [one for one in (pid, local and local.identity, *(row.identity for row in here)) if one]
    elsewhere = next((one for one in (pid, beating) if one and not one.here), None)
    return Found(
        name,
        heartbeat,
        live=tuple(one for one in dict.fromkeys(candidates) if one != but and one.alive()),
        elsewhere=elsewhere,
        elsewhere_row=next((row for row in rows.rows if row.identity == elsewhere), None),
        stale=pid if pid and pid.here and not pid.alive() else None,
        local=local,
        row=here[0] if here else None,
        others=tuple(
            row for row in rows.rows if row not in here and not row.stopped and row.age <= STALE_BEATS * heartbeat
        ),
        trouble=rows.trouble,
    )
