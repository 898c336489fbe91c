"""`ondeck adopt`: says where a source begins."""

from __future__ import annotations

from collections.abc import Sequence

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config, OndeckError
from ..config.plugins import find
from ..config.problems import nearest
from ..daemons.places import Places
from ..db.engine import Database
from ..db.models import Run
from ..sites.work import Work
from ..sources import Source
from ..sources.adoption import begin_at, left_out
from .errors import Command
from .opening import config_option, opened
from .words import counted, plain


class NoSource(OndeckError):
    """there is no source {name} in {file}: {hint}"""


@click.command(cls=Command, epilog="""\b
Examples:
  ondeck adopt daq --from-now        only runs that are still to come
  ondeck adopt daq --after 152254    what came after run 152254
  ondeck adopt daq --all             all that are there""")  # fmt: skip
@click.argument("source")
@config_option
@click.option("--from-now", is_flag=True, help="Leave out all runs that are there.")
@click.option("--after", metavar="RUN", help="Leave out this run and those before it.")
@click.option("--all", "everything", is_flag=True, help="Leave out none.")
@click.option("--again", is_flag=True, help="Although it was said before; runs that were taken stay.")
def adopt(source: str, path: str | None, from_now: bool, after: str | None, everything: bool, again: bool) -> None:
    """Say which of the runs that lie at SOURCE already are taken. Those to come are taken anyway."""
    del path
    if from_now + (after is not None) + everything != 1:
        raise click.UsageError("Say one of --from-now, --after RUN and --all.")
    begin = "now" if from_now else "all" if everything else f"after:{after}"
    with opened() as (config, db):
        complete = _complete(config, db, source)
        out = left_out(begin, complete)
        with db.write() as session:
            taken = _known(session, source, complete)
            begin_at(session, source, begin, out, again=again)
    new = len(complete) - len(set(out) | taken)
    old = f", {counted(len(taken), 'run')} taken already" if taken else ""
    click.echo(
        f"source {source} begins at {plain(begin, 200)}: of {counted(len(complete), 'run')} there"
        f" {new} will be taken, {len(set(out) - taken)} left out{old}"
    )


def _complete(config: Config, db: Database, name: str) -> list[str]:
    """The runs that are complete at the source, in their natural order; raises NoSource and what the storage raises."""
    if name not in config.sources:
        hint = nearest(name, config.sources) if config.sources else "it has none"
        raise NoSource(name=repr(name), file=config.path, hint=hint)
    section = config.sources[name]
    places = Places(config, db)
    try:
        kind = find("ondeck.sources", section.type)
        assert issubclass(kind, Source)
        assert section.storage is not None
        return kind(name, section.options, places.storage(section.storage)).complete(Work())
    finally:
        places.close()


def _known(session: Session, source: str, complete: Sequence[str]) -> set[str]:
    """Those of `complete` that have been taken already."""
    found: set[str] = set()
    for start in range(0, len(complete), 1000):
        some = complete[start : start + 1000]
        found.update(session.scalars(select(Run.name).where(Run.source == source, Run.name.in_(some))))
    return found
