"""What /proc says of a process group."""

from __future__ import annotations

from pathlib import Path


def effort_of_group(group: int) -> dict[tuple[int, int], int]:
    """{(pid, start time): bytes read and written + cpu ticks} of the group's processes; {} without /proc."""
    found = {}
    try:
        pids = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return {}
    for pid in pids:
        fields = _stat(pid)
        if fields and int(fields[2]) == group:
            ticks = int(fields[11]) + int(fields[12])
            found[int(pid), int(fields[19])] = ticks + _io(pid)
    return found


def _stat(pid: str) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on; None if it is gone."""
    try:
        text = Path("/proc", pid, "stat").read_text("ascii", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _io(pid: str) -> int:
    """Bytes that went through read and write calls; 0 where that may not be seen."""
    try:
        lines = Path("/proc", pid, "io").read_text("ascii").splitlines()
    except OSError:
        return 0
    counts = dict(line.split(": ", 1) for line in lines if ": " in line)
    return int(counts.get("rchar", 0)) + int(counts.get("wchar", 0))
