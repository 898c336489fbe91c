"""`listdb`: lists runs, or jobs, from the run database."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("listdb")

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from . import listing
from .choosing import Filters, job_ids, run_ids
from .errors import Command
from .opening import Opened, config_option, opened, program, version_option
from .words import ago, counted, duration, iso, moment, plain, table

NEWEST = 1000
"""So many are shown unless more are asked for."""

_WIDTHS = {
    "name": 60,
    "run": 60,
    "reason": 60,
    "comments": 60,
    "params": 100,
    "options": 60,
    "settings": 60,
    "directory": 200,
}
_WIDTH = 40


@click.command(cls=Command, context_settings={"max_content_width": 100}, epilog="""\b
Examples:
  listdb                               the newest runs, and where each is
  listdb 152254 1522* 100-200          by number, by name, by a range of numbers
  listdb --status failed --since 2d    what failed among the runs of the last two days
  listdb --columns name,size,params.beam --sort -size
  listdb --jobs --module 'sums*' --status failed
  listdb --json --all | jq '.[].name'""")  # fmt: skip
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@config_option
@version_option
@click.option("--status", "statuses", multiple=True, help="In this status (repeatable); with --jobs of the job.")
@click.option(
    "--module", "modules", multiple=True, metavar="GLOB", help="With a job of this module; with --jobs only these."
)
@click.option("--listener", "listeners", multiple=True, metavar="NAME", help="Taken by this listener (repeatable).")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="From this source (repeatable).")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Of this type (repeatable).")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="With this tag (repeated: with all of them).")
@click.option("--since", type=ago, metavar="TIME", help="Begun at TIME or later: 2026-01-31, 12h (ago), yesterday ...")
@click.option("--until", type=ago, metavar="TIME", help="Begun before TIME.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help=f"The newest N  [default: {NEWEST}]")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--jobs", "of_jobs", is_flag=True, help="A row a job instead of a row a run.")
@click.option("--columns", metavar="A,B,...", help="These columns; `--columns help` lists what there is.")
@click.option("--sort", metavar="COLUMN", help="By this column; -COLUMN: the greatest first.")
@click.option(
    "--json", "as_json", is_flag=True, help="A list of objects with all columns and full values; times in UTC."
)
@click.option("--csv", "as_csv", is_flag=True, help="Comma separated, with full values.")
@click.option("--local", is_flag=True, help="Times in this machine's zone instead of UTC.")
def listdb(**asked: Any) -> None:
    """List runs: where each stands, where its data are, and how its jobs do.

    RUN is a name or a glob of names, a number, a range of numbers, or SOURCE/ and one of these. Without a RUN all are
    listed, the newest at the end. Times are UTC, marked with Z.
    """
    if asked["as_json"] and asked["as_csv"]:
        raise click.UsageError("--json and --csv exclude each other.")
    if asked["everything"] and asked["last"]:
        raise click.UsageError("--all and --last exclude each other.")
    names = ("statuses", "modules", "listeners", "sources", "types", "tags", "since", "until")
    filters = Filters(patterns=asked["runs"], **{name: asked[name] for name in names})
    with opened() as run_database:
        extras = listing.extras_of(run_database)
        view = listing.jobs_view() if asked["of_jobs"] else listing.runs_view(extras)
        if asked["columns"] is not None and asked["columns"].strip() == "help":
            click.echo(table(view.names.items(), ["column", "holds"]))
            return
        _list(run_database, filters, view, extras, asked)


def _list(opened: Opened, filters: Filters, view: listing.View, extras: dict[str, str], asked: dict[str, Any]) -> None:
    columns = _columns(view, asked)
    sort, falling = _sorting(view, asked["sort"])
    what = "job" if asked["of_jobs"] else "run"
    limit = None if asked["everything"] else asked["last"] or NEWEST
    with opened.db.read() as session:
        ids = (job_ids if asked["of_jobs"] else run_ids)(session, filters, None if limit is None else limit + 1)
    more = limit is not None and len(ids) > limit
    ids = ids[:limit][::-1]
    if asked["of_jobs"]:
        found = listing.rows(opened, ids, [*columns, *sort], view, listing.fetch_jobs)
    else:
        found = listing.rows(opened, ids, [*columns, *sort], view, listing.fetch_runs, extras=extras)
    if sort:
        found = iter(sorted(found, key=lambda row: _order(row[sort[0]]), reverse=falling))
    if asked["as_json"]:
        _write_json(found, columns, asked["local"])
    elif asked["as_csv"]:
        _write_csv(found, columns, asked["local"])
    elif ids:
        cells = ([_cell(name, row[name], asked["local"]) for name in columns] for row in found)
        click.echo(table(cells, [name.replace("_", " ") for name in columns]))
    if not ids:
        click.echo(plain(filters.words(what), 500), err=True)
    elif more and not asked["last"]:
        click.echo(
            f"These are the newest {counted(len(ids), what)}; --all shows all, --last N another number.", err=True
        )


def _columns(view: listing.View, asked: dict[str, Any]) -> list[str]:
    if asked["columns"] is None:
        return list(view.whole if asked["as_json"] else view.default)
    names = [view.column(name) for name in asked["columns"].split(",") if name.strip()]
    if not names:
        raise click.UsageError("--columns needs at least one name; `--columns help` lists them.")
    return list(dict.fromkeys(names))


def _sorting(view: listing.View, asked: str | None) -> tuple[list[str], bool]:
    if not asked:
        return [], False
    return [view.column("nbytes" if asked.lstrip("-") == "size" else asked.lstrip("-"))], asked.startswith("-")


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before times before texts, and what is missing first."""
    match value:
        case None:
            return 0, 0
        case bool() | int() | float():
            return 1, value
        case datetime():
            return 2, value
        case timedelta():
            return 3, value
    return 4, value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _cell(name: str, value: Any, local: bool) -> str:
    """A value in a table: on one line, and not too long."""
    match value:
        case datetime():
            return moment(value, local)
        case timedelta():
            return duration(value)
        case bool():
            return "yes" if value else "no"
        case list():
            value = ", ".join(map(str, value))
        case dict():
            value = json.dumps(value, ensure_ascii=False, default=str)
    return plain(value, _WIDTHS.get(name, _WIDTH))


def _full(value: Any, local: bool) -> Any:
    """A value for other programs."""
    match value:
        case datetime():
            return value.astimezone().isoformat() if local else iso(value)
        case timedelta():
            return value.total_seconds()
    return value


def _write_json(found: Iterable[dict[str, Any]], columns: Sequence[str], local: bool) -> None:
    """A JSON list, a line a row, written as the rows come."""
    begin = "["
    for row in found:
        one = json.dumps({name: _full(row[name], local) for name in columns}, default=str)
        click.echo(f"{begin}\n{one}", nl=False)
        begin = ","
    click.echo("\n]" if begin == "," else "[]")


def _write_csv(found: Iterable[dict[str, Any]], columns: Sequence[str], local: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_fields(found, columns, local))
    sys.stdout.flush()


def _fields(found: Iterable[dict[str, Any]], columns: Sequence[str], local: bool) -> Iterator[list[Any]]:
    at_terminal = sys.stdout.isatty()
    for row in found:
        values = [_full(row[name], local) for name in columns]
        texts = [json.dumps(v, default=str) if isinstance(v, dict | list) else v for v in values]
        yield [plain(text) if at_terminal else text for text in texts]


def main() -> None:
    """The program listdb."""
    program(listdb, "listdb")
