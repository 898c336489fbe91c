"""Whether the triggers of a run database, on which its history and its legal steps rest, are there and right."""

from __future__ import annotations

import re

from sqlalchemy import text
from sqlalchemy.orm import Session

from .triggers import statements

_FUNCTION = re.compile(r"CREATE FUNCTION (\w+)\(\).*?\$\$(.*)\$\$", re.DOTALL)


def wrong_triggers(session: Session) -> list[str]:
    """What is missing or other than it should be, in words; [] where all is right."""
    dialect = session.get_bind().dialect.name
    expected = statements(dialect)
    if dialect == "sqlite":
        wanted = {sql.split()[2]: sql for sql in expected}
        found = dict(session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).tuples().all())
        return _compare("trigger", wanted, found)
    bodies = {match[1]: match[2] for sql in expected if (match := _FUNCTION.match(sql))}
    names = [sql.split()[2] for sql in expected if sql.startswith("CREATE TRIGGER")]
    functions = text(
        "SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace"
        " WHERE s.nspname = current_schema()"
    )
    triggers = text(
        "SELECT t.tgname, t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_namespace s ON s.oid = c.relnamespace WHERE NOT t.tgisinternal AND s.nspname = current_schema()"
    )
    there = dict(session.execute(triggers).tuples().all())
    off = [f"trigger {name} is switched off" for name in names if there.get(name) in ("D", "R")]
    gone = [f"trigger {name} is missing" for name in names if name not in there]
    return [*gone, *off, *_compare("function", bodies, dict(session.execute(functions).tuples().all()))]


def _compare(kind: str, wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    out = []
    for name, sql in wanted.items():
        if name not in found:
            out.append(f"{kind} {name} is missing")
        elif found[name].strip() != sql.strip():
            out.append(f"{kind} {name} is another one")
    return out
