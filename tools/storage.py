"""`ondeck storage init|list`."""

from __future__ import annotations

import click

from ..config import Config, OndeckError
from ..db.engine import Database
from .disks import Disk, all_disks, disk_of, initialise, known_uuid, reached, under_umask
from .errors import Group
from .opening import config_option, opened
from .words import plain, size, table


@click.group(cls=Group)
def storage() -> None:
    """Initialise storages; list them with their space."""


@storage.command(epilog="""\b
Examples:
  ondeck storage init disk2
  ondeck storage init --site-work here    the directory of the jobs at site here""")  # fmt: skip
@click.argument("name", required=False)
@click.option("--site-work", metavar="SITE", help="The work directory of this site instead of a storage.")
@click.option("--new-disk", is_flag=True, help="The old disk is gone for good: this is another one.")
@config_option
def init(name: str | None, site_work: str | None, new_disk: bool, path: str | None) -> None:
    """Give storage NAME its uuid, by which its disk is known from then on: mount the disk first.

    The uuid stands in the file .ondeck-storage of the storage's directory. Without that file, or with another uuid in
    it, nothing is ever written or removed there. A uuid that is there is taken over.
    """
    del path
    if (name is None) == (site_work is None):
        raise click.UsageError("Give the NAME of a storage, or --site-work SITE.")
    with opened() as (config, db):
        under_umask(config)
        disk = disk_of(config, name, site_work)
        click.echo(f"{disk.name}: {disk.root}: {initialise(config, db, disk, new_disk=new_disk)}")


@storage.command("list")
@config_option
def list_storages(path: str | None) -> None:
    """List the storages and work directories: what is mounted there, and its space. Exits with 1 if one is not."""
    del path
    with opened() as (config, db):
        rows = [_line(config, db, disk) for disk in all_disks(config)]
        headers = ["storage", "kind", "site", "directory", "uuid", "mounted", "total", "used", "free", "full"]
        click.echo(table(rows, headers))
        if any(row[5] != "yes" for row in rows):
            click.get_current_context().exit(1)


def _line(config: Config, db: Database, disk: Disk) -> list[str]:
    kind = config.storages[disk.name].kind if disk.name in config.storages else "work"
    known = known_uuid(db, disk)
    begin = [disk.name, kind, disk.site, plain(disk.root, 80), known or ""]
    if known is None:
        return [*begin, "not initialised", "", "", "", ""]
    try:
        with reached(config, disk, known) as there:
            there.check()
            space = there.space()
    except OndeckError as error:
        return [*begin, f"no: {plain(error, 100)}", "", "", "", ""]
    return [*begin, "yes", size(space.total), size(space.used), size(space.free), f"{space.percent:.0f} %"]
