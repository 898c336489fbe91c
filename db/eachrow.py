"""Values that differ from row to row within one UPDATE: bound as one array a column, read back beside the row's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Dialect, Table

from .clock import NOW, now_sql

Values = Mapping[int, Mapping[str, Any]]
"""Row's id → attribute → value."""

_VALUE, _NOW, _KEPT = 0, 1, 2


class EachRow:
    """What each of some rows gets; a row that does not name a column which others name keeps what it has there."""

    def __init__(self, table: Table, ids: Sequence[int], values: Values, dialect: Dialect) -> None:
        """`ids`: the rows of the statement, in the order in which they are bound. Raises KeyError for a column that
        the table doesn't have."""
        self._dialect, self._table = dialect, table
        names = dict.fromkeys(name for row in ids for name in values.get(row, ()))
        self._columns: list[tuple[Column[Any], list[Any], list[int]]] = []
        for name in names:
            column = table.c[name]
            given = [values.get(row, {}).get(name, self) for row in ids]
            kinds = [_KEPT if v is self else _NOW if v is NOW else _VALUE for v in given]
            bind = column.type.dialect_impl(dialect).bind_processor(dialect)
            bound = [(bind(v) if bind else v) if k == _VALUE else None for v, k in zip(given, kinds, strict=True)]
            self._columns.append((column, bound, kinds))

    def changes(self) -> list[str]:
        """The assignments: `column = what stands for it in v`."""
        out = []
        for number, (column, _, kinds) in enumerate(self._columns):
            others = {_NOW: now_sql(self._dialect.name), _KEPT: f'{self._table.name}."{column.name}"'}
            cases = "".join(f" WHEN {kind} THEN {sql}" for kind, sql in others.items() if kind in kinds)
            value = self._read(number, "c")
            case = f"CASE {self._read(number, 'k')}{cases} ELSE {value} END" if cases else value
            out.append(f'"{column.name}" = {case}')
        return out

    def arrays(self) -> tuple[list[str], list[str], dict[str, Any]]:
        """PostgreSQL: (further arguments of unnest, the names of their columns, what is bound to them)."""
        arguments: list[str] = []
        names: list[str] = []
        bound: dict[str, Any] = {}
        for number, (column, values, kinds) in enumerate(self._columns):
            kind = column.type.compile(dialect=self._dialect)
            arguments += [f"CAST(:c{number} AS {kind}[])", f"CAST(:k{number} AS integer[])"]
            names += [f"c{number}", f"k{number}"]
            bound |= {f"c{number}": values, f"k{number}": kinds}
        return arguments, names, bound

    def items(self, at: int) -> list[Any]:
        """SQLite: what follows id and epoch in the JSON of the row that was bound as number `at`."""
        return [item for _, values, kinds in self._columns for item in (values[at], kinds[at])]

    def _read(self, number: int, what: str) -> str:
        if self._dialect.name == "postgresql":
            return f"v.{what}{number}"
        return f"json_extract(v.value, '$[{2 + 2 * number + (what == 'k')}]')"
