"""What all parts of `ondeck fsck` share: how the outside is reached, what was found, what could not be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from ..config import Config, OndeckError
from ..daemons.places import Places
from ..db.engine import Database
from ..sites.work import Work
from .findings import Finding


class World:
    """Configuration, run database, places. `whole` are the copies (by id) that were seen to be there."""

    def __init__(self, config: Config, db: Database, work: Work, *, dry_run: bool, checksums: bool) -> None:
        self.config, self.db, self.work, self.dry_run, self.checksums = config, db, work, dry_run, checksums
        self.places = Places(config, db)
        self.found: list[Finding] = []
        self.unasked: list[str] = []
        self.whole: set[int] = set()

    def add(self, one: Finding) -> None:
        """Something was found."""
        self.found.append(one)

    @contextmanager
    def asking(self, subject: str) -> Iterator[None]:
        """While inside, an error means that `subject` could not be asked; the others are."""
        try:
            yield
        except OndeckError as error:
            self.unasked.append(subject)
            self.add(Finding("fail", subject, f"can't be asked: {error}"))

    def mend(self, subject: str, words: str, change: Callable[[Session], object]) -> bool:
        """Set something right in one transaction; under --dry-run only say so. False when it was not done."""
        if self.dry_run:
            self.add(Finding("note", subject, f"{words} (not changed: --dry-run)"))
            return False
        try:
            with self.db.write() as session:
                done = change(session)
        except OndeckError as error:
            self.add(Finding("fail", subject, f"{words}, but: {error}"))
            return False
        if done is False:
            self.add(Finding("note", subject, f"{words}; somebody works on it just now"))
            return False
        self.add(Finding("mended", subject, words))
        return True

    def close(self) -> None:
        """Give up all connections."""
        self.places.close()
