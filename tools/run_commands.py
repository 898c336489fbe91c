"""`ondeck run …` for runs, `ondeck job …` for jobs, `ondeck cancel`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from ..config import Config, OndeckError
from ..config.problems import nearest
from ..db.extra import fill
from ..db.insert import born, insert_new
from ..db.models import Run
from ..db.states import RunStatus
from ..rules.choose import select_runs
from ..rules.names import check_run_name
from ..rules.verbs import cancel_jobs, cancel_runs, comment, reset_runs, tag
from ..sources.parameters import LARGEST, parse, whole_number, words
from .errors import Command, Group
from .HoldJob import hold
from .jobverbs import carry_out, job_options, on_jobs, reason_option, why, yes_option
from .opening import config_option, opened
from .ResetJob import reset
from .StartJob import start
from .words import plain


class NoSource(OndeckError):
    """there is no source {name} in {file}: {hint}"""


class WhichSource(OndeckError):
    """{file} has {count} sources and none is called daq: say which with --source ({known})"""


class BadParameter(OndeckError):
    """--param {given}: write KEY=VALUE, with a key that is not empty"""


class CantRead(OndeckError):
    """{file}: can't be read: {why}"""


class OtherwiseThere(OndeckError):
    """run {name} of source {source} is there already, with {differences}; nothing was changed"""


@click.group(cls=Group)
def run() -> None:
    """Add, reset, cancel, comment and tag runs."""


_runs = click.argument("runs", metavar="RUN...", nargs=-1, required=True)


@run.command(epilog="""\b
Examples:
  ondeck run add 152254 --type physics --events 120000
  ondeck run add night7 --source daq --param beam=true --param energy=6.5
  ondeck run add 152254 --params run.json
A DAQ can write the row itself; name and status are enough:
  INSERT INTO runs (name, status) VALUES ('152254', 'acquired')""")  # fmt: skip
@click.argument("name")
@config_option
@click.option("--source", metavar="NAME", help="Where its data are  [default: daq, or the only source there is]")
@click.option("--number", type=click.IntRange(0, 2**63 - 1), help="Its number; not needed when the name is one.")
@click.option("--type", "run_type", metavar="TYPE", help="Its type, such as physics.")
@click.option("--events", type=click.IntRange(0, 2**63 - 1), help="How many events it has.")
@click.option(
    "--param", "params", metavar="KEY=VALUE", multiple=True, help="A parameter; the value is JSON, or else a text."
)
@click.option("--params", "file", metavar="FILE", help="A .json or .toml file of parameters; - is JSON from stdin.")
def add(
    name: str, path: str | None, source: str | None, number: int | None, run_type: str | None, events: int | None,
    params: Sequence[str], file: str | None,
) -> None:  # fmt: skip
    """Put a run on the list, as the DAQ would: it is taken when its data are there.

    To say the same again does no harm. What the file and --param say is overridden by the options.
    """
    del path
    check_run_name(name)
    given = _parameters(params, file)
    row: dict[str, Any] = {
        "name": name,
        "number": number if number is not None else _number(name, given),
        "run_type": run_type if run_type is not None else words(name, given, "run_type"),
        "events": events if events is not None else whole_number(name, given, "events"),
        "params": given,
    }
    with opened() as (config, db):
        row["source"] = _source(config, source)
        with db.write() as session:
            new = insert_new(session, Run, [{**row, "status": RunStatus.ACQUIRED, **born("added")}], ["source", "name"])
            if new:
                fill(session, {new[0]: given})
            there = session.scalars(select(Run).where(Run.source == row["source"], Run.name == name)).one()
            if not new:
                _compare(there, row)
            status = there.status
    said = "was added" if new else f"is there already ({status})"
    click.echo(f"run {name} of source {row['source']} {said}")


def _number(name: str, given: dict[str, Any]) -> int | None:
    number = whole_number(name, given, "number")
    if number is None and name.isascii() and name.isdecimal() and len(name) <= 18:
        return int(name)
    return number


def _parameters(pairs: Sequence[str], file: str | None) -> dict[str, Any]:
    """What the file and the options say, checked like the file of a DAQ; raises BadParameters, CantRead."""
    found = _read(file) if file else {}
    said: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise BadParameter(given=plain(ascii(pair), 60))
        try:
            said[key] = json.loads(text)
        except ValueError:
            said[key] = text
    return found | parse("--param", json.dumps(said).encode())


def _read(file: str) -> dict[str, Any]:
    try:
        if file == "-":
            return parse("stdin", sys.stdin.buffer.read(LARGEST + 1))
        with Path(file).open("rb") as stream:
            return parse(file, stream.read(LARGEST + 1))
    except OSError as error:
        raise CantRead(file=plain(file, 200), why=error.strerror or error) from error


def _source(config: Config, asked: str | None) -> str:
    known = list(config.sources)
    if asked is not None:
        if asked not in known:
            raise NoSource(name=repr(asked), file=config.path, hint=nearest(asked, known) if known else "it has none")
        return asked
    if "daq" in known:
        return "daq"
    if len(known) != 1:
        raise WhichSource(file=config.path, count=len(known), known=", ".join(known) or "none")
    return known[0]


def _compare(there: Run, row: dict[str, Any]) -> None:
    """Raise OtherwiseThere when the run was added before with other values; what was not said now is no difference."""
    pairs = [
        (key, getattr(there, key), row[key]) for key in ("number", "run_type", "events") if row[key] not in (None, "")
    ]
    pairs += [(f"parameter {key}", there.params.get(key), value) for key, value in row["params"].items()]
    other = [
        f"{key} {_short(old)} instead of {_short(new)}"
        for key, old, new in pairs
        if _number_alike(old) != _number_alike(new)
    ]
    if other:
        raise OtherwiseThere(name=there.name, source=there.source, differences=", ".join(other[:5]))


def _number_alike(value: Any) -> Any:
    """`value` with all numbers as floats: PostgreSQL gives 1e17 back as a whole number."""
    return json.loads(json.dumps(value), parse_int=float)


def _short(value: Any) -> str:
    return plain(json.dumps(value, default=str), 40)


@run.command("reset", epilog="""\b
Examples:
  ondeck run reset 152254
  ondeck run reset '1522*' --yes --reason "the disk is back"
(For single jobs there is ResetJob.)""")  # fmt: skip
@_runs
@config_option
@yes_option
@reason_option
def reset_run(runs: Sequence[str], path: str | None, yes: bool, reason: str) -> None:
    """Take failed or cancelled runs up again where they stood, their failed and cancelled jobs with them."""
    del path
    with opened() as (config, db):
        carry_out(db, lambda s: reset_runs(s, config, select_runs(s, runs), why("reset", reason)), yes=yes)


@run.command("cancel", epilog="""\b
Examples:
  ondeck run cancel 152254 --reason "test pulses"
  ondeck run reset 152254            takes it up again""")  # fmt: skip
@_runs
@config_option
@yes_option
@reason_option
def cancel_run(runs: Sequence[str], path: str | None, yes: bool, reason: str) -> None:
    """End runs for good. Their live jobs are cancelled first. Data are not removed."""
    del path
    with opened() as (config, db):
        carry_out(db, lambda s: cancel_runs(s, config, select_runs(s, runs), why("cancel", reason)), yes=yes)


@run.command(
    "comment",
    epilog="""\b
Example:
  ondeck run comment 152254 "beam lost at 12:03" """,
)
@_runs
@click.argument("text")
@config_option
@yes_option
def comment_run(runs: Sequence[str], text: str, path: str | None, yes: bool) -> None:
    """Add the line TEXT to the comments of runs."""
    del path
    with opened() as (_, db):
        carry_out(db, lambda s: comment(s, select_runs(s, runs), text), yes=yes)


@run.command("tag", epilog="""\b
Examples:
  ondeck run tag 152254 --add golden
  ondeck run tag '1522*' --remove golden --yes
  listdb --tag golden""")  # fmt: skip
@_runs
@click.option("--add", "plus", metavar="TAG", multiple=True, help="Give this tag (repeatable).")
@click.option("--remove", "minus", metavar="TAG", multiple=True, help="Take this tag away (repeatable).")
@config_option
@yes_option
def tag_run(runs: Sequence[str], plus: Sequence[str], minus: Sequence[str], path: str | None, yes: bool) -> None:
    """Give tags to runs, and take tags away."""
    del path
    if not plus and not minus:
        raise click.UsageError("Say --add TAG or --remove TAG.")
    with opened() as (_, db):
        carry_out(db, lambda s: tag(s, select_runs(s, runs), plus, minus), yes=yes)


@click.command("cancel", cls=Command, epilog="""\b
Examples:
  ondeck cancel 152254 sums
  ondeck cancel '1522*' '*' --yes""")  # fmt: skip
@job_options
def cancel_job(run: str, module: str, path: str | None, reason: str, wait: float, yes: bool) -> None:
    """End jobs for good: those of MODULE of RUN, both names or globs; RUN also a number or a range of numbers.

    A live job is cancelled at the batch system first. ResetJob takes a cancelled job up again.
    """
    del path
    on_jobs(
        run, module, lambda session, config, jobs: cancel_jobs(session, config, jobs, why("cancel", reason)),
        yes=yes, wait=wait,
    )  # fmt: skip


@click.group(cls=Group)
def job() -> None:
    """Reset, hold, start and cancel jobs: RUN MODULE, both names or globs."""


for _command in (reset, hold, start, cancel_job):
    job.add_command(_command)
