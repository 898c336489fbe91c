"""The legal steps as data: compared with a second writing-down of the tables, and among themselves."""

from __future__ import annotations

import pytest
from support.rows import MODELS

from ondeck.db.base import Base
from ondeck.db.ddl import statements
from ondeck.db.states import LEGAL_STEPS, STATUSES, is_legal

DAEMONS = {"RunsProvider", "Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger"}
LIVE = "submitting pending running"
ENDED = "done failed cancelled"

# source -> statuses that may follow it, written down once more, by hand
EXPECTED = {
    "runs": {
        "acquired": "transferring ondeck failed cancelled",
        "transferring": "ondeck acquired failed cancelled",
        "ondeck": "processing processed failed cancelled",
        "processing": "processed failed cancelled",
        "processed": "archived processing cancelled",
        "archived": "processing",
        "failed": "acquired ondeck processing cancelled",
        "cancelled": "acquired ondeck processing",
    },
    "jobs": {
        "waiting": "blocked new cancelled done failed",
        "blocked": "waiting new cancelled",
        "new": "waiting blocked cancelled submitting",
        "submitting": f"pending running new waiting {ENDED}",
        "pending": f"running new waiting {ENDED}",
        "running": f"new waiting {ENDED}",
        "done": "new blocked waiting",
        "failed": "new blocked waiting cancelled",
        "cancelled": "new blocked waiting",
    },
    "copies": {
        "absent": "writing",
        "writing": "verified absent",
        "verified": "suspect deleting",
        "suspect": "verified writing",
        "deleting": "absent suspect",
    },
    "bundles": {
        "open": "writing",
        "writing": "written open",
        "written": "verified open",
        "verified": "",
    },
    "inbox": {"new": "done ignored", "done": "", "ignored": ""},
    "outbox": {"queued": "sending", "sending": "sent queued failed", "sent": "", "failed": "queued"},
}

# steps that only these may take
ONLY = {
    ("runs", "transferring", "ondeck"): {"Transfer"},
    ("runs", "ondeck", "processing"): {"JobOrganizer"},
    ("runs", "processing", "processed"): {"Process"},
    ("runs", "processing", "cancelled"): {"verb", "Process"},
    ("runs", "processed", "archived"): {"DiskMonitor"},
    ("runs", "archived", "processing"): {"verb"},
    ("jobs", "new", "submitting"): {"Process"},
    ("jobs", "new", "blocked"): {"JobOrganizer", "Process", "verb"},
    ("jobs", "blocked", "new"): {"JobOrganizer", "verb"},
    ("jobs", "blocked", "cancelled"): {"JobOrganizer", "verb"},
    ("jobs", "running", "done"): {"Process"},
    ("jobs", "waiting", "done"): {"Process"},
    ("jobs", "done", "new"): {"verb"},
    ("jobs", "failed", "cancelled"): {"verb"},
    ("copies", "verified", "deleting"): {"DiskMonitor"},
    ("outbox", "failed", "queued"): {"verb"},
}


@pytest.mark.parametrize("table", EXPECTED)
def test_the_steps_are_those_of_the_tables(table: str) -> None:
    for source in STATUSES[table]:
        following = {step.to for step in LEGAL_STEPS[table] if step.source == source}
        assert following == set(EXPECTED[table][source].split()), source


@pytest.mark.parametrize("table", EXPECTED)
def test_each_step_stands_once_and_says_who_and_when(table: str) -> None:
    pairs = [(step.source, step.to) for step in LEGAL_STEPS[table]]
    assert len(pairs) == len(set(pairs))
    for step in LEGAL_STEPS[table]:
        assert step.source != step.to
        assert {step.source, step.to} <= set(STATUSES[table])
        assert step.who
        assert set(step.who) <= DAEMONS | {"verb"}
        assert step.when


def test_who_may_take_a_step() -> None:
    who = {(t, s.source, s.to): set(s.who) for t, steps in LEGAL_STEPS.items() for s in steps}
    assert {key: who[key] for key in ONLY} == ONLY


@pytest.mark.parametrize("table", EXPECTED)
def test_is_legal_says_what_the_table_says(table: str) -> None:
    for source in STATUSES[table]:
        for to in STATUSES[table]:
            expected = source == to or to in EXPECTED[table][source].split()
            assert is_legal(table, source, to) == expected


def test_every_table_that_is_worked_on_has_statuses_and_steps() -> None:
    worked = {name for name, table in Base.metadata.tables.items() if "steps" in table.columns}
    assert worked == set(STATUSES) == set(LEGAL_STEPS) == set(MODELS)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_table_with_a_status_has_its_triggers(dialect: str) -> None:
    made = "\n".join(statements(dialect))
    for table in STATUSES:
        for trigger in ("step", "birth") if dialect == "sqlite" else ("legal", "birth", "history"):
            assert f"CREATE TRIGGER {table}_{trigger} " in made
