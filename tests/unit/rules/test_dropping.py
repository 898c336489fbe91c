"""What a reload may not drop."""

from __future__ import annotations

from pathlib import Path

import pytest

from ondeck.config import Config, load
from ondeck.db.engine import Database
from ondeck.db.models import Copy, Job, Run
from ondeck.db.tables import Outbox
from ondeck.rules.dropping import in_use

WHOLE = """
[sites.here]
work = "work"
transport = "local"
[sites.here.batch]
system = "local"
[storages.daq]
site = "here"
path = "daq"
[storages.disk]
site = "here"
path = "raw"
[sources.daq]
type = "directory"
storage = "daq"
[listeners.all]
storage = "disk"
[sinks.mail]
type = "mail"
sender = "a@example.org"
recipients = ["b@example.org"]
"""


def loaded(folder: Path, text: str) -> Config:
    """A configuration with this text."""
    path = folder / "ondeck.toml"
    path.write_text(text)
    return load(path)


ROWS = {
    "sites.here": [Run(name="r", status="processing"), Job(run_id=1, module="m", site="here", status="pending")],
    "storages.disk": [Run(name="r", status="archived"), Copy(run_id=1, storage="disk", path="p", status="verified")],
    "sources.daq": [Run(name="r", status="transferring", source="daq")],
    "listeners.all": [Run(name="r", status="ondeck", listener="all")],
    "sinks.mail": [Outbox(status="queued", stream="s", sink="mail", subject="s", body="b")],
}


@pytest.mark.parametrize("section", sorted(ROWS))
def test_what_rows_use_is_not_dropped(database: Database, tmp_path: Path, section: str) -> None:
    kind, name = section.split(".")
    old = loaded(tmp_path, WHOLE)
    new = old.model_copy(update={kind: {k: v for k, v in getattr(old, kind).items() if k != name}})
    with database.read() as session:
        assert in_use(session, old, new) is None
    with database.write() as session:
        for row in ROWS[section]:
            session.add(type(row)(**{k: v for k, v in vars(row).items() if not k.startswith("_")}))
            session.flush()
    with database.read() as session:
        assert in_use(session, old, old) is None
        why = in_use(session, old, new)
    assert why is not None
    assert f"[{section}] is gone" in why
