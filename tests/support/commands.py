"""The real commands, as people and cron call them: the console scripts where there are any, else the same functions."""

from __future__ import annotations

import configparser
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.house import ROOT


def _console_scripts() -> dict[str, tuple[str, str]]:
    """Program → (module, function), as setup.cfg declares them."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser.get("options.entry_points", "console_scripts").split("\n")
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): tuple(where.strip().split(":")) for name, _, where in pairs}  # type: ignore[misc]


SCRIPTS = _console_scripts()


def command(name: str) -> list[str]:
    """The command line of a program of ondeck, to which its words are added."""
    script = Path(sys.executable).with_name(name)
    if script.exists():
        return [str(script)]
    module, function = SCRIPTS[name]
    return [sys.executable, "-P", "-c", f"from {module} import {function}; {function}()"]


def shim(folder: Path, name: str = "ondeck") -> Path:
    """A program file in `folder` that is ondeck's program `name`, for whoever needs a path."""
    path = folder / name
    words = " ".join(f"'{word}'" for word in command(name))
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return path


def run(
    name: str, *words: str | Path, cwd: Path, code: int | None = 0, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its exit code must be `code` (None: any)."""
    done = subprocess.run(
        [*command(name), *map(str, words)], cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    if code is not None:
        assert done.returncode == code, f"{name} {words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def begin(name: str, *words: str | Path, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Begin a program; whoever begins it ends it."""
    return subprocess.Popen(
        [*command(name), *map(str, words)], cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(processes: Sequence[subprocess.Popen[str]], timeout: float = 120) -> None:
    """Wait for programs that were begun side by side; each must end with 0."""
    said = []
    for process in processes:
        try:
            said.append(process.communicate(timeout=timeout)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            said.append(process.communicate()[0])
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)


def _ancestors() -> set[int]:
    """This process and all above it."""
    found, pid = set[int](), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def processes_of(folder: Path) -> dict[int, list[str]]:
    """{pid: command line} of all processes that speak of `folder`: daemons, commands, jobs and what they started."""
    mark, found, ours = os.fsencode(folder) + b"/", dict[int, list[str]](), _ancestors()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            line, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            over = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
        except (OSError, PermissionError):
            continue
        if not over and (mark in line or mark in environ):
            found[int(entry.name)] = [os.fsdecode(word) for word in line.split(b"\0") if word]
    return found


def end_all(folder: Path) -> None:
    """Kill every process that speaks of `folder`, until there is none."""
    for _ in range(100):
        left = processes_of(folder)
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    raise AssertionError(f"still running: {processes_of(folder)}")
