"""The ondeck.toml that `ondeck init` writes."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from .load import FILE
from .problems import ConfigError

FOLDERS = ("daq", "raw", "archive", "work", "state", "templates")
_MODE = 0o750
_README = """\
Job scripts (jinja2 templates) that modules name with `template = "FILE"` are looked for here first.
"""
_TEXT = """\
# The configuration of ondeck. Paths are relative to this file's folder.
# Durations: "10s", "5m", "2h", "1d". Sizes: "500M", "10G" (powers of 1000), "1GiB" (of 1024).
# `ondeck config check` says what is wrong here, `ondeck config show` prints all keys with their values.

{name} # holds several experiments on one machine apart
state_dir = "state"            # pid files, logs, heartbeats
umask = "027"                  # files are for user and group; "022": everybody may read

[database]                     # all that ever happened to a run is kept here
url = "sqlite:///ondeck.db"    # or postgresql://USER@HOST/DATABASE when daemons run on several machines

[sites.here]                   # a place: this machine
transport = "local"            # how it is reached
work = "work"                  # each attempt of a job gets a directory of its own in here

[sites.here.batch]             # what runs jobs there
system = "local"               # detached processes on the site
slots = 2                      # jobs at once

[storages.daq]                 # where the DAQ writes: a directory a run
site = "here"
path = "daq"

[storages.disk]                # where runs are processed
site = "here"
path = "raw"
high = 90.0                    # percent of the file system: fuller, and the oldest safe copies are removed
low = 80.0                     # ... down to this; without high and low nothing is ever removed
reserve = "1G"                 # free space that a transfer must leave

[storages.tape]                # where runs stay
site = "here"
path = "archive"
kind = "archive"               # takes runs in bundles: tar files, read back and verified

[storages.tape.bundle]         # a bundle is written when the first of these is reached
count = 10                     # runs
size = "20G"                   # bytes
age = "1m"                     # time that a run waits for others (once you have seen it work: "1d")

[sources.daq]                  # where runs come from
type = "directory"             # a run is a directory with an end marker and a file of parameters
storage = "daq"
end_marker = "run.end"         # the DAQ writes this file last
parameters = ["run.json", "run.toml"]   # the first of these that exists tells number, run_type, events ...
remove = "never"               # when the DAQ's copy may go: "never", "ondeck" or "archived" (by proof only)
# begin = "now"                # what to do with runs that are there already: "now", "all" or "after:RUN"

[listeners.all]                # which runs are ours, and what is done with them
sources = ["daq"]              # which sources it listens to
match = {{}}                     # any run; or {{run_type = "physics", number = {{min = 1000}}}} and the like
modules = ["checksums"]        # what is run on each
storage = "disk"               # where runs are copied to
archive = "tape"               # where they are archived; without this key they are not
min_copies = 1                 # verified copies elsewhere before one may be removed

[modules.checksums]            # one kind of processing: a listing of the run's files with their checksums
template = "checksums.sh"      # looked for in ./templates, then among ondeck's own
site = "here"
walltime = "1h"                # longest time a job may run
cores = 1
memory = "1G"
max_failures = 3               # then the job is failed and a person must look

# [sinks.mail]                 # who hears of trouble
# type = "mail"
# host = "localhost"           # the SMTP server
# port = 25
# sender = "ondeck@example.org"
# recipients = ["shift@example.org"]
"""


class ConfigExists(ConfigError):
    """{file} exists already: it is left as it is. Take another folder, or remove the file first."""


class CantWrite(ConfigError):
    """{path}: can't be written: {why}"""


def text(folder: Path) -> str:
    """The ondeck.toml for an empty folder, whose name becomes the experiment's."""
    return _TEXT.format(name=f'name = "{name_of(folder)}"'.ljust(30))


def name_of(folder: Path) -> str:
    """A legal name for an experiment, as near to the folder's as can be."""
    words = re.sub(r"[^a-z0-9_]+", "-", folder.absolute().name.lower())
    return re.sub(r"^[^a-z]+", "", words)[:31].rstrip("-") or "ondeck"


def init(folder: Path) -> Path:
    """Writes ondeck.toml and the folders it names; gives the file's path.

    The file appears whole or not at all, and last. Raises ConfigExists, CantWrite.
    """
    folder = folder.absolute()
    file = folder / FILE
    if os.path.lexists(file):
        raise ConfigExists(file=file)
    made: list[Path] = []
    try:
        for path in (folder, *(folder / name for name in FOLDERS)):
            if not path.is_dir():
                path.mkdir(mode=_MODE, parents=path == folder)
                made.append(path)
        readme = folder / "templates" / "README"
        if not os.path.lexists(readme):
            made.append(readme)
            readme.write_text(_README)
        _publish(file, text(folder))
    except BaseException as error:
        _undo(made)
        if isinstance(error, FileExistsError) and os.path.lexists(file):
            raise ConfigExists(file=file) from error
        if isinstance(error, OSError):
            raise CantWrite(path=error.filename or folder, why=error.strerror or error) from error
        raise
    return file


def _publish(file: Path, content: str) -> None:
    """Write beside, flush to disk, then give it its name, never over another file."""
    handle, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o640)
            os.fsync(stream.fileno())
        os.link(name, file)
    finally:
        Path(name).unlink()


def _undo(made: list[Path]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
