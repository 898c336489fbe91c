from __future__ import annotations

import threading
import time

import click
import pytest
from support.rows import attempt, check_history, execute, history, make, make_one, row, status

from ondeck.tools import jobverbs
from ondeck.tools.HoldJob import hold
from ondeck.tools.ResetJob import reset
from ondeck.tools.StartJob import start

from .conftest import HOSTILE, Lab


def job(
    lab: Lab, name: str, job_status: str, run_status: str = "processing", module: str = "sums", **columns: object
) -> int:
    run = make_one(lab.db, "runs", run_status, name=name)
    return make_one(lab.db, "jobs", job_status, run_id=run, module=module, **columns)


def test_reset_a_done_job(lab: Lab) -> None:
    one = job(lab, "r1", "done", "processed")
    said = lab.good("r1", "sums", "--reason", "bad\ncalibration", command=reset)
    assert "r1 sums" in said
    assert "done -> blocked" in said
    assert status(lab.db, "jobs", one) == "blocked"
    last = history(lab.db, "jobs", one)[-1]
    assert last.reason == r"reset: bad\ncalibration"
    assert last.actor.split("@")[0] not in ("", "by hand")
    check_history(lab.db, "jobs", one)


def test_hold_and_start(lab: Lab) -> None:
    one = job(lab, "r1", "new")
    lab.good("r1", "sums", command=hold)
    assert (status(lab.db, "jobs", one), row(lab.db, "jobs", one).validation) == ("waiting", "WAITING")
    assert lab.good("r1", "sums", command=hold) == "nothing to do: it is so already\n"
    lab.good("r1", "sums", command=start)
    assert (status(lab.db, "jobs", one), row(lab.db, "jobs", one).validation) == ("blocked", "YES")


def test_by_glob_and_number(lab: Lab) -> None:
    ones = [job(lab, f"r{n}", "failed", module=module) for n in (1, 2) for module in ("sums",)]
    other = job(lab, "s1", "failed", module="sums")
    lab.good("r?", "s*", command=reset)
    assert [status(lab.db, "jobs", one) for one in ones] == ["blocked"] * 2
    assert status(lab.db, "jobs", other) == "failed"
    execute(lab.db, "UPDATE runs SET number = 77 WHERE name = 's1'")
    lab.good("job", "reset", "77", "sums")
    assert status(lab.db, "jobs", other) == "blocked"


@pytest.mark.parametrize("command", [reset, hold, start])
def test_nothing_such_is_an_error(lab: Lab, command: click.Command) -> None:
    job(lab, "r1", "done")
    assert "There is no run 'r2'" in lab.bad("r2", "sums", command=command)
    assert "its modules: sums" in lab.bad("r1", "spectrum", command=command)
    lab.bad(HOSTILE[:500], "x", command=command)
    assert lab.run("r1", command=command).exit_code == 2


def test_many_rows_need_a_yes(lab: Lab) -> None:
    """Without a terminal nothing happens, and the preview says what would have happened."""
    ones = [job(lab, f"r{n}", "done") for n in range(jobverbs.ASK_ABOVE + 1)]
    said = lab.run("*", "*", command=reset)
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.count("done -> blocked") == len(ones)
    assert said.stderr.splitlines()[-1].startswith("ondeck: nothing was done: 11 rows would change")
    assert {status(lab.db, "jobs", one) for one in ones} == {"done"}
    assert all(len(history(lab.db, "jobs", one)) == 1 for one in ones)
    lab.good("*", "*", "--yes", command=reset)
    assert {status(lab.db, "jobs", one) for one in ones} == {"blocked"}


def test_ten_rows_need_none(lab: Lab) -> None:
    ones = [job(lab, f"r{n}", "done") for n in range(jobverbs.ASK_ABOVE)]
    lab.good("*", "*", command=reset)
    assert {status(lab.db, "jobs", one) for one in ones} == {"blocked"}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_at_a_terminal_it_asks(lab: Lab, answer: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = [job(lab, f"r{n}", "done") for n in range(11)]
    monkeypatch.setattr(jobverbs, "at_terminal", lambda: True)
    said = lab.run("*", "*", command=reset, input=answer)
    assert said.exit_code == code
    assert "Do this to 11 rows?" in said.stderr
    assert {status(lab.db, "jobs", one) for one in ones} == {"blocked" if code == 0 else "done"}


def test_dependants_are_reset_too_unless_only(lab: Lab) -> None:
    first = job(lab, "r1", "done")
    run = row(lab.db, "jobs", first).run_id
    second = make_one(lab.db, "jobs", "done", run_id=run, module="later", prerequisite_id=first)
    lab.good("r1", "sums", "--only", command=reset)
    assert status(lab.db, "jobs", second) == "done"
    said = lab.good("r1", "sums", command=reset)
    assert "r1 later" in said
    assert status(lab.db, "jobs", second) == "blocked"


def test_a_live_job_is_only_asked_to_end(lab: Lab) -> None:
    one = job(lab, "r1", "running")
    said = lab.good("r1", "sums", command=reset)
    assert "Process ends it first" in said
    assert (status(lab.db, "jobs", one), row(lab.db, "jobs", one).wanted) == ("running", "reset")


def test_wait_for_its_end(lab: Lab) -> None:
    one = job(lab, "r1", "running")
    said = lab.run("r1", "sums", "--wait", "0.2", command=hold)
    assert said.exit_code == 1
    assert "have not come to their end yet" in said.stderr
    assert "sums: hold" in said.stderr

    def process() -> None:
        time.sleep(0.3)
        execute(lab.db, "UPDATE jobs SET status = 'waiting', wanted = '', steps = steps + 1")

    thread = threading.Thread(target=process)
    thread.start()
    lab.good("r1", "sums", "--wait", "30", command=hold)
    thread.join()
    assert status(lab.db, "jobs", one) == "waiting"


def test_one_that_may_still_run_needs_a_person_who_vouches(lab: Lab) -> None:
    one = job(lab, "r1", "waiting")
    with lab.db.write() as session:
        attempt(session, one)
    assert "it may still run" in lab.bad("r1", "sums", command=start)
    lab.good("r1", "sums", "--ended", command=reset)
    assert status(lab.db, "jobs", one) == "blocked"


def test_jobs_of_a_cancelled_run_are_refused(lab: Lab) -> None:
    job(lab, "r1", "cancelled", "cancelled")
    assert "Reset the run first" in lab.bad("r1", "sums", command=reset)


def test_cancel(lab: Lab) -> None:
    one, other = job(lab, "r1", "blocked"), job(lab, "r2", "failed")
    lab.good("cancel", "r1", "sums")
    lab.good("job", "cancel", "r2", "sums")
    assert [status(lab.db, "jobs", i) for i in (one, other)] == ["cancelled"] * 2


def test_hostile_names_in_what_was_done(lab: Lab) -> None:
    job(lab, HOSTILE, "done", module=HOSTILE)
    said = lab.run("*", "*", "--reason", HOSTILE, command=reset)
    assert said.exit_code == 0
    assert all(line.isprintable() and len(line) < 500 for line in said.output.splitlines())


def test_much_is_cut_in_the_preview(lab: Lab) -> None:
    run = make_one(lab.db, "runs", "processing")
    make(lab.db, "jobs", "done", 250, run_id=run)
    said = lab.good("*", "*", "--yes", command=reset)
    assert "... and 50 rows more" in said
