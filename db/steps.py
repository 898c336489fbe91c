"""Claims and steps: how rows are taken, kept, moved and given back.

Each function is one statement for any number of rows of one table. A claim raises the row's epoch, and everything
its holder writes is conditioned on that epoch, so that a holder who fell asleep can change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, text
from sqlalchemy.orm import Session

from .actor import actor
from .base import Base, Worked
from .clock import NOW, later_sql, now_sql
from .eachrow import EachRow
from .errors import LeaseLost

REASON_LENGTH = 2000
"""Longest reason that is kept on a row, in characters."""


class Claim(NamedTuple):
    """A row that we may move: valid as long as the row's epoch is this one."""

    table: str
    id: int
    status: str
    epoch: int


def clean(words: str, length: int = REASON_LENGTH) -> str:
    """`words` fit for a row: printable, without NUL, cut in the middle to `length` characters."""
    words = words.encode("utf-8", "replace").decode("utf-8")
    words = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in words).strip()
    if len(words) <= length:
        return words
    half = (length - 5) // 2
    return f"{words[:half]} ... {words[-half:]}"


def unheld(dialect: str, table: str = "") -> str:
    """SQL: nobody works on the row (of `table`, when the statement needs its name)."""
    dot = f"{table}." if table else ""
    return f"({dot}lease_until IS NULL OR {dot}lease_until <= {now_sql(dialect)})"


def due(dialect: str, table: str = "") -> str:
    """SQL: nobody works on the row, and it may be tried again."""
    dot = f"{table}." if table else ""
    return f"({unheld(dialect, table)} AND ({dot}not_before IS NULL OR {dot}not_before <= {now_sql(dialect)}))"


def claim(
    session: Session,
    model: type[Worked],
    status: str,
    limit: int,
    *,
    lease: timedelta,
    where: str = "",
    **parameters: Any,
) -> list[Claim]:
    """Take up to `limit` rows of `model` in `status`, highest priority first, and lease them.

    Takes what nobody holds (no lease, or one that has run out) and whose `not_before` has come. `where` is further
    SQL about the table (a constant of the caller), `parameters` its bound values. Rows that another instance is
    claiming at this moment are passed over.
    """
    table, dialect = _table(model), session.get_bind().dialect.name
    skip = " FOR UPDATE SKIP LOCKED" if dialect == "postgresql" else ""
    name = table.name
    picked = (
        f"SELECT id FROM {name} WHERE status = '{status}' AND {due(dialect)}"
        f"{' AND (' + where + ')' if where else ''}"
        f" ORDER BY priority DESC, id LIMIT :limit{skip}"
    )
    changes = f"epoch = epoch + 1, lease_until = {later_sql(dialect, 'lease')}, leased_by = :actor"
    if dialect == "postgresql":
        update = f"UPDATE {name} SET {changes} FROM picked WHERE {name}.id = picked.id"
        sql = f"WITH picked AS MATERIALIZED ({picked}) {update}"
    else:
        sql = f"UPDATE {name} SET {changes} WHERE id IN ({picked})"
    rows = session.execute(
        text(f"{sql} RETURNING {name}.id, {name}.epoch, {name}.priority"),
        {"limit": limit, "lease": lease.total_seconds(), "actor": actor(), **parameters},
    )
    found = sorted((-priority, row, epoch) for row, epoch, priority in rows.all())
    return [Claim(name, row, status, epoch) for _, row, epoch in found]


def look(session: Session, model: type[Worked], ids: Iterable[int], *, lock: bool = True) -> list[Claim]:
    """The rows `ids` as they stand, locked until the transaction ends: what a verb acts on. In the order of id."""
    table, dialect = _table(model), session.get_bind().dialect.name
    suffix = " FOR UPDATE" if lock and dialect == "postgresql" else ""
    rows = session.execute(
        text(f"SELECT id, status, epoch FROM {table.name} WHERE id IN ({_listed(dialect)}) ORDER BY id{suffix}"),
        {"ids": _bound(dialect, sorted(set(ids)))},
    )
    return [Claim(table.name, r.id, r.status, r.epoch) for r in rows]


def advance(
    session: Session,
    claims: Sequence[Claim],
    to: str,
    reason: str | Mapping[int, str] | None,
    *,
    keep: bool = False,
    fence: bool = False,
    delay: timedelta | None = None,
    each: Mapping[int, Mapping[str, Any]] | None = None,
    **columns: Any,
) -> list[Claim]:
    """Move the claimed rows to status `to`, and return those that moved, as claims in their new status.

    A compare-and-set on id, status and epoch: who has been overtaken is not among those returned. `to` may be the
    status they have: then the history alone grows. `keep` keeps the lease for further work, else it ends;
    `fence` raises the epoch, so that a holder elsewhere is shut out (verbs); `delay` sets `not_before` that long
    from now; `columns` are further columns to set (`clock.NOW` sets the database's time); `each` sets columns that
    differ from row to row, by the id of the row (all of one table then; a row that lacks a column keeps what it
    has). `reason` may differ from row to row, too: words by the id of the row. Raises the database's error when the
    step is illegal.
    """
    if isinstance(reason, Mapping):
        each = {c.id: {**(each or {}).get(c.id, {}), "reason": clean(reason[c.id])} for c in claims}
    if each and len({c.table for c in claims}) > 1:
        raise ValueError("rows of several tables have no ids in common")
    if each and (twice := columns.keys() & {name for row in each.values() for name in row}):
        raise ValueError(f"set for all rows and for each: {', '.join(sorted(twice))}")
    moved: list[Claim] = []
    for (name, status), group in groupby(sorted(claims), key=lambda c: (c.table, c.status)):
        moved += _advance(
            session,
            Base.metadata.tables[name],
            status,
            list(group),
            to,
            reason,
            keep,
            fence,
            delay,
            each or {},
            columns,
        )
    return moved


def advance_one(session: Session, one: Claim, to: str, reason: str | None, **kwargs: Any) -> Claim:
    """`advance` for one row that must move; raises LeaseLost when it was overtaken."""
    moved = advance(session, [one], to, reason, **kwargs)
    if not moved:
        raise LeaseLost(rows=f"{one.table} {one.id}")
    return moved[0]


def renew(session: Session, claims: Sequence[Claim], lease: timedelta) -> list[Claim]:
    """Lengthen the leases of `claims` to `lease` from now; returns those that still are ours."""
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":  # in the order in which verbs lock, else each may wait for the other
        for name, group in groupby(sorted(claims), key=lambda c: c.table):
            _now(session, name, [c.id for c in group], lock=True)
    changes = f"lease_until = {later_sql(dialect, 'lease')}"
    return _change(session, claims, changes, {"lease": lease.total_seconds()}, " AND lease_until IS NOT NULL")


def release(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    """Give the claimed rows back as they are; returns those that still were ours."""
    return _change(session, claims, "lease_until = NULL, leased_by = NULL", {})


def release_of(session: Session, model: type[Worked], holder: str) -> int:
    """Give back every row that `holder` (an `actor` that is known to be gone) holds; returns how many.

    Safe even when it is wrong: the epoch rises, so that a holder who lives on can change nothing.
    """
    name = _table(model).name
    rows = session.execute(
        text(
            f"UPDATE {name} SET lease_until = NULL, leased_by = NULL, epoch = epoch + 1"
            " WHERE leased_by = :holder AND lease_until IS NOT NULL RETURNING id"
        ),
        {"holder": holder},
    )
    return len(rows.all())


def hold_on(session: Session, claims: Sequence[Claim]) -> None:
    """Make sure that `claims` still are ours; raises LeaseLost naming those that aren't. Locks them."""
    for name, group in groupby(sorted(claims), key=lambda c: c.table):
        held = list(group)
        there = set(_now(session, name, [c.id for c in held], lock=True))
        lost = [f"{name} {c.id}" for c in held if c not in there]
        if lost:
            raise LeaseLost(rows=", ".join(lost))


def _now(session: Session, name: str, ids: Iterable[int], *, lock: bool) -> list[Claim]:
    """The rows `ids` of table `name` as they stand, in the order of id."""
    dialect = session.get_bind().dialect.name
    suffix = " FOR UPDATE" if lock and dialect == "postgresql" else ""
    rows = session.execute(
        text(f"SELECT id, status, epoch FROM {name} WHERE id IN ({_listed(dialect)}) ORDER BY id{suffix}"),
        {"ids": _bound(dialect, sorted(set(ids)))},
    )
    return [Claim(name, r.id, r.status, r.epoch) for r in rows]


def _table(model: type[Worked]) -> Table:
    return model.__table__  # type: ignore[attr-defined,no-any-return]


def _listed(dialect: str) -> str:
    return "SELECT unnest(CAST(:ids AS bigint[]))" if dialect == "postgresql" else "SELECT value FROM json_each(:ids)"


def _bound(dialect: str, ids: list[int]) -> Any:
    return ids if dialect == "postgresql" else json.dumps(ids)


def _advance(
    session: Session,
    table: Table,
    status: str,
    claims: list[Claim],
    to: str,
    reason: str | Mapping[int, str] | None,
    keep: bool,
    fence: bool,
    delay: timedelta | None,
    each: Mapping[int, Mapping[str, Any]],
    columns: dict[str, Any],
) -> list[Claim]:
    dialect = session.get_bind().dialect.name
    changes = ["status = :to", "steps = steps + 1", "actor = :actor"]
    if not keep:
        changes += ["lease_until = NULL", "leased_by = NULL"]
    if fence:
        changes.append(f"epoch = {table.name}.epoch + 1")
    values: dict[str, Any] = {"to": to, "actor": actor()}
    if not isinstance(reason, Mapping):
        changes.append("reason = :reason")
        values["reason"] = None if reason is None else clean(reason)
    if delay is not None:
        changes.append(f"not_before = {later_sql(dialect, 'delay')}")
        values["delay"] = delay.total_seconds()
    typed = []
    for name, value in columns.items():
        column = table.c[name]
        if value is NOW:
            changes.append(f'"{column.name}" = {now_sql(dialect)}')
            continue
        changes.append(f'"{column.name}" = :set_{name}')
        values[f"set_{name}"] = value
        typed.append(bindparam(f"set_{name}", type_=column.type))
    rows = EachRow(table, list({c.id: c for c in claims}), each, session.get_bind().dialect) if each else None
    changes += rows.changes() if rows else []
    moved = _change(session, claims, ", ".join(changes), values, f" AND {table.name}.status = '{status}'", typed, rows)
    return [Claim(table.name, c.id, to, c.epoch) for c in moved]


def _change(
    session: Session,
    claims: Sequence[Claim],
    changes: str,
    values: dict[str, Any],
    condition: str = "",
    typed: Sequence[Any] = (),
    each: EachRow | None = None,
) -> list[Claim]:
    """One UPDATE a table of the rows in `claims` whose epoch still is the claim's; returns those it met."""
    dialect, met = session.get_bind().dialect.name, []
    for name, group in groupby(sorted(claims), key=lambda c: c.table):
        held = {c.id: c for c in group}
        if dialect == "postgresql":
            more, names, bound = each.arrays() if each else ([], [], {})
            arrays = ", ".join(["CAST(:ids AS bigint[])", "CAST(:epochs AS bigint[])", *more])
            pairs = f"unnest({arrays}) AS v({', '.join(['id', 'epoch', *names])})"
            match = f"{name}.id = v.id AND {name}.epoch = v.epoch"
            bound |= {"ids": list(held), "epochs": [c.epoch for c in held.values()]}
        else:
            pairs = "json_each(:rows) AS v"
            match = f"{name}.id = json_extract(v.value, '$[0]') AND {name}.epoch = json_extract(v.value, '$[1]')"
            rows = [[c.id, c.epoch, *(each.items(at) if each else ())] for at, c in enumerate(held.values())]
            bound = {"rows": json.dumps(rows, ensure_ascii=False)}
        sql = text(
            f"UPDATE {name} SET {changes} FROM {pairs} WHERE {match}{condition} RETURNING {name}.id, {name}.epoch"
        )
        found = session.execute(sql.bindparams(*typed), {**bound, **values})
        met += [Claim(name, row, held[row].status, epoch) for row, epoch in found.all()]
    return met
