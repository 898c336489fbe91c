"""`ondeck watch`: a live picture of the flow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from ..config import Config
from ..daemons.registry import DAEMONS
from ..db import flow
from ..db.clock import database_time
from ..db.engine import Database
from ..db.states import STATUSES
from .attention import attention
from .errors import Command
from .opening import config_option, opened
from .words import counted, duration, moment, plain

_COUNT_ALL = 30.0
_STEPS = 12
_WITHIN = timedelta(minutes=10)
_COLOURS = {"failed": "bold red", "cancelled": "red", "archived": "bold green", "done": "green", "waiting": "yellow"}


@dataclass
class Picture:
    """What is seen at one moment."""

    at: datetime
    runs: dict[str, int]
    jobs: dict[str, int]
    rates: dict[str, int]
    held: list[tuple[str, str, int, datetime | None, str | None]]
    waiting: list[tuple[str, str, str | None]]
    beats: list[flow.Beat]
    steps: list[flow.Step]
    attention: list[str]


@dataclass
class Camera:
    """Takes pictures; counts all runs only now and then."""

    db: Database
    config: Config
    _all: dict[str, int] = field(default_factory=dict)
    _counted: float = -_COUNT_ALL

    def take(self) -> Picture:
        """The picture of now: short queries in one transaction."""
        with self.db.read() as session:
            return self._take(session)

    def _take(self, session: Session) -> Picture:
        if time.monotonic() - self._counted >= _COUNT_ALL:
            self._all, self._counted = flow.all_runs(session), time.monotonic()
        return Picture(
            database_time(session),
            {**self._all, **flow.live_runs(session)},
            flow.live_jobs(session),
            flow.rates(session, _WITHIN),
            flow.held_back(session),
            flow.waiting_for_people(session),
            flow.beats(session),
            flow.recent_steps(session, _STEPS),
            attention(session, self.config),
        )


@click.command(cls=Command, epilog="""\b
Examples:
  ondeck watch
  ondeck watch --once              one picture, as text
  ondeck watch | grep failed       each step as a line, as it is taken""")  # fmt: skip
@config_option
@click.option("--once", is_flag=True, help="One picture, then end.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, metavar="SECONDS")
@click.option("--local", is_flag=True, help="Times in this machine's zone instead of UTC.")
def watch(path: str | None, once: bool, interval: float, local: bool) -> None:
    """Show what moves: runs and jobs by status, what is held back and by what, the daemons, the newest steps.

    Ctrl-C ends it. Where there is no terminal each step is printed as a line.
    """
    del path
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(40, shutil.get_terminal_size((140, 40)).columns))
    with opened() as (config, db):
        try:
            if once:
                console.print(drawn(config, Camera(db, config).take(), local))
            elif console.is_terminal:
                _live(console, config, db, interval, local)
            else:
                for line in lines(db, interval, local):
                    click.echo(line)
        except KeyboardInterrupt:
            return


def _live(console: Console, config: Config, db: Database, interval: float, local: bool) -> None:
    camera = Camera(db, config)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(config, camera.take(), local), refresh=True)
            time.sleep(interval)


def lines(db: Database, interval: float, local: bool) -> Iterator[str]:
    """How it stands in a line, then a line for each step as it is taken, for ever."""
    with db.read() as session:
        after = flow.newest_id(session)
        begin = f"{moment(database_time(session), local)}  runs: {_counts(flow.all_runs(session), 'runs') or 'none'}"
    yield begin
    while True:
        with db.read() as session:
            steps = flow.recent_steps(session, 1000, after)
        for step in steps:
            after = step.id
            yield f"{moment(step.at, local)}  {_step(step)}"
        if not steps:
            time.sleep(interval)


def _step(step: flow.Step) -> str:
    way = step.to if step.source in (None, step.to) else f"{step.source} -> {step.to}"
    return plain(f"{plain(step.what, 60)}  {way}  {plain(step.actor, 40)}  {plain(step.reason, 80)}".rstrip())


def _counts(counts: Mapping[str, int], table: str) -> str:
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES[table] if counts.get(status))


def drawn(config: Config, picture: Picture, local: bool) -> Group:
    """The picture for rich. All words from outside are plain texts, no markup."""
    title = Text(f"{config.name}  {moment(picture.at, local)}", style="bold")
    parts: list[RenderableType] = [
        title,
        Text(),
        _statuses(picture),
        Text(),
        *_trouble(picture),
        _daemons(config, picture),
        Text(),
    ]
    return Group(*parts, *_steps(picture, local))


def _statuses(picture: Picture) -> Table:
    table = Table(box=None, pad_edge=False)
    for name, align in (("runs", "left"), ("", "right"), ("last 10 min", "right"), ("jobs", "left"), ("", "right")):
        table.add_column(name, justify="right" if align == "right" else "left")
    runs = [
        (Text(s, style=_COLOURS.get(s, "")), str(picture.runs.get(s, 0)), str(picture.rates.get(s, "")))
        for s in STATUSES["runs"]
    ]
    jobs = [(Text(s, style=_COLOURS.get(s, "")), str(n)) for s, n in picture.jobs.items()]
    for index in range(max(len(runs), len(jobs))):
        left = runs[index] if index < len(runs) else (Text(), "", "")
        right = jobs[index] if index < len(jobs) else (Text(), "")
        table.add_row(*left, *right)
    return table


def _trouble(picture: Picture) -> list[Text]:
    found = [Text(plain(words, 300), "bold yellow") for words in picture.attention[:5]]
    found += [
        Text(
            f"{counted(n, what[:-1])} held back by {plain(gate, 20)}{_since(picture.at, since)}: {plain(why, 100)}",
            "yellow",
        )
        for what, gate, n, since, why in picture.held[:5]
    ]
    found += [
        Text(f"{plain(run, 40)} {plain(module, 30)} waits for a person: {plain(why, 100)}", style="yellow")
        for run, module, why in picture.waiting[:5]
    ]
    return [*found, Text()] if found else []


def _since(now: datetime, since: datetime | None) -> str:
    return f", the first for {duration(now - since)}" if since else ""


def _daemons(config: Config, picture: Picture) -> Text:
    found = Text()
    known = {beat.name for beat in picture.beats if not beat.stopped}
    for beat in picture.beats:
        if beat.stopped:
            continue
        limit = (
            3 * config.daemon(beat.name).heartbeat + timedelta(seconds=5)
            if beat.name in DAEMONS
            else timedelta(minutes=1)
        )
        well = beat.age <= limit
        words = f"{plain(beat.name, 20)} on {plain(beat.host, 40)} (pid {beat.pid})"
        found.append(f"{words}, beat {duration(beat.age)} ago", style="green" if well else "bold red")
        found.append(f"  {plain(beat.error, 80)}\n" if beat.error else "\n", style="red")
    missing = [name for name in DAEMONS if name not in known]
    if missing:
        found.append(f"not running: {', '.join(missing)}\n", style="red")
    found.rstrip()
    return found


def _steps(picture: Picture, local: bool) -> Iterator[Text]:
    for step in picture.steps:
        at = step.at if local else step.at.astimezone(UTC)
        clock = f"{(at.astimezone() if local else at):%H:%M:%S}"
        yield Text(f"{clock}  {_step(step)}", style=_COLOURS.get(step.to, ""), overflow="ellipsis", no_wrap=True)
