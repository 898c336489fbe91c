"""What the acceptance tests share."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.refresh import Refresh, lock_of


@pytest.fixture
def refresh(tmp_path: Path) -> Iterator[Refresh]:
    """A false ondeck and the real refresh.sh; of what it makes outside the test's folder nothing stays."""
    made = Refresh(tmp_path)
    yield made
    for config in tmp_path.glob("*.toml"):
        lock_of(config).unlink(missing_ok=True)
    for pids in (made.bin / "hangs", made.bin / "lingering"):
        for pid in map(int, pids.read_text().split() if pids.exists() else []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
