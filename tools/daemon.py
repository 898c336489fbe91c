"""The daemons' commands: `NAME start|stop|restart|status|foreground`, and `ondeck start|stop|status` for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError
from tabulate import tabulate

from ..config.errors import OndeckError
from ..config.load import load
from ..config.model import Config
from ..daemons import child, logs
from ..daemons.control import NOT_RUNNING, Control, Status
from ..daemons.registry import DAEMONS, known
from ..db.engine import Database
from .attention import attention
from .config_commands import path_of
from .errors import Command, Group

_config = click.option("--config", "path", metavar="FILE", help="The configuration [default: as `ondeck --help` says].")
_log = click.option(
    "--log", metavar="LEVEL", type=click.Choice(logs.LEVELS), help="How much is logged [default: $ONDECK_LOG, or info]."
)
_wait = click.option("--wait", metavar="SECONDS", default=30.0, show_default=True, type=click.FloatRange(min=0))
_take_over = click.option(
    "--take-over", is_flag=True, help="Although its pid file names another host: you know that it is gone there."
)


class Verbs(Group):
    """A group that calls what it doesn't know an unknown command; that, and no command at all, exit with 2."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click.Group.resolve_command."""
        if self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"Unknown command: {args[0]!r}. Commands are: {', '.join(self.list_commands(ctx))}.", ctx
            )
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they stand here."""
        del ctx
        return list(self.commands)


def _no_verb(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def _loaded(path: str | None) -> Config:
    """The configuration; `--config` may stand before a command or after it, the nearest holds."""
    context: click.Context | None = click.get_current_context()
    while path is None and context is not None:
        path = context.params.get("path")
        context = context.parent
    return load(path or path_of(click.get_current_context()))


def _exits(command: Callable[[], int]) -> None:
    """Run a command; its number is the exit code."""
    click.get_current_context().exit(command())


def daemon_command(name: str) -> click.Group:
    """The command of one daemon."""

    @click.group(name, cls=Verbs, invoke_without_command=True, help=f"Start, stop and look at the daemon {name}.")
    @_config
    @click.pass_context
    def group(ctx: click.Context, path: str | None) -> None:
        del path
        _no_verb(ctx)

    @group.command(
        help="Start it in the background, and wait for its first heartbeat. Exits with 1 if it runs already."
    )
    @_config
    @_log
    @_wait
    @_take_over
    def start(path: str | None, log: str | None, wait: float, take_over: bool) -> None:
        _exits(lambda: Control(_loaded(path), name, log=log).start(wait, take_over=take_over))

    @group.command(
        help="Stop it: what it works on is given back. After SECONDS it is killed. No error if it does not run."
    )
    @_config
    @_wait
    def stop(path: str | None, wait: float) -> None:
        _exits(lambda: Control(_loaded(path), name).stop(wait))

    @group.command(help="Stop it, if it runs, and start it.")
    @_config
    @_log
    @_wait
    @_take_over
    @click.option("--if-dead", is_flag=True, help="Only if its heartbeat is old; then also leave a mail in the outbox.")
    def restart(path: str | None, log: str | None, wait: float, take_over: bool, if_dead: bool) -> None:
        def command() -> int:
            control = Control(_loaded(path), name, log=log)
            return control.restart_if_dead(wait) if if_dead else control.restart(wait, take_over=take_over)

        _exits(command)

    @group.command(help=f"Say how it does. Exits with 0 if it runs, {NOT_RUNNING} if not.")
    @_config
    def status(path: str | None) -> None:
        _exits(lambda: _show(_loaded(path), [name]))

    @group.command(help="Run it in this terminal, until Ctrl-C; the log goes to stderr as well.")
    @_config
    @_log
    @_take_over
    @click.option("--once", is_flag=True, help="One pass: each lane until nothing moves, then end.")
    @click.option("--dry-run", is_flag=True, help="Print exactly what would be done now, and do nothing.")
    def foreground(path: str | None, log: str | None, take_over: bool, once: bool, dry_run: bool) -> None:
        def command() -> int:
            config, level = _loaded(path), logs.level(log)
            if dry_run:
                return child.dry_run(name, config)
            return child.work(name, config, level, foreground=True, once=once, take_over=take_over)

        _exits(command)

    return group


class _Daemons(Verbs):
    """`ondeck daemon NAME …`: a command for each daemon."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(DAEMONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return daemon_command(cmd_name) if cmd_name in DAEMONS else None


@click.group("daemon", cls=_Daemons, invoke_without_command=True)
@click.pass_context
def daemon(ctx: click.Context) -> None:
    """One daemon: NAME start|stop|restart|status|foreground."""
    _no_verb(ctx)


@click.command("start", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_config
@_log
@_wait
def start_all(names: Sequence[str], path: str | None, log: str | None, wait: float) -> None:
    """Start all daemons (or those named) that don't run yet. Exits with 0 if in the end all run."""

    def start(control: Control) -> int:
        if control.running():
            control.say(f"{control.name} is already running")
            return 0
        return control.start(wait)

    _exits(lambda: max(_each(_loaded(path), names, start, log)))


@click.command("stop", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_config
@_wait
def stop_all(names: Sequence[str], path: str | None, wait: float) -> None:
    """Stop all daemons (or those named). What they work on is given back."""
    _exits(lambda: max(_each(_loaded(path), names, lambda control: control.stop(wait))))


@click.command("status", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_config
def status_all(names: Sequence[str], path: str | None) -> None:
    """Say how the daemons do, and what waits for a person. Exits with 0 if all run, 3 if not."""

    def command() -> int:
        config = _loaded(path)
        code = _show(config, names)
        for words in _attention(config):
            click.echo(f"! {logs.visible(words)}")
        return code

    _exits(command)


def _attention(config: Config) -> list[str]:
    """What waits for a person; nothing where the run database can't say (the table has said so already)."""
    db = Database(config.database.url.get_secret_value())
    try:
        with db.read() as session:
            return attention(session, config)
    except (OndeckError, SQLAlchemyError):
        return []
    finally:
        db.dispose()


def _each(config: Config, names: Sequence[str], act: Callable[[Control], int], log: str | None = None) -> list[int]:
    """`act` on all daemons side by side, in the order of names where it matters: in what is returned."""
    controls = [Control(config, known(name), log=log) for name in names or DAEMONS]
    with ThreadPoolExecutor(len(controls)) as pool:
        return list(pool.map(act, controls))


def _show(config: Config, names: Sequence[str]) -> int:
    found = [Control(config, known(name)).status() for name in names or DAEMONS]
    table = [_line(status) for several in found for status in several]
    click.echo(
        tabulate(table, headers=["daemon", "state", "pid", "host", "since (UTC)", "last beat", "lanes", "last error"])
    )
    return 0 if all(several[0].state in ("running", "elsewhere") for several in found) else NOT_RUNNING


def _line(status: Status) -> list[object]:
    age = "" if status.beat_age is None else f"{timedelta(seconds=round(status.beat_age))} ago"
    since = status.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if status.since else ""
    lanes = ", ".join(f"{name} ({_doing(lane)})" for name, lane in status.lanes.items())
    error = logs.visible(status.last_error or "")
    return [status.name, status.state, status.pid or "", status.host or "", since, age, lanes, error[:100]]


def _doing(lane: dict[str, Any]) -> str:
    """What a lane does, in a word or two."""
    if lane.get("error"):
        return f"error ×{lane.get('errors')}"
    return "at work" if lane.get("step_since") else f"{lane.get('moved', 0)} moved"


def RunsProvider() -> None:
    """The command RunsProvider."""
    daemon_command("RunsProvider")(prog_name="RunsProvider")


def Transfer() -> None:
    """The command Transfer."""
    daemon_command("Transfer")(prog_name="Transfer")


def JobOrganizer() -> None:
    """The command JobOrganizer."""
    daemon_command("JobOrganizer")(prog_name="JobOrganizer")


def Process() -> None:
    """The command Process."""
    daemon_command("Process")(prog_name="Process")


def DiskMonitor() -> None:
    """The command DiskMonitor."""
    daemon_command("DiskMonitor")(prog_name="DiskMonitor")


def Messenger() -> None:
    """The command Messenger."""
    daemon_command("Messenger")(prog_name="Messenger")
