"""`ondeck simulate`: a pretend DAQ, to try a configuration before there is beam."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy import func, select

from ..config import Config, OndeckError
from ..config.problems import nearest
from ..config.units import parse_size
from ..config.wrong import Wrong
from ..db.engine import Database
from ..db.models import Run
from .disks import under_umask
from .errors import Command
from .opening import config_option, opened
from .words import counted, moment, plain, size

_PER = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_BLOCK = 1_000_000


class NoSource(OndeckError):
    """there is no source {name} in {file}: {hint}"""


class NotHere(OndeckError):
    """source {name} can't be simulated: {why}"""


class CantWriteRun(OndeckError):
    """run {run} can't be written in {folder}: {why}"""


def rate_of(words: str) -> float:
    """Seconds between two runs, from a rate such as 6/min; a plain number is runs a minute."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(?:/\s*([a-z]+))?", words.strip())
    if match is None or (match[2] or "min") not in _PER or float(match[1]) == 0:
        raise click.BadParameter(f"{plain(words, 40)!r} is no rate: write 6/min, 1/s or 100/h")
    return _PER[match[2] or "min"] / float(match[1])


def size_of(words: str) -> int:
    """Bytes, from a size such as 10M."""
    try:
        return parse_size(words if not words.isdecimal() else int(words))
    except Wrong as error:
        raise click.BadParameter(f"{plain(words, 40)!r}: {error.wrong}: {error.right}") from error


class Daq(NamedTuple):
    """What a pretend DAQ writes, and where: `nbytes` a run in `files` files; `parameters` is the name of a file."""

    source: str
    folder: Path
    end_marker: str
    parameters: str
    nbytes: int
    files: int
    types: Sequence[str]


@click.command(cls=Command, epilog="""\b
Examples:
  ondeck simulate                                   6 runs a minute, until Ctrl-C
  ondeck simulate --runs 10 --rate 1/s --size 1M
  ondeck simulate --types physics,calibration --seed 7""")  # fmt: skip
@config_option
@click.option(
    "--source", metavar="NAME", help="The source whose directory gets the runs  [default: daq, or the only one]"
)
@click.option(
    "--rate",
    metavar="RATE",
    type=rate_of,
    default="6/min",
    show_default=True,
    help="Runs in a time: 6/min, 1/s, 100/h.",
)
@click.option("--runs", "number", type=click.IntRange(min=1), metavar="N", help="End after N runs.")
@click.option("--size", "nbytes", metavar="SIZE", type=size_of, default="10M", show_default=True, help="Bytes a run.")
@click.option("--files", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Data files a run.")
@click.option("--types", default="physics,calibration", show_default=True, help="Types of runs, chosen by chance.")
@click.option("--seed", type=int, help="The same seed writes the same runs.")
def simulate(
    path: str | None,
    source: str | None,
    rate: float,
    number: int | None,
    nbytes: int,
    files: int,
    types: str,
    seed: int | None,
) -> None:
    """A pretend DAQ: writes runs at a rate into the directory of a source.

    Each run is a directory with data files, then a file of parameters, and last the end marker. Their numbers go on
    from what is there. Ctrl-C ends it; a run that is half written then is taken away. The data are random; each run
    has a new number, so nothing of a real DAQ is touched.
    """
    del path
    kinds = [kind.strip() for kind in types.split(",") if kind.strip()]
    if not kinds:
        raise click.UsageError("--types needs at least one type.")
    with opened(schema=False) as (config, db):
        under_umask(config)
        daq = _daq(config, source, nbytes, files, kinds)
        first = next_number(daq, db)
    count = _write_runs(daq, first, number, rate, random.Random(seed))
    click.echo(f"{counted(count, 'run')} written to {daq.folder}")


def _daq(config: Config, asked: str | None, nbytes: int, files: int, types: Sequence[str]) -> Daq:
    """The source to write for; raises NoSource, NotHere."""
    known = list(config.sources)
    name = asked or ("daq" if "daq" in known or len(known) != 1 else known[0])
    if name not in known:
        raise NoSource(name=repr(name), file=config.path, hint=nearest(name, known) if known else "it has none")
    section = config.sources[name]
    if section.type != "directory" or section.storage is None:
        raise NotHere(name=name, why=f"it is of the type {section.type}, not a directory")
    storage = config.storages[section.storage]
    if config.sites[storage.site].transport != "local":
        raise NotHere(name=name, why=f"its storage {storage.name} is not on this machine but at site {storage.site}")
    if not storage.path.is_dir():
        raise NotHere(name=name, why=f"there is no directory {storage.path}: `builddb` makes it")
    options: Any = section.options
    return Daq(name, storage.path, options.end_marker, options.parameters[0], nbytes, files, types)


def next_number(daq: Daq, db: Database) -> int:
    """One above the highest number among the directories there and the source's runs in the run database, if it is."""
    names = (entry.name for entry in daq.folder.iterdir())
    highest = max((int(n) for n in names if n.isascii() and n.isdecimal() and len(n) <= 18), default=0)
    try:
        db.check_schema()
    except OndeckError:
        return highest + 1
    with db.read() as session:
        known = session.scalar(select(func.max(Run.number)).where(Run.source == daq.source))
    return max(highest, known or 0) + 1


def _write_runs(daq: Daq, first: int, number: int | None, interval: float, chance: random.Random) -> int:
    """Write runs until there are `number` of them or somebody ends it; returns how many there were."""
    count, due = 0, time.monotonic()
    with _ended_by_signals() as ended:
        while not ended.is_set() and (number is None or count < number):
            if not _write(daq, first + count, chance, ended):
                break
            count += 1
            due = max(due + interval, time.monotonic())
            if number is None or count < number:
                ended.wait(max(0.0, due - time.monotonic()))
    return count


@contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {one: signal.signal(one, lambda *_: ended.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _write(daq: Daq, number: int, chance: random.Random, ended: threading.Event) -> bool:
    """Write one run, the end marker last; False when it was broken off, and then nothing of it is left."""
    name = f"{number:06d}"
    folder, begin = daq.folder / name, datetime.now(UTC)
    try:
        folder.mkdir()
    except OSError as error:
        raise CantWriteRun(run=name, folder=daq.folder, why=error.strerror or error) from error
    complete = False
    try:
        for index in range(daq.files):
            share = daq.nbytes * (index + 1) // daq.files - daq.nbytes * index // daq.files
            if not _write_file(folder / f"{name}_{index + 1:03d}.dat", share, chance, ended):
                return False
        params = {
            "name": name, "number": number, "run_type": chance.choice(daq.types),
            "events": chance.randint(1_000, 200_000),
            "start": begin.isoformat(timespec="seconds"), "stop": datetime.now(UTC).isoformat(timespec="seconds"),
            "simulated": True,
        }  # fmt: skip
        _put(folder / daq.parameters, _document(daq.parameters, params))
        _put(folder / daq.end_marker, b"")
        complete = True
    except OSError as error:
        raise CantWriteRun(run=name, folder=daq.folder, why=error.strerror or error) from error
    finally:
        if not complete:
            shutil.rmtree(folder, ignore_errors=True)
    kind, events = params["run_type"], params["events"]
    click.echo(f"{moment(datetime.now(UTC))}  {name}  {kind}, {events} events, {daq.files} files, {size(daq.nbytes)}")
    return True


def _write_file(path: Path, nbytes: int, chance: random.Random, ended: threading.Event) -> bool:
    with path.open("xb") as stream:
        while nbytes > 0:
            if ended.is_set():
                return False
            stream.write(chance.randbytes(min(nbytes, _BLOCK)))
            nbytes -= _BLOCK
    return True


def _put(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _document(name: str, params: dict[str, Any]) -> bytes:
    if name.endswith(".toml"):
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in params.items()).encode()
    return (json.dumps(params, indent=1) + "\n").encode()
