"""`ondeck states`: the legal steps as text, or as a picture made by Graphviz. The data are those of the triggers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from ..config import OndeckError
from ..db.states import LEGAL_STEPS, STATUSES, Step
from .errors import Command

_COLOURS = {
    "RunsProvider": "#1b6ca8", "Transfer": "#00796b", "JobOrganizer": "#6a1b9a", "Process": "#b35900",
    "DiskMonitor": "#455a64", "Messenger": "#8d6e00", "verb": "#9e9e9e",
}  # fmt: skip
_GOOD = {"archived", "done", "verified", "sent"}
_BAD = {"failed", "cancelled", "suspect"}
_ARROW = "\N{RIGHTWARDS ARROW}"


class NoGraphviz(OndeckError):
    """the picture is drawn by Graphviz's program dot, which is not here: install it, or take --dot"""


class NotDrawn(OndeckError):
    """{file}: the picture can't be drawn: {why}"""


@click.command(cls=Command, context_settings={"max_content_width": 100}, epilog="""\b
Examples:
  ondeck states runs
  ondeck states jobs --dot | dot -Tpng -o jobs.png
  ondeck states copies --svg copies.svg""")  # fmt: skip
@click.argument("tables", nargs=-1, metavar="[TABLE]...", type=click.Choice(list(LEGAL_STEPS)))
@click.option("--dot", is_flag=True, help="In Graphviz's language.")
@click.option(
    "--svg",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A picture, drawn by Graphviz.",
)
def states(tables: Sequence[str], dot: bool, file: Path | None) -> None:
    """Show the statuses of each TABLE, and the legal steps between them: who takes them, and when.

    Tables are runs, jobs, copies, bundles, inbox and outbox. No other step is possible, not even by hand.
    """
    chosen = list(dict.fromkeys(tables)) or list(LEGAL_STEPS)
    if dot and file:
        raise click.UsageError("--dot and --svg exclude each other.")
    if file is not None:
        draw(as_dot(chosen), file)
    else:
        click.echo(as_dot(chosen) if dot else "\n\n".join(as_text(table) for table in chosen))


def as_text(table: str) -> str:
    """The statuses of a table, each with the steps that lead away from it."""
    lines = [f"{table}: {', '.join(STATUSES[table])}"]
    wide = max(len(status) for status in STATUSES[table])
    who = max(len(_who(step)) for step in LEGAL_STEPS[table])
    for status in STATUSES[table]:
        lines += ["", f"  {status}"]
        steps = [step for step in LEGAL_STEPS[table] if step.source == status]
        lines += [f"    {_ARROW} {step.to:<{wide}}   {_who(step):<{who}}   {step.when}" for step in steps]
        if not steps:
            lines.append("    (the end)")
    return "\n".join(lines)


def as_dot(tables: Sequence[str]) -> str:
    """The tables as one digraph; with several, a box around each."""
    lines = [
        "digraph states {",
        '    graph [rankdir=LR, fontname="Helvetica", nodesep=0.35, ranksep=0.7];',
        '    node [shape=box, style="rounded,filled", fillcolor="#f5f5f5", fontname="Helvetica", fontsize=12];',
        '    edge [fontname="Helvetica", fontsize=9];',
    ]
    for table in tables:
        body = _body(table)
        if len(tables) > 1:
            body = [f"subgraph cluster_{table} {{", f'    label="{table}";', *(f"    {line}" for line in body), "}"]
        lines += [f"    {line}" for line in body]
    return "\n".join([*lines, "}"])


def _body(table: str) -> list[str]:
    usual = list(STATUSES[table])
    lines = []
    for status in usual:
        colour = "#c8e6c9" if status in _GOOD else "#ffcdd2" if status in _BAD else "#f5f5f5"
        lines.append(f'{table}_{status} [label="{status}", fillcolor="{colour}"];')
    for step in LEGAL_STEPS[table]:
        onwards = usual.index(step.to) == usual.index(step.source) + 1 and step.to not in _BAD
        style = "dashed" if set(step.who) == {"verb"} else "solid"
        colour = _COLOURS.get(next((one for one in step.who if one != "verb"), "verb"), "#000000")
        weight = ", weight=10, penwidth=2" if onwards else ", constraint=false" if step.to not in _BAD else ""
        tip = step.when.replace('"', "'")
        lines.append(
            f'{table}_{step.source} -> {table}_{step.to} [label="{_who(step)}", color="{colour}", fontcolor="{colour}",'
            f' style={style}, tooltip="{tip}"{weight}];'
        )
    return lines


def _who(step: Step) -> str:
    return ", ".join(step.who)


def draw(source: str, file: Path) -> None:
    """Have Graphviz draw `source` into `file`; raises NoGraphviz, NotDrawn."""
    program = shutil.which("dot")
    if program is None:
        raise NoGraphviz
    done = subprocess.run([program, "-Tsvg"], input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        raise NotDrawn(file=file, why=done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
    try:
        file.write_bytes(done.stdout)
    except OSError as error:
        raise NotDrawn(file=file, why=error.strerror or error) from error
