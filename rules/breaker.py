"""The circuit breaker of a site: where row after row has trouble, nothing new begins but a trial now and then.

`[retry] breaker` different rows in a row open it, with one message. From then on one row may try at a time, after waits
that grow; such trials cost no try. The first thing that goes well closes it.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..config import Config
from ..db.clock import database_time
from ..db.insert import insert_new
from ..db.steps import clean
from ..db.tables import Site
from ..db.wake import wake
from .messages import post


def site_of(config: Config, error: Exception) -> str | None:
    """The site that an error speaks of, if it is the site's trouble; None if it is a row's own, or nobody's."""
    if not getattr(error, "of_site", False):
        return None
    fields = getattr(error, "fields", {})
    if fields.get("site") in config.sites:
        return str(fields["site"])
    storage = config.storages.get(str(fields.get("storage")))
    return storage.site if storage else None


def trouble(session: Session, config: Config, site: str | None, row: str, words: str) -> bool:
    """`row` (its table and id) had trouble at a site; True when its breaker is open: then this costs no try."""
    if site is None:
        return False
    insert_new(session, Site, [{"name": site}], ["name"])
    state = session.get_one(Site, site, populate_existing=True, with_for_update=True)
    now = database_time(session)
    if state.breaker_opened_at is not None:
        state.breaker_reason = clean(words, 500)
        session.flush()
        return True
    rows = [*state.breaker_rows, *([] if row in state.breaker_rows else [row])]
    state.breaker_rows = rows
    if len(rows) >= config.retry.breaker:
        state.breaker_opened_at, state.breaker_reason = now, clean(words, 500)
        state.breaker_trial_at = now + config.retry.first
        said = (
            f"{len(rows)} different rows in a row had trouble at site {site}; the last one: {words}\n"
            "Nothing new begins there but a trial now and then, until one succeeds, or until you type"
            f" `ondeck site resume {site}`."
        )
        key = f"breaker:{site}:{now.isoformat()}"
        post(session, config, f"too much goes wrong at site {site}", said, stream=f"site:{site}", key=key)
    session.flush()
    return False


def worked(session: Session, site: str) -> None:
    """Something went well at a site: what was counted is forgotten, and its breaker closes."""
    dialect = session.get_bind().dialect.name
    empty = "'[]'::jsonb" if dialect == "postgresql" else "'[]'"
    closed = session.execute(
        text(
            "UPDATE sites SET breaker_opened_at = NULL, breaker_reason = NULL, breaker_trial_at = NULL,"
            f" breaker_rows = {empty} WHERE name = :site"
            f" AND (breaker_opened_at IS NOT NULL OR breaker_rows <> {empty}) RETURNING name"
        ),
        {"site": site},
    ).first()
    if closed is not None:
        wake(session)


def room(session: Session, site: str) -> int | None:
    """How many rows may begin something at a site now: None = any number, 1 = a trial is due, 0 = none.

    Where it isn't None the site stays locked until the transaction ends: who begins something calls `begin_trial`.
    """
    state = session.get(Site, site, populate_existing=True)
    if state is None or state.breaker_opened_at is None:
        return None
    session.refresh(state, with_for_update=True)
    if state.breaker_opened_at is None:
        return None
    return int(state.breaker_trial_at is None or state.breaker_trial_at <= database_time(session))


def begin_trial(session: Session, config: Config, site: str) -> None:
    """A row begins something at a site. Where the breaker is open that is a trial, and the next one comes later:
    after as long again as the breaker was open by now."""
    state = session.get(Site, site, populate_existing=True)
    if state is None or state.breaker_opened_at is None:
        return
    now = database_time(session)
    wait = max(config.retry.first, now - state.breaker_opened_at)
    state.breaker_trial_at = now + min(config.retry.longest, wait)
    session.flush()
