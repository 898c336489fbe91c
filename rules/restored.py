"""A run database that was restored from a backup: how that is noticed, and what holds until it was compared.

Who has seen the newest transition keeps its number and what it said (the daemons: in their local heartbeat). Where a
database has another one of that number, or none, its last hours are lost: it was restored. Then all numbers jump ahead
of those that the lost hours may have given out (epochs, transitions, rows), so that nobody who acted in them changes
anything; and a transition of the whole database, `restored`, holds submission and removal back until it is `compared`.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from ..config import Config
from ..db import tables  # noqa: F401 - so that all tables are known
from ..db.actor import actor
from ..db.base import Base, Worked
from ..db.clock import now
from ..db.models import Transition
from ..db.steps import clean
from ..db.wake import wake
from .messages import post

WHOLE = ("database", 0)
"""Table name and row of the transitions that speak of the whole database."""
RESTORED, COMPARED = "restored", "compared"
JUMP = 1_000_000_000
"""More than the steps, claims or rows of the time that a backup may lack."""


class Seen(NamedTuple):
    """A transition that was seen: its number, and what it said ("" if that is not known)."""

    id: int = 0
    words: str = ""


def newest(session: Session) -> Seen:
    """The newest transition."""
    return _seen(session.scalar(select(Transition).order_by(Transition.id.desc()).limit(1)))


def _seen(one: Transition | None) -> Seen:
    if one is None:
        return Seen()
    return Seen(one.id, f"{one.at.isoformat()} {one.table_name} {one.row_id} {one.to}")


def last(session: Session) -> Transition | None:
    """The last word about the whole database; None when it was never restored. `to` is restored or compared."""
    name, row = WHOLE
    mine = select(Transition).where(Transition.table_name == name, Transition.row_id == row)
    return session.scalar(mine.order_by(Transition.id.desc()).limit(1))


def lost(session: Session, seen: Seen) -> str | None:
    """Why the database can't be the one in which `seen` was seen; None when it is, or when that is known already."""
    if not seen.id:
        return None
    there = session.get(Transition, seen.id, populate_existing=True)
    if there is not None and (not seen.words or _seen(there).words == seen.words):
        return None
    known = last(session)
    if known is not None and seen.id < known.id:  # it was lost with the restore that is written down
        return None
    if there is None:
        return f"the run database ends at transition {newest(session).id}, but {seen.id} had been seen"
    return f"transition {seen.id} of the run database is not the one that had been seen"


def declare(session: Session, config: Config | None, seen: Seen, why: str) -> Seen:
    """Write down that the database was restored, unless somebody has just done so; returns the newest transition.

    Raises every epoch, ends every lease, and lets all numbers begin anew above those that were ever given out. One
    transaction: however many daemons notice it, it is done once.
    """
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":  # one after the other
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext('ondeck restored'))"))
    if seen.id and lost(session, seen) is None:
        return newest(session)
    before, base = last(session), max(seen.id, newest(session).id) + JUMP
    for name in worked_tables():
        changes = "epoch = epoch + :base, lease_until = NULL, leased_by = NULL"
        session.execute(text(f"UPDATE {name} SET {changes}"), {"base": base})
        _number_from(session, name, base)
    table, row = WHOLE
    values = {"id": base, "table_name": table, "row_id": row, "source": before.to if before else None}
    session.execute(insert(Transition).values(**values, to=RESTORED, at=now(), actor=actor(), reason=clean(why)))
    _number_from(session, "transitions", base)
    if config is not None:
        words = (
            f"{why}: a backup was restored. Nothing is submitted and nothing is removed until you type `ondeck fsck`,"
            " which compares the run database with the disks and the batch systems."
        )
        post(session, config, "the run database was restored", words, stream="database", key=f"restored:{base}")
    wake(session)
    return newest(session)


def lift(session: Session, why: str) -> bool:
    """The database was compared: submission and removal go on. False when nothing was held back."""
    before = last(session)
    if before is None or before.to != RESTORED:
        return False
    table, row = WHOLE
    values = {"table_name": table, "row_id": row, "source": before.to, "to": COMPARED}
    session.execute(insert(Transition).values(**values, at=now(), actor=actor(), reason=clean(why)))
    wake(session)
    return True


def worked_tables() -> list[str]:
    """The tables whose rows have epochs, in the order of their names."""
    found = ((mapper.local_table, mapper.class_) for mapper in Base.registry.mappers)
    return sorted(str(table) for table, model in found if issubclass(model, Worked))


def _number_from(session: Session, table: str, base: int) -> None:
    """The next row of `table` gets a number above `base`."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :base)"), {"base": base})
        return
    values = {"name": table, "base": base}
    if session.execute(text("UPDATE sqlite_sequence SET seq = :base WHERE name = :name"), values).rowcount == 0:  # type: ignore[attr-defined]
        session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :base)"), values)
