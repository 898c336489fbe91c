"""`ondeck cron`: prints the lines that keep the daemons alive."""

from __future__ import annotations

from pathlib import Path

import click

from ..config import OndeckError
from .errors import Command
from .opening import config_option, configured

_PACKAGE = Path(__file__).resolve().parent.parent
REFRESH = _PACKAGE / "tools" / "refresh.sh"
ACRONTAB = _PACKAGE / "acrontab.txt"


class NoLineForCron(OndeckError):
    """{what} can't stand in a crontab: it has a line break in it"""


class BadNode(OndeckError):
    """{node} can't be the name of a node: use letters, digits, . and -"""


@click.command(cls=Command, epilog="""\b
Examples:
  (crontab -l; ondeck cron) | crontab -        add the lines to a plain crontab
  ondeck cron --acron lxplus0044 | acrontab    where there is acron
  ondeck cron --refresh                        where refresh.sh is""")  # fmt: skip
@config_option
@click.option("--acron", "node", metavar="NODE", help="The form for acrontab, for daemons on this node.")
@click.option("--refresh", is_flag=True, help="Print the path of refresh.sh, and nothing else.")
def cron(path: str | None, node: str | None, refresh: bool) -> None:
    """Print the lines for crontab that keep the daemons alive.

    Twice a day all are restarted; every quarter of an hour those that have died or hang.
    """
    del path
    if refresh:
        click.echo(REFRESH)
        return
    config = configured().path
    if node is None:
        lines = _plain(str(config))
    else:
        if not node.isascii() or not node.replace(".", "").replace("-", "").isalnum():
            raise BadNode(node=repr(node))
        lines = _filled(str(config), node)
    click.echo("\n".join(lines))


def _entries() -> list[str]:
    return [line for line in ACRONTAB.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def _plain(config: str) -> list[str]:
    """acrontab.txt without the field for the node."""
    lines = [f"# ondeck's daemons for {_line(config)}: all restarted twice a day, the dead ones in between"]
    for entry in _entries():
        *times, _node, command = entry.split(maxsplit=6)
        lines.append(f"{' '.join(times)} {_fill(command.replace(' --node NODE', ''), config)}")
    return lines


def _filled(config: str, node: str) -> list[str]:
    """acrontab.txt with its three words filled in. No empty line: acrontab takes one for an empty table."""
    lines = [f"# ondeck's daemons on {node} for {_line(config)}: all restarted twice a day, the dead ones in between"]
    for entry in _entries():
        *times, _node, command = entry.split(maxsplit=6)
        lines.append(f"{' '.join(times)} {node} {_fill(command.replace('--node NODE', f'--node {node}'), config)}")
    return lines


def _fill(command: str, config: str) -> str:
    for word, value in (("'REFRESH'", str(REFRESH)), ("'CONFIG'", config)):
        command = command.replace(word, _quoted(value))
    return command


def _quoted(value: str) -> str:
    """`value` for a shell, and for cron, which takes % for a line break."""
    return "'" + _line(value).replace("'", "'\\''").replace("%", "\\%") + "'"


def _line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise NoLineForCron(what=repr(value))
    return value
