"""What waits for a person although every daemon runs: a question of a source, a site that is paused."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..config import Config
from ..db.tables import Source
from ..rules.gates import pause


def attention(session: Session, config: Config) -> list[str]:
    """A sentence for each; of the sources and sites in `config` alone."""
    asked = select(Source.error).where(Source.name.in_(config.sources), Source.error.is_not(None)).order_by(Source.name)
    closed = (pause(session, site) for site in config.sites)
    return [*(words for words in session.scalars(asked) if words), *(gate.words() for gate in closed if gate)]
