"""`ondeck site check` and `ondeck doctor` with the real commands: what is well, what is wrong, and nothing left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab", sqlite_url)
    made.build()
    yield made
    made.clean_up()


def levels(lab: Lab, *words: str, code: int = 0) -> dict[str, list[str]]:
    """Subject → levels."""
    found: dict[str, list[str]] = {}
    for one in json.loads(lab.run("ondeck", *words, "--json", code=code).stdout):
        found.setdefault(one["subject"], []).append(one["level"])
    return found


def test_a_good_site_leaves_nothing_behind(lab: Lab) -> None:
    before = sorted(str(path) for path in lab.folder.rglob("*"))
    found = levels(lab, "site", "check", "here")
    assert {level for some in found.values() for level in some} <= {"ok", "warn"}
    assert found["here: job"] == ["ok"]
    assert found["here: work directory"] == ["ok"] * 3
    assert sorted(str(path) for path in lab.folder.rglob("*")) == before
    assert lab.query("SELECT count(*) FROM attempts") == [(0,)]


def test_a_disk_that_is_away_fails_alone(lab: Lab) -> None:
    (lab.folder / "raw" / ".ondeck-storage").rename(lab.folder / "kept")
    found = levels(lab, "site", "check", "here", "--no-job", code=1)
    assert found["here: disk of disk"] == ["fail"]
    assert found["here: disk of tape"] == ["ok"]
    (lab.folder / "raw" / ".ondeck-storage").write_text("another-uuid\n")
    said = lab.run("ondeck", "site", "check", "here", "--no-job", code=1).stdout
    assert "shows another disk: it holds another-uuid" in said


def test_the_doctor_sees_a_trigger_that_is_gone(lab: Lab) -> None:
    assert levels(lab, "doctor", "--no-job")["triggers"] == ["ok"]
    lab.execute("DROP TRIGGER runs_history")
    said = lab.run("ondeck", "doctor", "--no-job", code=1).stdout
    assert "trigger runs_history is missing" in said
