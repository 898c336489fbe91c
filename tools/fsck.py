"""`ondeck fsck`: compares the run database with what lies outside, and sets right what is safe."""

from __future__ import annotations

import logging

import click

from ..rules.gates import restored
from ..rules.restored import declare, lift, newest
from ..sites.work import Work
from .errors import Command
from .findings import Finding, failed, show
from .fsck_attempts import AttemptsCheck
from .fsck_bundles import BundlesCheck
from .fsck_copies import CopiesCheck
from .fsck_world import World
from .opening import config_option, opened
from .words import counted


@click.command(cls=Command, context_settings={"max_content_width": 100}, epilog="""\b
Examples:
  ondeck fsck                after a backup of the run database was restored
  ondeck fsck --dry-run      only say what would be done
  ondeck fsck --checksums    read everything, too: takes as long as reading all disks""")  # fmt: skip
@config_option
@click.option("--dry-run", is_flag=True, help="Only say what is wrong; change nothing.")
@click.option("--checksums", is_flag=True, help="Read all copies and bundles back, not only names and sizes.")
@click.option(
    "--restored", "by_hand", is_flag=True, help="Say that the database was restored, where no daemon can know it."
)
@click.option("--json", "as_json", is_flag=True, help="A list of objects: level, subject, words, todo.")
def fsck(path: str | None, dry_run: bool, checksums: bool, by_hand: bool, as_json: bool) -> None:
    """Compare runs, copies, bundles and jobs' attempts with the disks and the batch systems.

    What is safe is set right: attempts that the database lacks are taken over, so that no job runs twice; copies that
    are damaged or gone no longer count; bundles that were lost are read back and count again. Nothing outside is ever
    removed. After a backup was restored nothing is submitted or removed before this has seen all sites and storages.

    Exits with 1 if something needs a person, or could not be asked.
    """
    del path
    logging.getLogger("ondeck").setLevel(logging.ERROR)
    with opened() as (config, db):
        if by_hand and not dry_run:
            with db.write() as session:
                declare(
                    session, config, newest(session)._replace(words="restored"), "said with `ondeck fsck --restored`"
                )
        world = World(config, db, Work("fsck"), dry_run=dry_run, checksums=checksums)
        try:
            copies = CopiesCheck(world)
            for check in (AttemptsCheck(world).run, copies.look, BundlesCheck(world).run, copies.conclude):
                check()
            _finish(world)
        finally:
            world.close()
        show(world.found, as_json=as_json)
        if failed(world.found):
            click.get_current_context().exit(1)


def _finish(world: World) -> None:
    """Submission and removal go on, if all could be asked."""
    with world.db.read() as session:
        held = restored(session)
    if held is None:
        if not [one for one in world.found if one.level != "ok"]:
            world.add(Finding("ok", "run database", "agrees with what lies outside"))
        return
    if world.unasked:
        words = f"could not be asked: {', '.join(world.unasked)}. Submission and removal stay paused"
        world.add(Finding("fail", "run database", words, "Mend that, and type `ondeck fsck` again"))
    elif world.dry_run:
        world.add(Finding("note", "run database", "submission and removal stay paused: this changed nothing"))
    else:
        with world.db.write() as session:
            mended = counted(sum(one.level == "mended" for one in world.found), "thing")
            lift(session, f"compared with disks and batch systems; {mended} set right")
        world.add(Finding("mended", "run database", "was compared: submission and removal go on"))
