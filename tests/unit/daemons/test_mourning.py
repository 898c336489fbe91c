from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from sqlalchemy import select

from ondeck.config.model import Config
from ondeck.daemons.identity import me
from ondeck.daemons.mourning import tell_of_death
from ondeck.db.engine import Database
from ondeck.db.tables import Outbox


def test_each_mail_sink_gets_one_message_for_each_death(database: Database) -> None:
    sinks = {name: SimpleNamespace(type=kind) for name, kind in (("one", "mail"), ("hook", "webhook"), ("two", "mail"))}
    config = cast(Config, SimpleNamespace(name="exp", state_dir=Path("/s"), sinks=sinks))
    assert tell_of_death(database, config, "Transfer", me(), "(pid 7) had died", started=True) == 2
    assert tell_of_death(database, config, "Transfer", me(), "(pid 7) had died", started=False) == 0
    assert tell_of_death(database, config, "Transfer", me()._replace(pid=1), "(pid 1) had died", started=False) == 2
    with database.read() as session:
        messages = list(session.scalars(select(Outbox).order_by(Outbox.id)))
    assert [(m.sink, m.status, m.stream) for m in messages[:2]] == [
        ("one", "queued", "daemons"),
        ("two", "queued", "daemons"),
    ]
    assert messages[0].subject == f"[exp] Transfer on {me().host} had died and was started again"
    assert messages[0].body.startswith(f"Transfer on {me().host} (pid 7) had died. It was started again.\n")
    assert "could NOT be started again" in messages[2].subject
