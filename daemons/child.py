"""From the first to the last line of a daemon's process, detached or in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path

from ..config.errors import OndeckError
from ..config.load import load
from ..config.model import Config
from ..db.actor import set_actor
from ..db.engine import Database
from . import logs
from .base import Lane
from .folders import make_folders, places
from .fork import Teller, detach, fill_streams, show_as
from .identity import me
from .instances import NotStarted, find, rows_of
from .pidfile import PidFile, PidFileTaken
from .registry import DAEMONS, daemon_class
from .runner import Runner

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """The process that `fork.launch` starts: it becomes the daemon NAME."""
    fill_streams()
    parser = argparse.ArgumentParser(prog="ondeck daemon", description=main.__doc__)
    parser.add_argument("name", choices=list(DAEMONS))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--log", choices=logs.LEVELS)
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--tell", type=int)
    given = parser.parse_args(argv)
    tell = Teller(given.tell)
    try:
        config = load(given.config)
        os.umask(config.umask)
        make_folders(config)
        detach(places(config, given.name), config.umask, given.tell)
        show_as([given.name, "--config", str(config.path)])
        return work(given.name, config, logs.level(given.log), tell=tell, take_over=given.take_over)
    except (OndeckError, OSError) as error:
        tell.failed(str(error))
        print(error, file=sys.stderr)
        return 1


def work(
    name: str,
    config: Config,
    level: int,
    *,
    tell: Teller | None = None,
    foreground: bool = False,
    once: bool = False,
    take_over: bool = False,
) -> int:
    """Be the daemon `name` until it ends; returns the exit code. Raises what keeps it from starting.

    Nothing was opened before: log, pid file and database are made here.
    """
    os.umask(config.umask)
    make_folders(config)
    where, tell, identity = places(config, name), tell or Teller(None), me()
    logs.set_up(name, where.log, level, stderr=foreground)
    set_actor(f"{name}@{identity.host}:{identity.pid}")
    with contextlib.suppress(AttributeError, ValueError, OSError):  # stderr without a file
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    pid_file = PidFile(where.pid, name, identity)
    db = Database(config.database.url.get_secret_value())
    try:
        rows = rows_of(db, name)
        for held in (False, True):  # again under the lock, where nobody else can start
            if refusal := find(config, name, rows, but=identity).refusal(take_over=take_over):
                raise NotStarted(why=refusal)
            if not held:
                pid_file.take()
        runner = Runner(daemon_class(name), config, db, identity, pid_file)
        code = runner.once() if once else runner.run(tell.started)
        if code:
            tell.failed(runner.ended or "it ended")
        return code
    except (NotStarted, PidFileTaken) as refused:
        log.warning("not started", extra={"why": str(refused)})
        raise
    except Exception as error:
        log.critical("can't go on", exc_info=not isinstance(error, OndeckError), extra={"why": str(error)})
        raise
    finally:
        pid_file.leave()
        db.dispose()


def dry_run(name: str, config: Config) -> int:
    """Print what each lane would do now; changes nothing. Returns 1 if a lane could not say."""
    logs.set_up(name, None, logging.WARNING, stderr=True)
    db = Database(config.database.url.get_secret_value())
    code = 0
    try:
        db.check_schema()
        daemon = daemon_class(name)(config, db)
        for lane_name in daemon.lanes():
            lane = Lane(lane_name, name)
            try:
                for line in daemon.plan(lane):
                    print(f"{lane_name}: {line}")
            except Exception as error:
                lane.log.error("can't plan", extra={"error": str(error)}, exc_info=not isinstance(error, OndeckError))
                code = 1
            finally:
                daemon.close(lane)
    finally:
        db.dispose()
    return code
