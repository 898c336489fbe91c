"""The run database driven at random: births, claims, steps legal and illegal, expiries, crashes, verbs, old holders.

A model in Python says what each call must return and change. After every call: each row is as the model has it, its
history is whole and connected and holds nothing else, and epochs have only risen.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from support.rows import MODELS, attempt, new

from ondeck.config import Config, loads
from ondeck.db import actor as actors
from ondeck.db import clock
from ondeck.db.engine import Database
from ondeck.db.errors import LeaseLost
from ondeck.db.models import Attempt, Job, Run, Transition
from ondeck.db.states import LIVE_JOBS, STATUSES, is_legal
from ondeck.db.steps import Claim, advance, claim, hold_on, release, release_of, renew
from ondeck.rules import verbs
from ondeck.rules.choose import JobRow

TABLES = ["runs", "jobs", "copies", "outbox"]
LEASE = 1000.0  # seconds by the database's clock; what the tests take themselves is far less
JOB_VERBS: dict[str, Callable[..., list[verbs.Done]]] = {
    "reset": verbs.reset_jobs,
    "hold": verbs.hold_jobs,
    "start": verbs.start_jobs,
    "cancel": verbs.cancel_jobs,
}
RUN_VERBS: dict[str, Callable[..., list[verbs.Done]]] = {"reset": verbs.reset_runs, "cancel": verbs.cancel_runs}


class Died(Exception):
    """The process died before its commit."""


class Facts(NamedTuple):
    """A row as it stands in the database."""

    status: str
    epoch: int
    steps: int
    leased_by: str | None
    wanted: str


class Row:
    """A row as the model has it. Times in seconds of the tests' clock."""

    def __init__(self, table: str, row_id: int, status: str, priority: int) -> None:
        self.table, self.id, self.status, self.priority = table, row_id, status, priority
        self.epoch = self.steps = 0
        self.holder: str | None = None
        self.until = self.not_before = 0.0
        self.history: list[tuple[str | None, str, str]] = [(None, status, "by hand")]

    def free(self, now: float) -> bool:
        return (self.holder is None or self.until <= now) and self.not_before <= now

    def moved(self, to: str, who: str, *, keep: bool, fence: bool) -> None:
        self.history.append((self.status, to, who))
        self.status, self.steps = to, self.steps + 1
        self.epoch += fence
        if not keep:
            self.holder = None

    def is_of(self, one: Claim) -> bool:
        return (one.status, one.epoch) == (self.status, self.epoch)


class Machine(RuleBasedStateMachine):
    """One experiment's life. The database is shared between examples; each only looks at its own rows."""

    database: Database
    config: Config

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, int], Row] = {}
        self.claims: list[Claim] = []
        self.now = 0.0
        clock.set_offset(0)

    def teardown(self) -> None:
        clock.set_offset(0)

    # ---- helpers ----

    def of(self, table: str) -> list[Row]:
        return [row for row in self.rows.values() if row.table == table]

    def who(self, number: int) -> str:
        name = f"Daemon@host:{number}"
        actors.set_actor(name)
        return name

    def add(self, table: str, status: str, priority: int = 0, **columns: Any) -> Row:
        with self.database.write() as session:
            row_id = new(session, table, status, priority=priority, **columns)
        row = self.rows[table, row_id] = Row(table, row_id, status, priority)
        return row

    # ---- rules ----

    @initialize()
    def first(self) -> None:
        runs = [self.add("runs", status) for status in ("acquired", "processing", "failed")]
        for status in ("new", "running"):
            self.add("jobs", status, run_id=runs[1].id)
        self.add("copies", "verified", run_id=runs[1].id)
        self.add("outbox", "queued")

    @rule(table=st.sampled_from(TABLES), data=st.data(), priority=st.integers(-1, 1))
    def birth(self, table: str, data: st.DataObject, priority: int) -> None:
        status = data.draw(st.sampled_from(STATUSES[table]), "status")
        columns: dict[str, Any] = {}
        if table in ("jobs", "copies"):
            columns["run_id"] = data.draw(st.sampled_from(self.of("runs")), "run").id
        if table == "jobs" and self.of("jobs"):
            before = data.draw(st.none() | st.sampled_from([job.id for job in self.of("jobs")]), "prerequisite")
            columns["prerequisite_id"] = before
        self.add(table, status, priority, **columns)

    @rule(data=st.data(), limit=st.integers(0, 4), number=st.integers(1, 3))
    def take(self, data: st.DataObject, limit: int, number: int) -> None:
        like = data.draw(st.sampled_from(list(self.rows.values())), "a row like")
        self.take_like(like.table, like.status, limit, number)

    def take_like(self, table: str, status: str, limit: int, number: int) -> None:
        holder = self.who(number)
        with self.database.write() as session:
            got = claim(session, MODELS[table], status, limit, lease=timedelta(seconds=LEASE), where=self.mine(table))
        ready = [row for row in self.of(table) if row.status == status and row.free(self.now)]
        ready.sort(key=lambda row: (-row.priority, row.id))
        for row in ready[:limit]:
            row.epoch, row.holder, row.until = row.epoch + 1, holder, self.now + LEASE
        assert got == [Claim(table, row.id, status, row.epoch) for row in ready[:limit]]
        self.claims += got

    def target(self, data: st.DataObject, table: str, source: str) -> str:
        """A status to go to: mostly a legal one."""
        legal = [one for one in STATUSES[table] if one != source and is_legal(table, source, one)]
        some = st.sampled_from(STATUSES[table])
        return str(data.draw((st.sampled_from(legal) | st.sampled_from(legal) | some) if legal else some, "to"))

    def mine(self, table: str) -> str:
        return f"id IN ({', '.join(str(row.id) for row in self.of(table)) or 'NULL'})"

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(), number=st.integers(1, 3), keep=st.booleans(), fence=st.booleans(),
        delay=st.sampled_from([None, None, 0.0, 700.0]), crash=st.sampled_from([False, False, False, True]),
    )  # fmt: skip
    def step(self, data: st.DataObject, number: int, keep: bool, fence: bool, delay: float | None, crash: bool) -> None:
        """Holders of now and of long ago move some of their rows, all to one status; or die before the commit."""
        some = data.draw(st.lists(st.sampled_from(self.claims), min_size=1, max_size=3, unique=True), "claims")
        table = some[0].table
        some = list({c.id: c for c in some if c.table == table}.values())
        to = self.target(data, table, some[-1].status)
        who = self.who(number)
        valid = [c for c in some if self.rows[c.table, c.id].is_of(c)]
        legal = all(is_legal(table, c.status, to) for c in valid)
        options = {"keep": keep, "fence": fence, "delay": None if delay is None else timedelta(seconds=delay)}
        note(f"{some} -> {to}: valid {valid}, legal {legal}")
        if not legal:
            with pytest.raises(DBAPIError, match="illegal step"), self.database.write() as session:
                advance(session, some, to, "why", **options)
            return
        moved: list[Claim] = []
        with contextlib.suppress(Died), self.database.write() as session:
            moved = advance(session, some, to, "why", **options)
            if crash:
                if data.draw(st.booleans(), "cut off"):
                    session.connection().invalidate()
                raise Died
        if crash:
            return
        assert {c.id for c in moved} == {c.id for c in valid}
        for one in valid:
            row = self.rows[table, one.id]
            row.moved(to, who, keep=keep, fence=fence)
            if delay is not None:
                row.not_before = self.now + delay
            self.claims.append(Claim(table, row.id, to, row.epoch))
        assert all(one in self.claims for one in moved)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), what=st.sampled_from(["renew", "release", "hold_on"]))
    def old_or_new_holder(self, data: st.DataObject, what: str) -> None:
        one = data.draw(st.sampled_from(self.claims), "claim")
        row = self.rows[one.table, one.id]
        same_epoch = row.epoch == one.epoch
        if what == "hold_on":
            caught: contextlib.AbstractContextManager[Any]
            caught = contextlib.nullcontext() if row.is_of(one) else pytest.raises(LeaseLost)
            with caught, self.database.write() as session:
                hold_on(session, [one])
            return
        with self.database.write() as session:
            kept = renew(session, [one], timedelta(seconds=LEASE)) if what == "renew" else release(session, [one])
        if what == "renew":
            assert bool(kept) == (same_epoch and row.holder is not None)
            row.until = self.now + LEASE if kept else row.until
        else:
            assert bool(kept) == same_epoch
            row.holder = None if kept else row.holder

    @precondition(lambda self: any(self.rows[c.table, c.id].is_of(c) for c in self.claims))
    @rule(data=st.data(), how=st.sampled_from(["expired", "by hand"]))
    def overtaken(self, data: st.DataObject, how: str) -> None:
        """A holder sleeps; his row is taken by another, or moved by hand; he wakes up and can change nothing."""
        held = [c for c in self.claims if self.rows[c.table, c.id].is_of(c)]
        old = data.draw(st.sampled_from(held), "holder")
        row = self.rows[old.table, old.id]
        if how == "expired":
            self.time_goes_by(1500.0)
            self.take_like(old.table, old.status, 100, 2)
            assert row.epoch == old.epoch + 1
        else:
            legal = [one for one in STATUSES[old.table] if one != old.status and is_legal(old.table, old.status, one)]
            if not legal:
                return
            with self.database.write() as session:
                session.execute(text(f"UPDATE {old.table} SET status = '{legal[0]}' WHERE id = {old.id}"))
            row.history.append((row.status, legal[0], "by hand"))
            row.status = legal[0]
        self.who(1)
        for to in STATUSES[old.table]:
            with self.database.write() as session:
                assert advance(session, [old], to, "from sleep") == []
        with pytest.raises(LeaseLost), self.database.write() as session:
            hold_on(session, [old])
        if how == "expired":
            with self.database.write() as session:
                assert renew(session, [old], timedelta(seconds=LEASE)) == release(session, [old]) == []

    @rule(number=st.integers(1, 3), table=st.sampled_from(TABLES))
    def mourn(self, number: int, table: str) -> None:
        """A holder is known to be dead: what he held is free at once, and he is shut out."""
        holder = f"Daemon@host:{number}"
        held = [row for row in self.of(table) if row.holder == holder]
        with self.database.write() as session:
            count = release_of(session, MODELS[table], holder)
        assert count >= len(held)  # rows of earlier examples may be among them
        for row in held:
            row.holder, row.epoch = None, row.epoch + 1

    @rule(seconds=st.sampled_from([1.0, 400.0, 1500.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        clock.set_offset(self.now)

    @rule(data=st.data())
    def by_hand(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.rows.values())), "row")
        table, to = row.table, self.target(data, row.table, row.status)
        sql = text(f"UPDATE {table} SET status = '{to}' WHERE id = {row.id}")
        if not is_legal(table, row.status, to):
            with pytest.raises(DBAPIError, match="illegal step"), self.database.write() as session:
                session.execute(sql)
            return
        with self.database.write() as session:
            session.execute(sql)
        if to != row.status:
            row.history.append((row.status, to, "by hand"))
            row.status = to

    @precondition(lambda self: any(row.status in LIVE_JOBS for row in self.of("jobs")))
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        """A live job has an attempt, which may end or not."""
        live = [row.id for row in self.of("jobs") if row.status in LIVE_JOBS]
        job = data.draw(st.sampled_from(live), "job")
        with self.database.write() as session:
            last = session.scalar(select(Attempt).where(Attempt.job_id == job).order_by(Attempt.number.desc()).limit(1))
            if last is not None and last.ended_at is None:
                last.ended_at = clock.database_time(session)
            else:
                attempt(session, job, (last.number if last else 0) + 1)

    @precondition(lambda self: self.of("jobs"))
    @rule(data=st.data(), verb=st.sampled_from(sorted(JOB_VERBS)), preview=st.sampled_from([False, False, True]))
    def verb_on_jobs(self, data: st.DataObject, verb: str, preview: bool) -> None:
        ids = [row.id for row in self.of("jobs")]
        chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True), "jobs")

        def act() -> list[verbs.Done]:
            with self.database.write() as session:
                jobs = [session.get_one(Job, i) for i in chosen]
                rows = [JobRow(job, session.get_one(Run, job.run_id)) for job in jobs]
                done = JOB_VERBS[verb](session, self.config, rows, "a person")
                if preview:
                    session.rollback()
                return done

        self.verb(act, preview)

    @rule(data=st.data(), verb=st.sampled_from(sorted(RUN_VERBS)), preview=st.sampled_from([False, False, True]))
    def verb_on_runs(self, data: st.DataObject, verb: str, preview: bool) -> None:
        ids = [row.id for row in self.of("runs")]
        chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=2, unique=True), "runs")

        def act() -> list[verbs.Done]:
            with self.database.write() as session:
                runs = [session.get_one(Run, i) for i in chosen]
                done = RUN_VERBS[verb](session, self.config, runs, "a person")
                if preview:
                    session.rollback()
                return done

        self.verb(act, preview)

    def verb(self, act: Callable[[], list[verbs.Done]], preview: bool) -> None:
        """Do a verb; what it did is read back, and must be what a verb may do."""
        who = self.who(9)
        before = self.facts()
        try:
            done = act()
        except (verbs.RunIsCancelled, verbs.NotThere):
            done = []
        after = self.facts()
        if preview or not done:
            assert after == before
            return
        for key, (status, epoch, steps, _, wanted) in after.items():
            old_status, old_epoch, old_steps, _, old_wanted = before[key]
            row = self.rows[key]
            if after[key] == before[key]:
                continue
            assert epoch > old_epoch, f"{key}: the holder is not shut out"
            assert steps > old_steps, f"{key}: not in the history"
            if key[0] == "jobs" and old_status in LIVE_JOBS:
                assert status == old_status, "a live job is not moved"
            if wanted != old_wanted and wanted:
                assert status == old_status
            assert steps - old_steps <= 2, "reset of a run moves it, and then reopens it"
            row.history += (
                [(old_status, status, who)] if steps == old_steps + 1 else self.new_entries(key, steps - old_steps)
            )
            row.status, row.epoch, row.steps, row.holder, row.not_before = (
                status,
                epoch,
                steps,
                None,
                self.not_before(key),
            )

    def new_entries(self, key: tuple[str, int], count: int) -> list[tuple[str | None, str, str]]:
        with self.database.read() as session:
            return self.histories(session).get(key, [])[-count:]

    def not_before(self, key: tuple[str, int]) -> float:
        """Verbs take a back-off away, but for wishes about live jobs: those are asked for."""
        with self.database.read() as session:
            set_ = session.get_one(MODELS[key[0]], key[1]).not_before
        return self.rows[key].not_before if set_ is not None else 0.0

    # ---- what must hold at any time ----

    def facts(self) -> dict[tuple[str, int], Facts]:
        """(table, id) → how the row stands."""
        found: dict[tuple[str, int], Facts] = {}
        with self.database.read() as session:
            for table in {row.table for row in self.rows.values()}:
                wanted = "wanted" if table in ("runs", "jobs") else "''"
                sql = text(
                    f"SELECT id, status, epoch, steps, leased_by, {wanted} FROM {table} WHERE {self.mine(table)}"
                )
                found.update({(table, r[0]): Facts(*r[1:]) for r in session.execute(sql)})
        return found

    def histories(self, session: Any) -> dict[tuple[str, int], list[tuple[str | None, str, str]]]:
        found: dict[tuple[str, int], list[tuple[str | None, str, str]]] = {}
        for table in TABLES:
            ids = [row.id for row in self.of(table)]
            query = (
                select(Transition)
                .where(Transition.table_name == table, Transition.row_id.in_(ids))
                .order_by(Transition.id)
            )
            for entry in session.scalars(query):
                found.setdefault((table, entry.row_id), []).append((entry.source, entry.to, entry.actor))
        return found

    @invariant()
    def rows_are_as_the_model_has_them(self) -> None:
        facts = self.facts()
        assert {key: fact[:4] for key, fact in facts.items()} == {
            key: (row.status, row.epoch, row.steps, row.holder) for key, row in self.rows.items()
        }
        for table in ("runs", "jobs"):
            for row in self.of(table):
                assert facts[table, row.id].wanted in ("", "cancel", *(("reset", "hold") if table == "jobs" else ()))

    @invariant()
    def histories_are_whole(self) -> None:
        with self.database.read() as session:
            found = self.histories(session)
        assert found == {key: row.history for key, row in self.rows.items()}
        for (table, _), entries in found.items():
            for before, entry in itertools.pairwise(entries):
                assert entry[0] == before[1]
                assert is_legal(table, str(entry[0]), entry[1])


@pytest.fixture
def machine(database: Database, tmp_path: Path) -> Iterator[type[Machine]]:
    before = actors._actor
    Machine.database, Machine.config = database, loads('name = "machine"', tmp_path / "ondeck.toml")
    yield Machine
    actors._actor = before
    clock.set_offset(0)


def test_the_run_database_does_what_its_model_says(machine: type[Machine]) -> None:
    """The same examples each time; `make soak` tries others."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink takes minutes: `make soak` does it
        ),
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_it_does_so_for_long(machine: type[Machine]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=400,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )
