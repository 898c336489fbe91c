"""`ondeck site pause|resume|list|check`."""

from __future__ import annotations

from datetime import datetime

import click
from sqlalchemy import func, select

from ..config import Config, OndeckError
from ..config.problems import nearest
from ..db.models import Job
from ..db.states import LIVE_JOBS
from ..db.tables import Site
from ..rules.gates import pause as pause_gate
from ..rules.verbs import pause_site, resume_site
from .errors import Group
from .findings import failed, show, tried
from .opening import config_option, opened
from .sitecheck import SiteCheck, database_clock
from .words import ahead, moment, plain, table


class NoSite(OndeckError):
    """there is no site {name} in {file}: {hint}"""


@click.group(cls=Group)
def site() -> None:
    """Check a site, pause it, resume it, list sites."""


@site.command(epilog="""\b
Examples:
  ondeck site pause here --reason "new disks"
  ondeck site pause here --until 2h
  ondeck site pause here --until 2026-01-31T18:00 --drain""")  # fmt: skip
@click.argument("name")
@config_option
@click.option("--drain", is_flag=True, help="Until the jobs that run there have ended: for maintenance.")
@click.option("--until", type=ahead, metavar="TIME", help="Resume by itself then: 2h, 2026-01-31T18:00.")
@click.option("--reason", metavar="TEXT", default="", help="Why; it is shown with everything that waits for it.")
def pause(name: str, path: str | None, drain: bool, until: datetime | None, reason: str) -> None:
    """Begin nothing new at site NAME. What runs there is followed to its end."""
    del path
    with opened() as (config, db):
        _check(config, name)
        with db.write() as session:
            done = pause_site(session, name, reason, until, drain=drain)
    words = f", until {moment(until)}" if until else ""
    click.echo(f"{done.what} is {done.to}{words}; `ondeck site resume {name}` opens it")


@site.command()
@click.argument("name")
@config_option
def resume(name: str, path: str | None) -> None:
    """Open site NAME again, whoever or whatever has paused it."""
    del path
    with opened() as (config, db):
        _check(config, name)
        with db.write() as session:
            done = resume_site(session, name)
    click.echo(f"{done.what} is {done.to}")


@site.command(epilog="""\b
Examples:
  ondeck site check here
  ondeck site check here --no-job --json""")  # fmt: skip
@click.argument("name")
@config_option
@click.option("--no-job", is_flag=True, help="Submit no job.")
@click.option(
    "--wait", metavar="SECONDS", type=click.FloatRange(min=1), default=60.0, show_default=True,
    help="How long that job may take, waiting in the queue included.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A list of objects: level, subject, words, todo.")
def check(name: str, path: str | None, no_job: bool, wait: float, as_json: bool) -> None:
    """Try at site NAME all that ondeck needs there, and say what is wrong and what to do.

    Connection, commands, clocks, the disks with their space, hard links and renames, and a job of one second that is
    followed to its end. Nothing is left behind. Exits with 1 if something fails.
    """
    del path
    with opened() as (config, db):
        _check(config, name)
        clock = tried("clock of the run database", lambda: database_clock(db))
        found = [*SiteCheck(config, db, name, job=not no_job, wait=wait).run(), *clock]
    show(found, as_json=as_json)
    if failed(found):
        click.get_current_context().exit(1)


@site.command("list")
@config_option
@click.option("--local", is_flag=True, help="Times in this machine's zone instead of UTC.")
def list_sites(path: str | None, local: bool) -> None:
    """List the sites: open or not, and what runs there."""
    del path
    with opened() as (config, db), db.read() as session:
        live = dict(
            session.execute(
                select(Job.site, func.count()).where(Job.status.in_(LIVE_JOBS)).group_by(Job.site)
            ).all()
        )  # fmt: skip
        rows = []
        for name, section in config.sites.items():
            closed = pause_gate(session, name)
            state = session.get(Site, name)
            slots = (
                "none" if section.batch is None else "no limit" if section.batch.slots is None else section.batch.slots
            )
            rows.append([
                name, section.transport, section.batch.system if section.batch else "-", live.get(name, 0), slots,
                "open" if closed is None else plain(closed.words(), 120),
                moment(state.polled_at, local) if state else "",
            ])  # fmt: skip
        click.echo(table(rows, ["site", "transport", "batch system", "live jobs", "slots", "state", "last asked"]))


def _check(config: Config, name: str) -> None:
    if name not in config.sites:
        hint = nearest(name, config.sites) if config.sites else "it has none"
        raise NoSite(name=repr(name), file=config.path, hint=hint)
