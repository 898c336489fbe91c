"""`ondeck site check`: whether a site can do what ondeck needs of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..config import Config, OndeckError
from ..config.plugins import find
from ..daemons.attemptrows import WORK, batch_of, work_place
from ..daemons.places import Places
from ..db.clock import database_time
from ..db.engine import Database
from ..db.tables import StorageState
from ..sites import sitecheck
from ..sites.attempts import token_prefix
from ..sites.batch import BatchSystem
from ..sites.jobcheck import JobCheck
from ..sites.storage import Storage
from ..sites.transport import Transport
from .findings import Finding, tried
from .words import size

BATCH_COMMANDS = {"local": ("setsid", "env", "grep", "sed")}
"""Batch system → the commands that it needs."""


class SiteCheck:
    """All checks of one site. An error of one stops none that doesn't need it."""

    def __init__(self, config: Config, db: Database, site: str, *, job: bool = True, wait: float = 60.0) -> None:
        self.config, self.db, self.site, self.job, self.wait = config, db, site, job, wait
        self.section = config.sites[site]
        self.places = Places(config, db)
        self.user = "the user"

    def run(self) -> list[Finding]:
        """Do them; returns what was found, in order, each subject with the site's name before it."""
        try:
            found = self._all()
        finally:
            self.places.close()
        return [one._replace(subject=f"{self.site}: {one.subject}") for one in found]

    def _all(self) -> list[Finding]:
        try:
            transport = self.places.transport(self.site)
            found = [sitecheck.connect(transport)]
        except OndeckError as error:
            todo = f"Nothing else of this site was checked. Look at [sites.{self.site}]"
            return [Finding("fail", "connect", str(error), todo)]
        found += tried("commands", lambda: self._surroundings(transport))
        storages = [s.name for s in self.config.storages.values() if s.site == self.site]
        for name in storages:
            found += tried(f"storage {name}", lambda name=name: self._storage(name))  # type: ignore[misc]
        if self.section.batch is not None:
            work = tried("work directory", lambda: self._work(transport))
            found += work
            if self.job and not any(one.level == "fail" for one in work):
                found += tried("job", lambda: [self._run_job(transport)])
        return found

    def _surroundings(self, transport: Transport) -> Sequence[Finding]:
        more = BATCH_COMMANDS.get(self.section.batch.system, ()) if self.section.batch else ()
        seen = sitecheck.ask(transport, more)
        self.user = seen.user or self.user
        names = Finding("ok", "user", f"{seen.user} on {seen.host}")
        return [names, *sitecheck.commands(seen, more), sitecheck.clock(seen.clock, seen.unsure, f"site {self.site}")]

    def _disk(self, storage: Storage, init: str) -> list[Finding]:
        """The uuid of a storage or work directory."""
        subject = f"disk of {storage.name}"
        with self.db.read() as session:
            known = session.get(StorageState, storage.name)
        there = storage.read_uuid()
        if known is None:
            words = (
                f"{storage.root} holds {'the uuid ' + there if there else 'no uuid'}, and the run database knows none"
            )
            return [Finding("fail", subject, words, f"Type `ondeck storage init {init}`")]
        if there is None:
            words = f"{storage.root} holds no .ondeck-storage; it should hold {known.uuid}"
            todo = f"Mount the disk; if it was replaced for good, type `ondeck storage init {init} --new-disk`"
            return [Finding("fail", subject, words, todo)]
        if there != known.uuid:
            words = f"{storage.root} shows another disk: it holds {there} instead of {known.uuid}"
            return [Finding("fail", subject, words, "Mount the right disk there")]
        return [Finding("ok", subject, f"uuid {there}")]

    def _storage(self, name: str) -> list[Finding]:
        section = self.config.storages[name]
        storage = Storage(name, str(section.path), self.places.transport(self.site))
        found = self._disk(storage, name)
        if found[0].level == "fail":
            return found
        fed = [s for s in self.config.sources.values() if s.storage == name]
        if not fed or any(s.remove != "never" for s in fed):
            found += sitecheck.directory(storage.transport, storage.root, f"storage {name}", self.user, claims=False)
        space = storage.space()
        words = f"{size(space.free)} free, {space.percent:.0f} % full"
        if not fed and space.free < section.reserve:
            todo = "Make room; until then nothing is copied there"
            words += f", and {size(section.reserve)} are its reserve"
            found.append(Finding("warn", f"space of {name}", words, todo))
        elif section.high is not None and section.capacity is None and space.percent > section.high:
            words += f", above the high water mark of {section.high:g} %"
            found.append(Finding("warn", f"space of {name}", words, "DiskMonitor removes what it may"))
        else:
            found.append(Finding("ok", f"space of {name}", words))
        return found

    def _work(self, transport: Transport) -> list[Finding]:
        name = WORK.format(site=self.site)
        storage = Storage(name, str(self.section.work), transport)
        found = self._disk(storage, f"--site-work {self.site}")
        if found[0].level == "fail":
            return found
        found += sitecheck.directory(transport, storage.root, "work directory", self.user)
        space = storage.space()
        words = f"{size(space.free)} free, {space.percent:.0f} % full"
        full = space.free < 100_000_000
        return [*found, Finding("warn" if full else "ok", "space of work", words, "Make room" if full else "")]

    def _run_job(self, transport: Transport) -> Finding:
        batch = batch_of(self.config, self.site)
        kind = find("ondeck.batch", batch.system)
        assert issubclass(kind, BatchSystem)
        prefix = token_prefix(self.config.name, str(self.config.state_dir))
        place = work_place(self.config, self.db, self.site)
        return JobCheck(transport, kind(batch.options), place, prefix, wait=self.wait).run()


def database_clock(db: Database) -> list[Finding]:
    """How the database's clock, by which leases go, differs from ours."""
    with db.read() as session:
        began = time.time()
        there = database_time(session).timestamp()
        ended = time.time()
    return [sitecheck.clock(there - (began + ended) / 2, (ended - began) / 2, "the run database")]
