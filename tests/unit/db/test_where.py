from __future__ import annotations

import itertools

import pytest
from support.rows import make, make_one

from ondeck.db.engine import Database
from ondeck.db.states import STATUSES, CopyStatus
from ondeck.db.where import CopyFacts, data_words, job_counts, job_words, word

V, W, S, D, A = CopyStatus.VERIFIED, CopyStatus.WRITING, CopyStatus.SUSPECT, CopyStatus.DELETING, CopyStatus.ABSENT


@pytest.mark.parametrize(
    ("copies", "shown"),
    [
        ([], ""),
        ([("DAQ", W, True)], "DAQ"),
        ([("DAQ", V, True)], "DAQ"),
        ([("DAQ", W, True), ("disk", W, True)], "copying"),
        ([("DAQ", V, True), ("disk", W, True)], "copying"),
        ([("DAQ", V, True), ("disk", V, True)], "disk"),
        ([("DAQ", V, True), ("disk", V, True), ("tape", A, True)], "disk"),
        ([("disk", V, True), ("tape", W, True)], "archiving"),
        ([("DAQ", V, True), ("disk", V, True), ("tape", V, True)], "disk+tape"),
        ([("disk", V, True), ("disk", V, True)], "disk"),
        ([("disk", V, False), ("tape", V, True)], "removing"),
        ([("disk", D, False), ("tape", V, True)], "removing"),
        ([("disk", A, False), ("tape", V, True)], "tape"),
        ([("disk", W, True), ("tape", V, True)], "restoring"),
        ([("disk", S, True), ("tape", V, True)], "suspect"),
        ([("disk", A, False), ("DAQ", A, False)], "nowhere"),
    ],
)
def test_the_word(copies: list[CopyFacts], shown: str) -> None:
    for order in itertools.permutations(copies):
        assert word(order) == shown


def test_every_pair_of_copies_has_a_word() -> None:
    facts = list(itertools.product(("DAQ", "disk", "tape"), STATUSES["copies"], (True, False)))
    for one, two in itertools.product(facts, facts):
        shown = word([one, two])
        assert shown == word([two, one])
        if shown in ("disk", "tape", "disk+tape"):  # never of something that is not verified and wanted
            assert set(shown.split("+")) == {p for p, s, w in (one, two) if s == V and w and p != "DAQ"}


def test_words_of_many_runs(database: Database) -> None:
    one, two, three = make(database, "runs", "processing", 3)
    for storage in ("daq", "raw", "vault"):
        make_one(database, "copies", "verified", run_id=one, storage=storage)
    make_one(database, "copies", "writing", run_id=two, storage="daq")
    job = make_one(database, "jobs", "done", run_id=two)
    make_one(database, "copies", "suspect", run_id=two, job_id=job, storage="raw")  # outputs are not the run's data
    make(database, "jobs", "failed", 2, run_id=two)
    with database.read() as session:
        words = data_words(session, [one, two, three], {"daq": "DAQ", "raw": "disk", "vault": "tape"})
        assert words == {one: "disk+tape", two: "DAQ", three: ""}
        counts = job_counts(session, [one, two])
    assert counts == {one: {}, two: {"done": 1, "failed": 2}}
    assert job_words(counts[two]) == "1 done, 2 failed"
