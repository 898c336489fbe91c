"""What happens to a row when something went wrong: backing off, and giving up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..config.retry import Retry
from ..db.steps import Claim, advance


def wait_after(retry: Retry, tries: int) -> timedelta:
    """How long a row waits after its `tries`-th try failed: grows by `factor`, at most `longest`, spread by ±10 %."""
    seconds, longest = retry.first.total_seconds(), retry.longest.total_seconds()
    for _ in range(min(tries - 1, 1000)):
        if seconds >= longest:
            break
        seconds *= retry.factor
    seconds = min(seconds, longest)
    return timedelta(seconds=seconds * random.uniform(0.9, 1.1))


def back_off(
    session: Session,
    one: Claim,
    to: str,
    reason: str,
    retry: Retry,
    *,
    give_up: str | None,
    count: bool = True,
    free: bool = False,
    given_up: Mapping[str, Any] | None = None,
    **columns: Any,
) -> list[Claim]:
    """Machinery failed for a row: one more try is counted and the row goes to `to`, to be taken again after a while.

    When `retry.max_tries` is reached it goes to `give_up` instead (None: it is tried for ever). `count` False:
    the try was broken off by us and costs nothing. `free`: it was a trial of an open breaker, and costs nothing but
    the wait. `given_up` are further columns for that case.
    """
    if not count:
        return advance(session, [one], to, reason, **columns)
    tries = (
        session.execute(text(f"SELECT tries FROM {one.table} WHERE id = :id"), {"id": one.id}).scalar_one()
        + 1
    )
    if free:
        return advance(session, [one], to, reason, delay=wait_after(retry, tries), **columns)
    if give_up is not None and tries >= retry.max_tries:
        words = f"given up after {tries} tries; the last one: {reason}"
        return advance(session, [one], give_up, words, tries=tries, **{**columns, **(given_up or {})})
    return advance(session, [one], to, reason, tries=tries, delay=wait_after(retry, tries), **columns)
