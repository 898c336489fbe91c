"""Three real storages, and a run in the first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.trees import ODD, grow

from ondeck.sites.storage import Storage
from ondeck.sites.transport import Command, LocalTransport, Result
from ondeck.sites.work import Work


class Disks(NamedTuple):
    """Storages whose roots are plain directories."""

    daq: Storage
    disk: Storage
    tape: Storage

    def run(self, name: str = "run1") -> Path:
        """Make a run of odd files at the DAQ; its path."""
        path = Path(self.daq.root, name)
        grow(ODD, os.fsencode(path))
        return path


class AsNobody(LocalTransport):
    """As somebody who may not do everything."""

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        words = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
        return super().run(command._replace(argv=(*words, *command.argv)), timeout=timeout, work=work)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="ondeck-storage-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(os.fsencode(path))


@pytest.fixture
def disks(folder: Path) -> Disks:
    """daq, disk and tape, each with its uuid."""
    transport = LocalTransport("here")
    made = []
    for name in Disks._fields:
        (folder / name).mkdir()
        storage = Storage(name, str(folder / name), transport)
        storage.initialise(f"uuid-of-{name}")
        made.append(storage)
    return Disks(*made)


@pytest.fixture
def nobody(disks: Disks) -> Disks:
    """The same three, used by somebody who is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    transport = AsNobody("here")
    for storage in disks:
        Path(storage.root).chmod(0o777)
        storage.transport = transport
    return disks
