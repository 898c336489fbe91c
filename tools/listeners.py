"""`ondeck listeners`: which listener takes which runs, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..config import Config
from ..config.listeners import Listener
from ..db.models import Run
from ..rules.choose import select_runs
from ..rules.listen import ListenersOverlap, facts, listener_for
from .errors import Group
from .opening import config_option, configured, opened
from .words import plain


@click.group(cls=Group, invoke_without_command=True)
@config_option
@click.pass_context
def listeners(ctx: click.Context, path: str | None) -> None:
    """List the listeners with their conditions in words, the highest priority first."""
    del path
    if ctx.invoked_subcommand is not None:
        return
    config = configured()
    for one in sorted(config.listeners.values(), key=lambda one: -one.priority):
        click.echo("\n".join(_about(one)))
    if not config.listeners:
        click.echo(f"{config.path}: there is no listener, so no run is taken", err=True)


@listeners.command("test", epilog="""\b
Examples:
  ondeck listeners test 152254
  ondeck listeners test '1522*'""")  # fmt: skip
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@config_option
def test_runs(runs: Sequence[str], path: str | None) -> None:
    """Say for each condition of each listener whether it holds for the runs, and who takes them now."""
    del path
    with opened() as (config, db):
        with db.read() as session:
            found = select_runs(session, runs)
        for run in found:
            click.echo("\n".join(explain(config, run)))


def _about(one: Listener) -> list[str]:
    lines = [f"{one.name}" + (f" (priority {one.priority})" if one.priority else "")]
    conditions = [f"source {' or '.join(one.sources)}"] if one.sources else []
    conditions += [f"{key} {condition.words()}" for key, condition in one.match.items()]
    lines.append(f"  takes     {'; '.join(conditions) or 'any run'}")
    lines.append(f"  modules   {', '.join(one.modules) or 'none'}")
    lines.append(f"  copies to {one.storage or 'nowhere: there is nothing to copy'}")
    when = "" if one.archive_when == "ondeck" else ", when processed"
    lines.append(f"  archives  {f'in {one.archive}{when}' if one.archive else 'not'}")
    if one.min_events:
        lines.append(f"  waits     for a go below {one.min_events} events")
    return [plain(line) for line in lines]


def explain(config: Config, run: Run) -> list[str]:
    """How each listener's conditions fare with `run`, and what comes of it."""
    lines = [f"run {plain(run.name, 80)} of source {plain(run.source, 80)}"]
    about: Mapping[str, Any] = facts(run)
    for one in sorted(config.listeners.values(), key=lambda one: -one.priority):
        matches = one.matches(about)
        lines.append(f"  {one.name}: {'takes it' if all(m.ok for m in matches) else 'does not take it'}")
        for match in matches:
            value = "is not given" if match.value is None else f"is {plain(repr(match.value), 60)}"
            lines.append(
                f"    {'yes' if match.ok else 'no '} {match.key} {match.condition.words()}: {match.key} {value}"
            )
        if not matches:
            lines.append("    yes it has no conditions")
    best: Listener | None = None
    try:
        best = listener_for(config, run)
        lines.append(f"  so {best.name} takes it" if best else "  so none takes it")
    except ListenersOverlap as error:
        lines.append(f"  so none takes it: {error}")
    if run.listener and (best is None or best.name != run.listener):
        lines.append(f"  (it was taken by {plain(run.listener, 60)}, and stays there)")
    return [plain(line) for line in lines]
