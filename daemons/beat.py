"""The heartbeat: a local file that needs nothing but the disk, and a row in the run database.

Each has a thread of its own, so that a database that hangs doesn't make a living daemon look dead.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from .. import __version__
from ..config.dump import fingerprint
from ..config.model import Config
from ..db.clock import now
from ..db.engine import Database
from ..db.errors import DatabaseError
from ..db.tables import DaemonBeat
from ..rules.restored import Seen, declare, lost, newest
from .identity import Identity, boot_id
from .leases import release_own
from .logs import redact

log = logging.getLogger(__name__)


class LocalBeat(NamedTuple):
    """A local heartbeat as it was read.

    `at`: seconds since 1970; `uptime`: since that boot; `highest`: the newest transition seen; `content`: all of it.
    """

    identity: Identity
    at: float
    uptime: float
    stopped_at: float | None
    highest: Seen
    content: dict[str, Any]

    @property
    def age(self) -> float:
        """Seconds since it was written; on the same boot by a clock that nobody sets."""
        if self.identity.here and self.identity.boot_id == boot_id():
            return max(0.0, uptime() - self.uptime)
        return max(0.0, time.time() - self.at)


def uptime() -> float:
    """Seconds since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(path: Path) -> LocalBeat | None:
    """The local heartbeat; None when there is no whole one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        who = Identity(int(content["pid"]), str(content["host"]), str(content["boot_id"]), int(content["start_ticks"]))
        stopped = content.get("stopped_at")
        times = (float(content["at"]), float(content["uptime"]), stopped and float(stopped))
        highest = Seen(int(content.get("highest") or 0), str(content.get("newest") or ""))
        if not 0 <= highest.id < 2**62:
            return None
        return LocalBeat(who, *times, highest, content)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


class Heart:
    """Beats for one daemon instance.

    `ready` is set when the run database was seen with the schema that is needed; `fatal` is called with one line
    when it has another. `keep` is called with each local beat (the pid file is made again there).
    """

    def __init__(
        self,
        db: Database,
        identity: Identity,
        name: str,
        state_dir: str,
        path: Path,
        *,
        heartbeat: Callable[[], float],
        lanes: Callable[[], dict[str, Any]],
        fatal: Callable[[str], None],
        keep: Callable[[], object] = lambda: None,
    ) -> None:
        self.db, self.identity, self.name, self.state_dir, self.path = db, identity, name, state_dir, path
        self._heartbeat, self._lanes, self._fatal, self._keep = heartbeat, lanes, fatal, keep
        self.ready = threading.Event()
        self.asked = threading.Event()  # the database was asked once, whatever it said
        self.db_error: str | None = None
        self.config = ""
        before = read(path)
        self.highest = before.highest if before else Seen()
        self._loaded: Config | None = None
        self._started = time.time()
        self._stop = threading.Event()
        self._file_lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._beat_file, name="beat", daemon=True),
            threading.Thread(target=self._beat_row, name="beat-row", daemon=True),
        ]

    def start(self, config: Config) -> None:
        """Write the first local beat, and go on beating."""
        self.renew(config)
        self.write_file()
        for thread in self._threads:
            thread.start()

    def renew(self, config: Config) -> None:
        """The daemon goes on with another configuration."""
        self.config, self._loaded = fingerprint(config), config

    def stop(self, patience: float = 3.0) -> None:
        """Say that the daemon has stopped: in the file, and in the row if the database answers within `patience` s.

        What the process still holds is given back with it.
        """
        self._stop.set()
        self.write_file(stopped=True)
        last = threading.Thread(target=self._stop_row, name="beat-stop", daemon=True)
        last.start()
        last.join(patience)
        if last.is_alive():
            log.warning("the database does not answer, the row in daemons still says that this one runs")
        self.write_file(stopped=True)  # once more, with the last transitions in it

    def write_file(self, *, stopped: bool = False) -> None:
        """Replace the local heartbeat, whole or not at all."""
        lanes = self._lanes()
        content = {
            "name": self.name,
            **self.identity._asdict(),
            "at": time.time(),
            "uptime": uptime(),
            "started_at": self._started,
            "stopped_at": time.time() if stopped else None,
            "version": __version__,
            "config_hash": self.config,
            "highest": self.highest.id,
            "newest": self.highest.words,
            "db": self.db_error,
            "lanes": lanes,
        }
        with self._file_lock:
            if self._stop.is_set() and not stopped:
                return
            temporary = self.path.with_name(f".{self.path.name}.{self.identity.pid}")
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self.path)

    def write_row(self, *, stopped: bool = False) -> None:
        """Beat in the run database; raises the database's errors, and OtherSchema or NoSchema."""
        self.db.check_schema()
        lanes = self._lanes()
        values: dict[str, Any] = {
            "pid": self.identity.pid,
            "boot_id": self.identity.boot_id,
            "start_ticks": self.identity.start_ticks,
            "version": __version__,
            "config_hash": self.config,
            "beat_at": now(),
            "stopped_at": now() if stopped else None,
            "last_error": _last_error(lanes),
            "lanes": lanes,
        }
        key = {"name": self.name, "host": self.identity.host, "state_dir": self.state_dir}
        here = [getattr(DaemonBeat, column) == value for column, value in key.items()]
        ours = [DaemonBeat.pid == self.identity.pid, DaemonBeat.start_ticks == self.identity.start_ticks]
        with self.db.write() as session:
            highest = self._compare(session)
            if not _updated(session, [*here, *ours], values):
                values["started_at"] = now()
                if not _updated(session, here, values):
                    session.execute(insert(DaemonBeat).values(**key, **values))
        self.highest = highest

    def _compare(self, session: Session) -> Seen:
        """The newest transition; a database that lacks what was seen has been restored, and that is written down."""
        why = lost(session, self.highest)
        if why is None:
            return newest(session)
        found = declare(session, self._loaded, self.highest, why)
        log.critical(
            "the run database was restored: nothing is submitted or removed until `ondeck fsck`", extra={"why": why}
        )
        return found

    def _beat_file(self) -> None:
        while not self._stop.wait(self._heartbeat()):
            try:
                self.write_file()
                self._keep()
            except OSError:  # a full disk: the daemon goes on, and who looks sees an old beat
                log.warning("the local heartbeat can't be written", exc_info=True)

    def _beat_row(self) -> None:
        while True:
            try:
                self.write_row()
                if self.db_error:
                    log.info("the database answers again")
                self.db_error = None
                self.ready.set()
            except DatabaseError as error:
                self.db_error = str(error)
                self._fatal(str(error))
                return
            except Exception as error:
                if not self.db_error:
                    log.warning("can't beat in the database", exc_info=True)
                self.db_error = redact(f"{type(error).__name__}: {error}")[:500]
            finally:
                self.asked.set()
            pause = self._heartbeat() if self.ready.is_set() else min(2.0, self._heartbeat())
            if self._stop.wait(pause):
                return

    def _stop_row(self) -> None:
        try:
            if not self.ready.is_set():
                return
            self.write_row(stopped=True)
            release_own(self.db)
        except Exception as error:
            log.warning("can't say good-bye in the database", extra={"error": redact(str(error))})


def _updated(session: Session, where: list[Any], values: dict[str, Any]) -> bool:
    statement = update(DaemonBeat).where(*where).values(values).returning(DaemonBeat.id)
    return session.execute(statement).first() is not None


def _last_error(lanes: dict[str, Any]) -> str | None:
    troubled = [f"{name}: {lane['error']}" for name, lane in lanes.items() if lane.get("error")]
    return "; ".join(troubled)[:2000] or None


def mark_stopped(db: Database, identity: Identity, name: str, state_dir: str) -> None:
    """Write into the row of a process that is seen to be gone that it has stopped."""
    gone = [getattr(DaemonBeat, field) == value for field, value in identity._asdict().items()]
    with db.write() as session:
        session.execute(
            update(DaemonBeat)
            .where(DaemonBeat.name == name, DaemonBeat.state_dir == state_dir, DaemonBeat.stopped_at.is_(None), *gone)
            .values(stopped_at=now())
        )
