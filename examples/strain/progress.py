"""What is seen of the demo while it runs: a table that changes at a terminal, else a line for each change."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

ROAD = ("acquired", "transferring", "ondeck", "processing", "processed", "archived")
"""The statuses of a run for which all goes well."""

Row = Mapping[str, Any]


class Progress(Protocol):
    """Shows runs as `listdb --json` gives them."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, rows: Iterable[Row]) -> None:
        """The runs as they are now."""


def progress(console: Console) -> Progress:
    """The table for a terminal, lines for anything else."""
    return _Table(console) if console.is_terminal else _Lines(console)


def jobs(row: Row) -> str:
    """A run's jobs in a few words."""
    return str(row.get("jobs") or "-")


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()
        self._seen: dict[str, str] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, rows: Iterable[Row]) -> None:
        """A line for each run that has changed."""
        for row in rows:
            name = str(row["name"])
            words = f"{row['status']!s:<14}data: {row.get('data') or '-'!s:<12}jobs: {jobs(row)}"
            if self._seen.get(name) != words:
                self._seen[name] = words
                seconds = time.monotonic() - self._begin
                self._console.print(f"{seconds:6.1f} s  {name}  {words}".rstrip(), markup=False, highlight=False)


class _Table:
    def __init__(self, console: Console) -> None:
        self._begin = time.monotonic()
        self._rows: list[Row] = []
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> _Table:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, rows: Iterable[Row]) -> None:
        """Put the runs into the table."""
        self._rows = list(rows)
        self._live.refresh()

    def _table(self) -> Table:
        table = Table(caption=f"{time.monotonic() - self._begin:.0f} s", caption_justify="left")
        for title in ("run", "status", "", "data", "jobs"):
            table.add_column(title, no_wrap=True)
        for row in self._rows:
            status = str(row["status"])
            at = ROAD.index(status) if status in ROAD else -1
            style = "bold green" if status == ROAD[-1] else "bold yellow" if at >= 0 else "bold red"
            dots = Text("●" * (at + 1), style=style) + Text("○" * (len(ROAD) - at - 1), style="dim")
            cells = (Text(str(row["name"])), Text(status, style=style), dots)
            table.add_row(*cells, Text(str(row.get("data") or "-")), Text(jobs(row)))
        if not self._rows:
            table.add_row(Text("no run yet", style="dim"))
        return table
