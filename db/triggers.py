"""The triggers that hold the legal steps and write the history, as SQL made from `states.LEGAL_STEPS`.

For each table with a status: one trigger refuses an illegal step, also one typed by hand in psql or sqlite3, and one
(on SQLite the same one: each costs time for every row) writes the transition, also of a birth and of a verb that
moves no status (then `steps` rose). A step whose `steps` did not rise was typed by hand, and its transition says so.
On PostgreSQL the history is written a statement at a time from transition tables, and listeners are notified.
Besides: transitions can't be changed or deleted, a row keeps the id on which its history hangs, and a witness that
an open receipt pins can't be made unwanted.
"""

from __future__ import annotations

from collections.abc import Iterable

from .states import LEGAL_STEPS, STATUSES, Step

CHANNEL = "ondeck"
"""PostgreSQL's notification channel."""

_BY_HAND = "'by hand'"
_KEPT = "a row keeps its id: its history hangs on it"


def statements(dialect: str) -> list[str]:
    """All trigger statements for `dialect` (`sqlite` or `postgresql`), in order."""
    make = {"sqlite": _sqlite, "postgresql": _postgresql}[dialect]
    return make(LEGAL_STEPS)


def _next(table: str, steps: Iterable[Step]) -> dict[str, list[str]]:
    """Status → the statuses that may follow it, for every status of the table."""
    return {s: [step.to for step in steps if step.source == s] for s in STATUSES[table]}


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{w}'" for w in words)


def _refused(table: str, source: str, to: list[str]) -> str:
    ends = f"legal from {source}: {', '.join(to)}" if to else f"nothing is legal from {source}"
    return f"illegal step of {table}: {ends}"


def _sqlite(legal: dict[str, tuple[Step, ...]]) -> list[str]:
    out = []
    for table, steps in legal.items():
        cases = "\n".join(
            f"    WHEN '{source}' THEN CASE WHEN NEW.status NOT IN ({_quoted([source, *to])})"
            f" THEN RAISE(ABORT, '{_refused(table, source, to)}') END"
            for source, to in _next(table, steps).items()
        )
        columns = 'INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)'
        at = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
        out.append(
            f"CREATE TRIGGER {table}_birth AFTER INSERT ON {table}\n"
            f"BEGIN\n  {columns}\n  VALUES ('{table}', NEW.id, NULL, NEW.status, {at},"
            f" coalesce(NEW.actor, {_BY_HAND}), NEW.reason);\nEND"
        )
        out.append(
            f"CREATE TRIGGER {table}_step AFTER UPDATE OF status, steps ON {table}"
            " WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps\n"
            f"BEGIN\n  SELECT CASE OLD.status\n{cases}\n  END;\n"
            f"  {columns}\n  VALUES ('{table}', NEW.id, OLD.status, NEW.status, {at},\n"
            f"    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, {_BY_HAND}) ELSE {_BY_HAND} END,\n"
            "    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);\nEND"
        )
        out.append(
            f"CREATE TRIGGER {table}_id BEFORE UPDATE OF id ON {table} WHEN OLD.id <> NEW.id\n"
            f"BEGIN\n  SELECT RAISE(ABORT, '{_KEPT}');\nEND"
        )
    for verb in ("UPDATE", "DELETE"):
        out.append(
            f"CREATE TRIGGER transitions_no_{verb.lower()} BEFORE {verb} ON transitions\n"
            "BEGIN\n  SELECT RAISE(ABORT, 'the history is append-only');\nEND"
        )
    out.append(
        "CREATE TRIGGER copies_pinned BEFORE UPDATE OF wanted ON copies WHEN OLD.wanted AND NOT NEW.wanted\n"
        "BEGIN\n  SELECT RAISE(ABORT, 'a witness of an open receipt stays wanted')\n"
        "  FROM pins JOIN receipts ON receipts.id = pins.receipt_id\n"
        "  WHERE pins.copy_id = OLD.id AND receipts.closed_at IS NULL;\nEND"
    )
    return out


def _function(name: str, body: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n{body}\nEND $$"


def _postgresql(legal: dict[str, tuple[Step, ...]]) -> list[str]:
    columns = 'INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)'
    notify = f"  IF FOUND THEN PERFORM pg_notify('{CHANNEL}', TG_TABLE_NAME); END IF;\n  RETURN NULL;"
    out = [
        _function(
            "ondeck_illegal_step",
            "  RAISE EXCEPTION 'illegal step of %: % to %', TG_TABLE_NAME, OLD.status, NEW.status\n"
            "    USING ERRCODE = 'check_violation', HINT = TG_ARGV[0];",
        ),
        _function(
            "ondeck_birth",
            f"  {columns}\n  SELECT TG_TABLE_NAME, n.id, NULL, n.status, clock_timestamp(),"
            f" coalesce(n.actor, {_BY_HAND}), n.reason\n  FROM new_rows n ORDER BY n.id;\n{notify}",
        ),
        _function(
            "ondeck_history",
            f"  {columns}\n  SELECT TG_TABLE_NAME, n.id, o.status, n.status, clock_timestamp(),\n"
            f"    CASE WHEN n.steps > o.steps THEN coalesce(n.actor, {_BY_HAND}) ELSE {_BY_HAND} END,\n"
            "    CASE WHEN n.steps > o.steps THEN n.reason END\n"
            "  FROM new_rows n JOIN old_rows o ON o.id = n.id\n"
            f"  WHERE o.status <> n.status OR n.steps > o.steps ORDER BY n.id;\n{notify}",
        ),
        _function("ondeck_id", f"  RAISE EXCEPTION '{_KEPT}' USING ERRCODE = 'check_violation';"),
        _function("ondeck_append_only", "  RAISE EXCEPTION 'the history is append-only';"),
        _function(
            "ondeck_pinned",
            "  IF EXISTS (SELECT 1 FROM pins JOIN receipts ON receipts.id = pins.receipt_id\n"
            "             WHERE pins.copy_id = OLD.id AND receipts.closed_at IS NULL) THEN\n"
            "    RAISE EXCEPTION 'a witness of an open receipt stays wanted' USING ERRCODE = 'check_violation';\n"
            "  END IF;\n  RETURN NEW;",
        ),
    ]
    for table, steps in legal.items():
        following = _next(table, steps)
        legal_pairs = " OR ".join(
            f"OLD.status = '{source}' AND NEW.status IN ({_quoted(to)})" for source, to in following.items() if to
        )
        hint = "; ".join(f"{source} -> {', '.join(to) or 'nothing'}" for source, to in following.items())
        out.append(
            f"CREATE TRIGGER {table}_legal BEFORE UPDATE OF status ON {table} FOR EACH ROW\n"
            f"  WHEN (OLD.status <> NEW.status AND NOT ({legal_pairs}))\n"
            f"  EXECUTE FUNCTION ondeck_illegal_step('{hint}')"
        )
        out.append(
            f"CREATE TRIGGER {table}_birth AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows\n"
            "  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()"
        )
        out.append(
            f"CREATE TRIGGER {table}_history AFTER UPDATE ON {table}"
            " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows\n"
            "  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()"
        )
        out.append(
            f"CREATE TRIGGER {table}_id BEFORE UPDATE OF id ON {table} FOR EACH ROW\n"
            "  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()"
        )
    out.append(
        "CREATE TRIGGER transitions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transitions\n"
        "  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_append_only()"
    )
    out.append(
        "CREATE TRIGGER copies_pinned BEFORE UPDATE OF wanted ON copies FOR EACH ROW\n"
        "  WHEN (OLD.wanted AND NOT NEW.wanted) EXECUTE FUNCTION ondeck_pinned()"
    )
    return out
