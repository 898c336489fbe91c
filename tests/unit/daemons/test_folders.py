from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from ondeck.config import loads
from ondeck.daemons.folders import make_folders, places


def test_folders_obey_the_umask_and_the_key_is_real(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    config = loads('state_dir = "link/state"', tmp_path / "ondeck.toml")
    before = os.umask(0o027)
    try:
        make_folders(config)
        make_folders(config)
    finally:
        os.umask(before)
    where = places(config, "Transfer")
    assert where.key == str(tmp_path / "real/state")
    assert where.pid == tmp_path / "real/state/run/Transfer.pid"
    assert where.log == tmp_path / "real/state/logs/Transfer.log"
    for folder in ("", "run", "logs"):
        assert (tmp_path / "real/state" / folder).stat().st_mode & 0o7777 == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_files_belong_to_the_group(tmp_path: Path) -> None:
    group = next(one for one in grp.getgrall() if one.gr_gid not in (0, os.getegid()))
    config = loads(f'group = "{group.gr_name}"', tmp_path / "ondeck.toml")
    make_folders(config)
    made = places(config, "Transfer").log
    made.touch()
    assert made.stat().st_gid == group.gr_gid
    assert made.parent.stat().st_mode & 0o2000
