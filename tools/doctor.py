"""`ondeck doctor`: looks at everything that can be wrong with an installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from ..config import Config, OndeckError
from ..config.daemons import DAEMONS
from ..daemons.instances import find, rows_of
from ..db.engine import Database
from ..db.inspection import wrong_triggers
from ..rules.gates import pause, restored
from .errors import Command
from .findings import Finding, failed, show, tried
from .opening import config_option, configured
from .sitecheck import SiteCheck, database_clock
from .words import duration, size

_LITTLE = 100_000_000
_SECONDS = 20.0


@click.command(cls=Command, context_settings={"max_content_width": 100}, epilog="""\b
Examples:
  ondeck doctor
  ondeck doctor --no-job --json""")  # fmt: skip
@config_option
@click.option("--no-job", is_flag=True, help="Submit no job at the sites.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects: level, subject, words, todo.")
def doctor(path: str | None, no_job: bool, as_json: bool) -> None:
    """Look at everything that can be wrong, and say what to do about it.

    The configuration, the run database with its triggers, clocks, the state directory, the daemons, cron, and all
    sites as `ondeck site check` does. Exits with 1 if something fails.
    """
    del path
    config = configured()
    found = Doctor(config, job=not no_job).run()
    show(found, as_json=as_json)
    if failed(found):
        click.get_current_context().exit(1)


class Doctor:
    """All checks. None stops another that doesn't need it."""

    def __init__(self, config: Config, *, job: bool = True) -> None:
        self.config, self.job = config, job

    def run(self) -> list[Finding]:
        """Do them, in the order in which one would mend."""
        found = [Finding("ok", "configuration", str(self.config.path))]
        found += tried("state directory", self._state_dir)
        try:
            db = Database(self.config.database.url.get_secret_value())
        except OndeckError as error:
            return [*found, Finding("fail", "run database", str(error))]
        try:
            found += self._database(db)
        finally:
            db.dispose()
        return [*found, *self._cron(), *self._rights()]

    def _database(self, db: Database) -> list[Finding]:
        try:
            db.check_schema()
        except OndeckError as error:
            return [Finding("fail", "run database", str(error))]
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            return [Finding("fail", "run database", f"{db.masked}: {words}", "Is its server there? Is its file?")]
        found = [Finding("ok", "run database", f"{db.masked} answers, its schema is right")]
        for subject, check in (
            ("triggers", self._triggers), ("restored", self._restored), ("clock of the run database", database_clock),
            ("daemons", self._daemons), ("pauses", self._pauses),
        ):  # fmt: skip
            found += tried(subject, self._with(check, db))
        for site in self.config.sites:
            found += SiteCheck(self.config, db, site, job=self.job).run()
        return found

    @staticmethod
    def _with(check: Callable[[Database], Sequence[Finding]], db: Database) -> Callable[[], Sequence[Finding]]:
        return lambda: check(db)

    def _triggers(self, db: Database) -> list[Finding]:
        with db.read() as session:
            wrong = wrong_triggers(session)
        if wrong:
            words = f"{'; '.join(wrong[:5])}{' …' if len(wrong) > 5 else ''}: illegal steps and gaps in histories"
            return [Finding("fail", "triggers", words, "Stop the daemons, and restore the schema from a backup")]
        return [Finding("ok", "triggers", "all are there")]

    def _restored(self, db: Database) -> list[Finding]:
        with db.read() as session:
            closed = restored(session)
        return [] if closed is None else [Finding("fail", "restored", closed.reason, "Type `ondeck fsck`")]

    def _pauses(self, db: Database) -> list[Finding]:
        with db.read() as session:
            closed = [(site, one) for site in self.config.sites if (one := pause(session, site))]
        return [Finding("warn", f"site {site}", one.reason, one.opens) for site, one in closed]

    def _daemons(self, db: Database) -> list[Finding]:
        found = []
        for name in DAEMONS:
            if name == "Messenger" and not self.config.sinks:
                continue
            one = find(self.config, name, rows_of(db, name))
            limit = 3 * one.heartbeat
            if not one.live and (one.elsewhere is None or one.elsewhere_gone) and not one.others:
                stale = f" (its pid file names {one.stale.pid}, which is gone)" if one.stale else ""
                found.append(Finding("warn", name, f"does not run{stale}", f"Type `ondeck daemon {name} start`"))
            elif one.live and one.local is not None and one.local.age > limit:
                words = f"its last heartbeat is {duration(one.local.age)} old"
                found.append(Finding("fail", name, words, f"Type `ondeck daemon {name} restart`"))
            elif one.live and one.row is not None and one.row.age > limit:
                words = f"it has not reached the run database for {duration(one.row.age)}"
                found.append(Finding("fail", name, words, "See its log"))
            elif one.row is not None and one.row.last_error and one.live:
                found.append(Finding("warn", name, one.row.last_error, "See its log"))
            else:
                pids = ", ".join(str(i.pid) for i in one.live) or "on another machine"
                found.append(Finding("ok", name, f"runs (pid {pids})" if one.live else f"runs {pids}"))
        return found

    def _state_dir(self) -> list[Finding]:
        folder = self.config.state_dir
        if not folder.is_dir():
            return [Finding("note", "state directory", f"{folder} is not there yet: the first daemon makes it")]
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".ondeck-check-") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            words = f"{folder}: {error.strerror}"
            return [Finding("fail", "state directory", words, "The daemons need it for pid files, heartbeats and logs")]
        free = shutil.disk_usage(folder).free
        if free < _LITTLE:
            return [Finding("warn", "state directory", f"{folder} has {size(free)} free", "Make room for the logs")]
        return [Finding("ok", "state directory", f"{folder}, {size(free)} free")]

    def _cron(self) -> list[Finding]:
        """Whether cron keeps the daemons alive, as far as that can be seen."""
        todo = "`ondeck cron` prints the lines that keep the daemons alive"
        if shutil.which("crontab") is None:
            return [Finding("note", "cron", "there is no crontab here to look at", todo)]
        try:
            listed = subprocess.run(
                ["crontab", "-l"], capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
            ).stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            return [Finding("note", "cron", f"can't be looked at: {error}", todo)]
        lines = [line for line in listed.splitlines() if "refresh.sh" in line and not line.lstrip().startswith("#")]
        if any(str(self.config.path) in line for line in lines):
            return [Finding("ok", "cron", "refresh.sh is called for this configuration")]
        return [Finding("warn", "cron", "nothing in this user's crontab calls refresh.sh for this configuration", todo)]

    def _rights(self) -> list[Finding]:
        found = []
        if not self.config.umask & 0o002:
            words = f"umask = {self.config.umask:03o}: everybody may change what ondeck makes"
            found.append(Finding("warn", "umask", words, 'Write umask = "027" or "022"'))
        path = Path(self.config.path)
        if path.exists() and path.stat().st_mode & 0o002:
            found.append(Finding("warn", "configuration", f"everybody may change {path}", f"chmod o-w {path}"))
        return found
