"""Starting, stopping and looking at daemons, from another process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from ..config.errors import OndeckError
from ..config.model import Config
from ..db.engine import Database
from . import beat, pidfile
from .folders import places
from .fork import launch
from .identity import Identity, this_host
from .instances import Found, Row, Rows, find, rows_of
from .mourning import tell_of_death
from .registry import known

NOT_RUNNING = 3
"""Exit code of `status` when the daemon does not run (as the Linux Standard Base has it)."""
START_WAIT = 30.0
"""Seconds that a start may take; a restart that is told to stop it sooner gives the start as many."""
TAIL = 15
"""Lines of the daemon's own words that are shown when it could not be started."""

Say = Callable[[str], None]


def say_error(words: str) -> None:
    """Print to stderr."""
    print(words, file=sys.stderr)


class Status(NamedTuple):
    """How one daemon does. `state`: running, silent (it lives, its heartbeat is old), elsewhere, stopped, dead."""

    name: str
    state: str
    pid: int | None
    host: str | None
    since: datetime | None
    beat_age: float | None
    lanes: dict[str, dict[str, object]]
    last_error: str | None


class Control:
    """What can be done with the daemon `name` of one configuration. The methods that act return an exit code."""

    def __init__(
        self, config: Config, name: str, *, say: Say = print, complain: Say = say_error, log: str | None = None
    ) -> None:
        self.config, self.name = config, known(name)
        self.where = places(config, name)
        self.say, self.complain, self.log = say, complain, log

    def start(self, wait: float = START_WAIT, *, take_over: bool = False) -> int:
        """Start it and wait for its first heartbeat; 1 when it could not be started or runs already."""
        if refusal := find(self.config, self.name, Rows()).refusal(take_over=True):
            self.complain(refusal)
            return 1
        before = _sizes(self.where.err, self.where.log)
        arguments = [self.name, "--config", str(self.config.path)]
        arguments += ["--log", self.log] if self.log else []
        arguments += ["--take-over"] if take_over else []
        answer = launch(arguments, wait)
        if answer.error is None:
            self.say(f"{self.name} started, pid {answer.pid}")
            if answer.trouble:
                self.complain(f"{self.name} waits for the run database: {answer.trouble}")
            return 0
        if answer.known:
            self.complain(
                f"{answer.error}" if self.name in answer.error else f"{self.name} was not started: {answer.error}"
            )
            return 1
        self.complain(f"{self.name} was not started: {answer.error} ({wait:g} s). Its last words, in {self.where.err}:")
        for line in _tail(before):
            self.complain(f"  {line}")
        return 1

    def stop(self, wait: float = 30.0) -> int:
        """Stop it: SIGTERM, and after `wait` seconds SIGKILL to its process group. 0 also when none runs."""
        found = self._find()
        if not found.live and found.elsewhere and not found.elsewhere_gone:
            self.complain(
                f"{self.name} runs on {found.elsewhere.host} (pid {found.elsewhere.pid}), not on {this_host()}: "
                "stop it there"
            )
            return 1
        if not found.live:
            self._clear(found)
            self.say(f"{self.name} is not running")
            return 0
        return max(self._end(found, one, wait) for one in found.live)

    def restart(self, wait: float = 30.0, *, take_over: bool = False) -> int:
        """Stop it, if it runs, and start it."""
        quiet = Control(self.config, self.name, say=self.say if self._find().live else _nothing, complain=self.complain)
        return quiet.stop(wait) or self.start(max(wait, START_WAIT), take_over=take_over)

    def restart_if_dead(self, wait: float = 30.0) -> int:
        """Start it again if it has died or does not beat any more, with a message; nothing when it is well."""
        found = self._find(ask=False)
        if found.live and self._well(found):
            return 0
        found = self._find()
        if found.live and self._well(found):
            return 0
        if not found.live and found.elsewhere and not found.elsewhere_gone:
            self.complain(found.refusal() or "")
            return 1
        why = _how_it_died(found)
        for one in found.live:
            if code := self._end(found, one, wait):
                return code
        self._clear(found)
        code = self.start(max(wait, START_WAIT))
        if why:
            self.complain(
                f"{self.name} on {this_host()} {why}; "
                + ("it was started again" if code == 0 else "it could NOT be started again")
            )
            self._mourn(found, why, code)
        return code

    def status(self) -> list[Status]:
        """This instance first, then those that the database knows of on other hosts or with other state directories."""
        found = self._find()
        return [self._own(found), *(_other(self.name, row) for row in found.others if row.identity != found.elsewhere)]

    def running(self) -> bool:
        """Whether it runs here."""
        return bool(self._find().live)

    def _own(self, found: Found) -> Status:
        local, row = found.local, found.row
        if not found.live and found.elsewhere and not found.elsewhere_gone:
            far = found.elsewhere_row
            if far:
                return _other(self.name, far)
            return Status(
                self.name, "elsewhere", found.elsewhere.pid, found.elsewhere.host, None, None, {}, found.trouble
            )
        if not found.live:
            ended = local is None or local.stopped_at is not None
            seen = local.age if local else None
            return Status(
                self.name, "stopped" if ended else "dead", None, None, None, seen, {}, row.last_error if row else None
            )
        one = found.live[0]
        mine = local if local and local.identity == one else None
        lanes = (
            dict(mine.content.get("lanes") or {}) if mine else dict(row.lanes) if row and row.identity == one else {}
        )
        since = (
            datetime.fromtimestamp(float(mine.content["started_at"])).astimezone()
            if mine
            else row.started_at
            if row
            else None
        )
        age = mine.age if mine else row.age if row else None
        troubled = "; ".join(f"{lane}: {seen['error']}" for lane, seen in lanes.items() if seen.get("error"))
        error = (mine and mine.content.get("db") and f"database: {mine.content['db']}") or troubled or None
        return Status(
            self.name, "running" if self._well(found) else "silent", one.pid, one.host, since, age, lanes, error
        )

    def _well(self, found: Found) -> bool:
        """Whether its heartbeat, the local file first, is young enough: 3 beats and a margin."""
        limit = 3 * found.heartbeat + 5.0
        if found.local and found.local.identity in found.live:
            return found.local.age <= limit
        if found.row and found.row.identity in found.live:
            return found.row.age <= limit
        return False

    def _end(self, found: Found, one: Identity, wait: float) -> int:
        one.terminate()
        if not one.wait_gone(wait):
            self.complain(f"{self.name} (pid {one.pid}) did not end within {wait:g} s: killed")
            one.kill()
            if not one.wait_gone(10.0):
                self.complain(
                    f"{self.name} (pid {one.pid}) can't be killed: it waits for its disk, or belongs to another user"
                )
                return 1
        self._clear(found, one)
        self.say(f"{self.name} stopped, pid {one.pid}")
        return 0

    def _clear(self, found: Found, gone: Identity | None = None) -> None:
        """Remove what the dead have left: the pid file, and `runs` in the database's row."""
        for one in {one for one in (gone, found.stale) if one}:
            pidfile.remove_stale(self.where.pid, one)
        if gone is None and found.row and not found.row.stopped and not found.row.identity.alive():
            gone = found.row.identity
        if gone and found.row and found.row.identity == gone:
            with self._database() as db:
                try:
                    beat.mark_stopped(db, gone, self.name, self.where.key)
                except (OndeckError, SQLAlchemyError) as error:
                    self.complain(f"its row in the run database still says that it runs: {error}")

    def _mourn(self, found: Found, why: str, code: int) -> None:
        who = (found.live or (found.local.identity if found.local else None,))[0]
        with self._database() as db:
            try:
                tell_of_death(db, self.config, self.name, who, why, started=code == 0)
            except (OndeckError, SQLAlchemyError) as error:
                self.complain(f"no message could be left in the outbox: {error}")

    def _find(self, *, ask: bool = True) -> Found:
        if not ask:
            return find(self.config, self.name, Rows())
        with self._database() as db:
            return find(self.config, self.name, rows_of(db, self.name))

    @contextmanager
    def _database(self) -> Iterator[Database]:
        db = Database(self.config.database.url.get_secret_value())
        try:
            yield db
        finally:
            db.dispose()


def _nothing(_: str) -> None:
    return


def _other(name: str, row: Row) -> Status:
    return Status(
        name, "elsewhere", row.identity.pid, row.identity.host, row.started_at, row.age, row.lanes, row.last_error
    )


def _how_it_died(found: Found) -> str:
    """In words; empty when it did not die but was stopped, or never ran here."""
    if found.live:
        age = found.local.age if found.local else found.row.age if found.row else None
        since = f"since {timedelta(seconds=round(age))}" if age is not None else "for long"
        return f"(pid {found.live[0].pid}) had not beaten {since} and was stopped"
    if found.local and found.local.identity.here and found.local.stopped_at is None:
        who, age = found.local.identity, found.local.age
    elif found.local is None and found.row and not found.row.stopped:
        who, age = found.row.identity, found.row.age
    else:
        return ""
    return f"(pid {who.pid}) had died, its last heartbeat was {timedelta(seconds=round(age))} ago"


def _sizes(*paths: Path) -> dict[Path, int]:
    return {path: path.stat().st_size if path.exists() else 0 for path in paths}


def _tail(before: dict[Path, int]) -> list[str]:
    """The last lines that came into the files since they had the sizes `before`."""
    lines: list[str] = []
    for path, size in before.items():
        if path.exists():
            with path.open("rb") as file:
                file.seek(size if size <= path.stat().st_size else 0)
                lines += file.read().decode(errors="replace").splitlines()[-TAIL:]
    return lines
