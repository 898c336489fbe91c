"""Where a daemon keeps its files: `run` (pid files, heartbeats) and `logs`, both in the state directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from ..config.model import Config


class Places(NamedTuple):
    """The files of one daemon. `key` names the state directory in the table daemons."""

    key: str
    pid: Path
    beat: Path
    log: Path
    out: Path
    err: Path


def places(config: Config, name: str) -> Places:
    """Where the daemon `name` keeps what; nothing is made."""
    real = Path(os.path.realpath(config.state_dir))
    run, logs = real / "run", real / "logs"
    return Places(
        str(real),
        run / f"{name}.pid",
        run / f"{name}.beat",
        logs / f"{name}.log",
        logs / f"{name}.out",
        logs / f"{name}.err",
    )


def make_folders(config: Config) -> None:
    """Make the state directory and what is in it, under the umask as it is.

    With a group configured, what is made here belongs to it, and so does what is made inside (setgid).
    """
    for folder in (config.state_dir, config.state_dir / "run", config.state_dir / "logs"):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if config.group and made:
            shutil.chown(folder, group=config.group)
            folder.chmod(folder.stat().st_mode | 0o2000)
