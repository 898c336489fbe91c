from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from support.rows import attempt, execute, make, make_one, row

from ondeck.db.engine import Database
from ondeck.db.insert import insert_new
from ondeck.db.models import Job, Run
from ondeck.tools.listdb import listdb

from .conftest import HOSTILE, Lab


def names(lab: Lab, *words: str) -> list[str]:
    return [one["name"] for one in json.loads(lab.good("listdb", "--json", *words))]


def cells(lab: Lab, *words: str) -> list[list[str]]:
    """The table, a list a row, without headings."""
    lines = lab.good("listdb", *words).splitlines()
    starts = [match.start() for match in re.finditer(r"-+", lines[1])]
    ends = [*starts[1:], None]
    return [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines[2:]]


def test_nothing_there_is_no_error(lab: Lab) -> None:
    said = lab.run("listdb")
    assert (said.exit_code, said.stdout, said.stderr) == (0, "", "there is no run yet\n")
    assert lab.good("listdb", "--json") == "[]\n"
    assert lab.good("listdb", "--csv").count("\n") == 1
    said = lab.run("listdb", "x*", "--status", "failed", "--tag", "a")
    assert (said.exit_code, said.stderr) == (0, "no run matches x*, status failed, tag a\n")
    assert lab.run("listdb", "--jobs").stderr == "there is no job yet\n"


def test_default_columns(lab: Lab) -> None:
    run = make_one(lab.db, "runs", "processing", name="r1", number=5, run_type="physics", reason="jobs: sums")
    make_one(lab.db, "copies", "verified", run_id=run, storage="daq")
    make_one(lab.db, "copies", "verified", run_id=run, storage="disk")
    make(lab.db, "jobs", "done", 2, run_id=run)
    make_one(lab.db, "jobs", "failed", run_id=run)
    ((number, name, kind, status, data, jobs, since, reason),) = cells(lab)
    assert (number, name, kind, status, data, jobs) == ("5", "r1", "physics", "processing", "disk", "2 done, 1 failed")
    assert datetime.now(UTC) - datetime.fromisoformat(since) < timedelta(minutes=1)
    assert since.endswith("Z")
    assert reason == "jobs: sums"


def test_since_is_when_it_came_to_its_status(lab: Lab) -> None:
    run = make_one(lab.db, "runs", "acquired")
    execute(lab.db, "UPDATE runs SET status = 'transferring', steps = steps + 1")
    (since,) = (one["since"] for one in json.loads(lab.good("listdb", "--json")))
    for _ in range(2):  # verbs that move no status
        execute(lab.db, "UPDATE runs SET steps = steps + 1")
    (after,) = (one["since"] for one in json.loads(lab.good("listdb", "--json")))
    assert after == since
    made = row(lab.db, "runs", run).created_at
    assert datetime.fromisoformat(since) >= made


def test_by_name_number_range_and_source(lab: Lab) -> None:
    for number in (99, 100, 150, 200, 201):
        make_one(lab.db, "runs", "acquired", name=f"r{number}", number=number)
    make_one(lab.db, "runs", "acquired", name="Rx", source="other")
    make_one(lab.db, "runs", "acquired", name="150", source="other")
    make_one(lab.db, "runs", "acquired", name="100-200", source="other")
    assert names(lab, "r150") == ["r150"]
    assert names(lab, "150") == ["r150", "150"]
    assert names(lab, "100-200") == ["r100", "r150", "r200", "100-200"]
    assert names(lab, "r2*", "99") == ["r99", "r200", "r201"]
    assert names(lab, "R*") == ["Rx"]
    assert names(lab, "R*", "r99") == ["r99", "Rx"]
    assert names(lab, "r[12]0?") == ["r100", "r200", "r201"]
    assert names(lab, "other/*") == ["Rx", "150", "100-200"]
    assert names(lab, "other/150", "daq/200") == ["r200", "150"]
    assert names(lab, "r%", "r_50", "") == []


def test_filters(lab: Lab) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    one = make_one(
        lab.db, "runs", "failed", name="one", listener="a", run_type="physics", tags=["x", "y z"], started_at=old
    )
    two = make_one(lab.db, "runs", "processing", name="two", source="sim", tags=["x"])
    make_one(lab.db, "jobs", "failed", run_id=one, module="sums")
    make_one(lab.db, "jobs", "running", run_id=two, module="spectrum")
    assert names(lab, "--status", "failed") == ["one"]
    assert names(lab, "--status", "failed", "--status", "processing") == ["one", "two"]
    assert names(lab, "--module", "s*s") == ["one"]
    assert names(lab, "--module", "spectrum") == ["two"]
    assert names(lab, "--module", "s?ms", "--module", "spectrum") == ["one", "two"]
    assert names(lab, "--listener", "a") == ["one"]
    assert names(lab, "--source", "sim") == ["two"]
    assert names(lab, "--type", "physics") == ["one"]
    assert names(lab, "--tag", "x") == ["one", "two"]
    assert names(lab, "--tag", "x", "--tag", "y z") == ["one"]
    assert names(lab, "--since", "1d") == ["two"]
    assert names(lab, "--until", "1d") == ["one"]
    assert names(lab, "--since", "4d", "--until", "2d", "--status", "failed", "one") == ["one"]


def test_the_newest_are_shown_unless_more_are_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ondeck.tools.listdb.NEWEST", 3)
    made = [f"r{n}" for n in range(5)]
    for name in made:
        make_one(lab.db, "runs", "acquired", name=name)
    said = lab.run("listdb", "--columns", "name")
    assert said.stdout.split()[2:] == made[2:]
    assert said.stderr == "These are the newest 3 runs; --all shows all, --last N another number.\n"
    assert names(lab, "--last", "2") == made[3:]
    assert names(lab, "--all") == made
    assert lab.run("listdb", "--last", "5").stderr == ""
    assert names(lab, "r*", "--last", "1") == ["r4"]
    assert lab.run("listdb", "--last", "2", "--all").exit_code == 2


def test_columns(lab: Lab) -> None:
    make_one(
        lab.db, "runs", "acquired", name="r", nbytes=1_500_000, params={"beam": {"on": True}, "e": 6.5}, tags=["a", "b"]
    )
    assert cells(lab, "--columns", "name,size,params.beam,params.e,params.none,tags,to_archive,name") == [
        ["r", "1.5 MB", '{"on": true}', "6.5", "", "a, b", ""]
    ]
    (whole,) = json.loads(lab.good("listdb", "--json"))
    assert {c.name for c in Run.__table__.columns} <= set(whole)
    assert (whole["params"], whole["tags"], whole["jobs"], whole["job_counts"], whole["data"]) == (
        {"beam": {"on": True}, "e": 6.5},
        ["a", "b"],
        "",
        {},
        "",
    )
    assert json.loads(lab.good("listdb", "--json", "--columns", "type,params.e")) == [{"type": "", "params.e": 6.5}]
    assert 'did you mean "status"?' in lab.bad("listdb", "--columns", "name,statsu")
    assert 'did you mean "status"?' in lab.bad("listdb", "--sort", "statsu")
    assert lab.run("listdb", "--columns", ",").exit_code == 2
    listed = lab.good("listdb", "--columns", "help")
    assert {"name", "params", "data", "since", "created_at"} <= {line.split()[0] for line in listed.splitlines()[2:]}


def test_sort_by_any_column(lab: Lab) -> None:
    for name, number, nbytes in (("b", 10, 5), ("a", 9, None), ("c", None, 7)):
        run = make_one(
            lab.db, "runs", "acquired", name=name, number=number, nbytes=nbytes, params={"x": nbytes or "text"}
        )
        make(lab.db, "jobs", "done", (nbytes or 0) - 4 if nbytes else 0, run_id=run)
    assert names(lab, "--sort", "name") == ["a", "b", "c"]
    assert names(lab, "--sort", "-number") == ["b", "a", "c"]
    assert names(lab, "--sort", "size") == ["a", "b", "c"]
    assert names(lab, "--sort", "params.x") == ["b", "c", "a"]
    assert names(lab, "--sort", "-jobs", "--last", "2") == ["c", "a"]
    assert names(lab, "--sort", "since") == ["b", "a", "c"]


def test_statuses_are_checked(lab: Lab) -> None:
    assert "runs have no status 'done'" in lab.bad("listdb", "--status", "done")
    assert "jobs have no status 'archived'" in lab.bad("listdb", "--jobs", "--status", "archived")


def test_csv_has_full_values(lab: Lab) -> None:
    make_one(lab.db, "runs", "failed", name="r", reason='a, "b"\nc' + "x" * 500, params={"k": [1]})
    rows = list(csv.DictReader(io.StringIO(lab.good("listdb", "--csv", "--columns", "name,reason,params,created_at"))))
    assert rows[0]["reason"] == 'a, "b"\nc' + "x" * 500
    assert json.loads(rows[0]["params"]) == {"k": [1]}
    assert datetime.fromisoformat(rows[0]["created_at"]).utcoffset() == timedelta(0)
    assert lab.run("listdb", "--csv", "--json").exit_code == 2


def test_local_times(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC-5:30")
    time.tzset()
    try:
        at = datetime(2026, 1, 31, 12, tzinfo=UTC)
        make_one(lab.db, "runs", "acquired", name="r", started_at=at)
        assert cells(lab, "--columns", "start") == [["2026-01-31 12:00:00Z"]]
        assert cells(lab, "--columns", "start", "--local") == [["2026-01-31 17:30:00+05:30"]]
        assert json.loads(lab.good("listdb", "--json", "--columns", "start")) == [
            {"start": "2026-01-31T12:00:00.000000Z"}
        ]
        assert names(lab, "--local", "--since", "2026-01-31T17:29") == ["r"]
        assert names(lab, "--since", "2026-01-31T17:29") == []
    finally:
        monkeypatch.undo()
        time.tzset()


def test_hostile_content_breaks_neither_table_nor_terminal(lab: Lab) -> None:
    make_one(
        lab.db,
        "runs",
        "acquired",
        name=HOSTILE,
        run_type=HOSTILE,
        reason=HOSTILE,
        comments=HOSTILE,
        source=HOSTILE,
        tags=[HOSTILE],
        params={"x": HOSTILE, HOSTILE: 1},
        blocked_by=HOSTILE,
        actor=HOSTILE,
    )
    run = make_one(lab.db, "runs", "acquired", name="tame")
    make_one(lab.db, "jobs", "new", run_id=run, module=HOSTILE, site=HOSTILE, reason=HOSTILE)
    for words in (
        [],
        ["--columns", "name,params,tags,comments,actor,params.x"],
        ["--jobs"],
        [HOSTILE[:40]],
        ["--sort", "reason"],
    ):
        said = lab.run("listdb", *words)
        assert said.exit_code == 0
        lines = said.output.splitlines()
        assert all(line.isprintable() for line in lines)
        assert max(map(len, lines)) < 1000
    assert len(lab.good("listdb").splitlines()) == 4
    whole = lab.good("listdb", "--json")
    assert whole.replace("\n", "").isprintable()
    assert json.loads(whole)[0]["params"]["x"] == HOSTILE


def test_jobs(lab: Lab) -> None:
    run = make_one(lab.db, "runs", "processing", name="r", number=7)
    with lab.db.write() as session:
        insert_new(
            session,
            Job,
            [
                {
                    "run_id": run,
                    "module": "sums",
                    "pass_": 1,
                    "part": 2,
                    "status": "pending",
                    "site": "here",
                    "blocked_by": "slots",
                    "reason": "words",
                }
            ],
            ["run_id", "module", "pass", "part"],
        )
    (job,) = (one["id"] for one in json.loads(lab.good("listdb", "--jobs", "--json")))
    with lab.db.write() as session:
        attempt(session, job, 1, batch_id="b1")
        attempt(session, job, 2, batch_id="b2", pending_reason="full")
    other = make_one(lab.db, "jobs", "failed", run_id=run, module="later")
    first, second = cells(lab, "--jobs")
    assert first[:8] == ["r", "sums", "1", "2", "pending", "2", "b2", "here"]
    assert first[9:] == ["slots", "words"]
    assert second[:7] == ["r", "later", "0", "0", "failed", "", ""]
    assert len(cells(lab, "--jobs", "--module", "su*")) == 1
    assert [one["id"] for one in json.loads(lab.good("listdb", "--jobs", "--json", "--status", "failed"))] == [other]
    assert [one["pending_reason"] for one in json.loads(lab.good("listdb", "--jobs", "--json", "7"))] == ["full", None]
    assert lab.run("listdb", "--jobs", "8").stderr == "no job matches 8\n"


@contextmanager
def counted(database: type[Database]) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    from sqlalchemy import Engine

    sent: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def test_as_many_queries_for_a_thousand_runs_as_for_one(lab: Lab) -> None:
    def fill(first: int, count: int) -> None:
        with lab.db.write() as session:
            session.execute(
                text("INSERT INTO runs (name, status, number) VALUES (:name, 'processed', :number)"),
                [{"name": f"n{n}", "number": n} for n in range(first, first + count)],
            )
            session.execute(
                text("INSERT INTO jobs (run_id, module, status) SELECT id, 'm', 'done' FROM runs WHERE number >= :n"),
                {"n": first},
            )

    fill(0, 1)
    with counted(Database) as one:
        lab.good("listdb", "--json")
    fill(1, 900)
    with counted(Database) as many:
        assert len(json.loads(lab.good("listdb", "--json"))) == 901
    assert len(many) == len(one)
    with counted(Database) as jobs:
        assert len(json.loads(lab.good("listdb", "--jobs", "--json"))) == 901
    assert len(jobs) <= len(one) + 2


def test_it_is_a_program_of_its_own(lab: Lab) -> None:
    make_one(lab.db, "runs", "acquired", name="r")
    assert "acquired" in lab.good("--config", str(lab.config), command=listdb)
