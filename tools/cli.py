"""The command `ondeck`: all others in one place, each loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

from .errors import Group
from .opening import program, version_option

EXIT_CODES = """\
0 it was done; 1 it could not be done, and a line on stderr that begins with `ondeck:` says why;
2 the command line is wrong; 3 (status) a daemon does not run."""

EXAMPLES = (
    ("ondeck init; builddb; ondeck start", "a configuration that works, its run database, the daemons"),
    ("ondeck simulate --rate 6/min", "a pretend DAQ, to try the configuration"),
    ("listdb --last 20", "where the newest runs are"),
    ("listdb --jobs --status failed", "the jobs that failed, and why"),
    ("ondeck history 152254", "all that ever happened to run 152254"),
    ("ResetJob 152254 sums", "have its module sums done again"),
    ("ondeck run reset 1522*", "take failed runs up again"),
    ("ondeck site pause here --until 2h", "begin nothing new there for two hours"),
)


class Mounted(NamedTuple):
    """A command: `module:attribute` in this package, and what it does in one line."""

    where: str
    does: str


SECTIONS: dict[str, dict[str, Mounted]] = {
    "To begin": {
        "init": Mounted("config_commands:init", "Write a commented ondeck.toml that works."),
        "config": Mounted("config_commands:config", "Check, show and describe the configuration."),
        "builddb": Mounted("builddb:builddb", "Make the run database and give each storage its uuid."),
        "storage": Mounted("storage:storage", "Initialise storages; list them, their space, what is mounted."),
        "adopt": Mounted("adopt:adopt", "Say which of a source's old runs are taken."),
        "simulate": Mounted("simulate:simulate", "A pretend DAQ that writes runs at a rate."),
    },
    "Daemons": {
        "start": Mounted("daemon:start_all", "Start all daemons, or those named."),
        "stop": Mounted("daemon:stop_all", "Stop them; what they work on is given back."),
        "status": Mounted("daemon:status_all", "Say how they do."),
        "daemon": Mounted("daemon:daemon", "One daemon: NAME start|stop|restart|status|foreground."),
        "cron": Mounted("cron:cron", "Print the lines for crontab or acrontab that keep them alive."),
    },
    "To look": {
        "listdb": Mounted("listdb:listdb", "List runs or jobs, as a table, JSON or CSV."),
        "watch": Mounted("watch:watch", "A live picture of the flow."),
        "history": Mounted("history:history", "Every step of a run, by whom and why."),
        "listeners": Mounted("listeners:listeners", "Which listener takes which runs; test it on a run."),
        "states": Mounted("states:states", "The statuses and the legal steps between them."),
    },
    "To act": {
        "run": Mounted("run_commands:run", "Add, reset, cancel, comment and tag runs."),
        "job": Mounted("run_commands:job", "Reset, hold, start and cancel jobs."),
        "cancel": Mounted("run_commands:cancel_job", "End jobs for good."),
        "site": Mounted("site:site", "Check a site, pause it, resume it, list sites."),
        "doctor": Mounted("doctor:doctor", "Look at everything that can be wrong, sites included."),
        "fsck": Mounted("fsck:fsck", "Compare the run database with disks and batch systems."),
        "alterdb": Mounted("alterdb:alterdb", "Upgrade the run database, or add a column for a parameter."),
    },
}

COMMANDS = {name: mounted for section in SECTIONS.values() for name, mounted in section.items()}


class Ondeck(Group):
    """The group of all commands; only the one that is called is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the sections."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        mounted = COMMANDS.get(cmd_name)
        if mounted is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = mounted.where.partition(":")
        command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section a group of commands, a line each."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, mounted.does) for name, mounted in commands.items()], col_spacing=3)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, other programs, exit codes."""
        with formatter.section("Examples"):
            formatter.write_dl(list(EXAMPLES), col_max=40, col_spacing=3)
        with formatter.section("Programs of their own"):
            words = "listdb, builddb, alterdb, ResetJob, HoldJob, StartJob; RunsProvider, Transfer, JobOrganizer, "
            formatter.write_text(words + "Process, DiskMonitor, Messenger (as `ondeck daemon NAME`)")
        with formatter.section("Exit codes"):
            formatter.write_text(EXIT_CODES)


@click.group(cls=Ondeck, context_settings={"max_content_width": 100})
@click.option("--config", "path", metavar="FILE", help="The configuration.")
@version_option
@click.pass_context
def ondeck(ctx: click.Context, path: str | None) -> None:
    """Take the runs of an experiment from the moment the DAQ closes them to the tape archive.

    Five daemons and a helper find runs, copy them, decide what has to be done with them, submit that to a batch
    system, follow it, archive the runs and look after the disks. All of them meet in one run database. These
    commands show what is there, and ask for something else.

    The configuration is ondeck.toml: the file named by --config, else by $ONDECK_CONFIG, else ./ondeck.toml,
    ~/.config/ondeck/ondeck.toml or /etc/ondeck/ondeck.toml. `ondeck COMMAND --help` says more of a command.
    """
    ctx.obj = {"config": path}


def main() -> Any:
    """The program ondeck."""
    program(ondeck, "ondeck")


if __name__ == "__main__":
    main()
