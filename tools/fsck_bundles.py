"""`ondeck fsck`, bundles: the tars of the archives against the run database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..daemons.copies import load_manifest
from ..db.models import Bundle, Copy, Run
from ..db.states import BundleStatus, CopyStatus
from ..rules.regaining import Content, adopt_bundle, not_whole
from ..sites.storage import Manifest, Storage
from ..sites.storage.bundles import members
from ..sites.storage.survey import survey
from .findings import Finding
from .fsck_world import World
from .words import counted

Member = tuple[Run, Manifest]


class BundlesCheck:
    """Compares bundles, archive by archive."""

    def __init__(self, world: World) -> None:
        self.world, self.config, self.db = world, world.config, world.db

    def run(self) -> None:
        """All archives."""
        for section in self.config.storages.values():
            if section.kind == "archive":
                with self.world.asking(f"storage {section.name}"):
                    storage = self.world.places.storage(section.name)
                    storage.check()
                    self._archive(storage)

    def _archive(self, storage: Storage) -> None:
        tars = [name for name in storage.listing() if name.endswith(".tar")]
        with self.db.read() as session:
            rows = session.scalars(select(Bundle).where(Bundle.storage == storage.name, Bundle.path.is_not(None))).all()
        known = {row.path: row for row in rows}
        sizes = survey(storage, [name for name in {*tars, *known} if name])
        for path, row in sorted(known.items(), key=lambda pair: pair[1].id):
            if row.status == BundleStatus.VERIFIED:
                self._verified(storage, row, (sizes.get(path or "") or {}).get("."))
        for name in tars:
            if name not in known:
                self._unknown(storage, name, (sizes[name] or {".": ("f", 0)})["."][1])
        words = f"{counted(len(tars), 'bundle')} looked at"
        self.world.add(Finding("ok", f"storage {storage.name}", words))

    def _verified(self, storage: Storage, row: Bundle, there: tuple[str, int] | None) -> None:
        """A bundle that counts: is its tar there, of its size, and with checksums: does it hold what it should."""
        with self.db.read() as session:
            copies = session.scalars(
                select(Copy).where(Copy.bundle_id == row.id, Copy.status == CopyStatus.VERIFIED)
            ).all()
            manifests = (
                {c.path: load_manifest(session, c.manifest) for c in copies if c.manifest}
                if self.world.checksums
                else {}
            )
        assert row.path is not None
        if there is None or there[0] != "f":
            wrong = "it is gone"
        elif row.nbytes is not None and there[1] != row.nbytes:
            wrong = f"it has {there[1]} bytes instead of {row.nbytes}"
        else:
            found = storage.verify_bundle(row.path, manifests, work=self.world.work) if manifests else []
            wrong = "; ".join(d.words() for d in found[:3])
        if not wrong:
            self.world.whole.update(copy.id for copy in copies)
            return
        words = f"{wrong}; it holds {counted(len(copies), 'run')}"
        self.world.add(Finding("fail", f"{row.path} on {storage.name}", words, "Look at the archive"))
        self._suspect(copies, f"its bundle {row.path}: {wrong}")

    def _suspect(self, copies: Sequence[Copy], words: str) -> None:
        if self.world.dry_run:
            return
        for copy in copies:
            with self.db.write() as session:
                not_whole(session, copy, words)

    def _unknown(self, storage: Storage, name: str, nbytes: int) -> None:
        """A tar that was made after the backup counts again, when it is read back and equals the manifests."""
        subject = f"{name} on {storage.name}"
        keys = {"/".join(path.split("/")[:2]) for path in members(storage, name, self.world.work)}
        with self.db.read() as session:
            runs = {key: member for key in sorted(keys) if (member := self._member(session, storage.name, key))}
        lost = sorted(keys - runs.keys())
        if lost:
            words = f"it holds {', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}: not known, or archived already"
            self.world.add(Finding("warn", subject, words, "It stays as it is"))
        if not runs:
            return
        found = storage.verify_bundle(
            name, {key: manifest for key, (_, manifest) in runs.items()}, work=self.world.work
        )
        wrong = [d for d in found if d.path == "." or "/".join(d.path.split("/")[:2]) in runs]
        if wrong:
            words = "; ".join(d.words() for d in wrong[:3])
            self.world.add(Finding("fail", subject, f"it differs from the manifests: {words}", "It stays as it is"))
            return
        content = [(run.id, key, Content(m.digest, m.nbytes, m.nfiles)) for key, (run, m) in runs.items()]

        def change(session: Session) -> None:
            adopt_bundle(session, storage.name, name, nbytes, content)

        if self.world.mend(subject, f"made after the backup; read back, it counts again: {', '.join(runs)}", change):
            with self.db.read() as session:
                mine = (Bundle.storage == storage.name, Bundle.path == name)
                ids = session.scalars(select(Copy.id).join(Bundle, Bundle.id == Copy.bundle_id).where(*mine))
                self.world.whole.update(ids)

    def _member(self, session: Session, storage: str, key: str) -> Member | None:
        """The run of a directory in a tar, with its manifest; None when that is not known, or archived elsewhere."""
        source, _, name = key.partition("/")
        run = session.scalar(select(Run).where(Run.source == source, Run.name == name))
        if run is None:
            return None
        copies = session.scalars(select(Copy).where(Copy.run_id == run.id, Copy.job_id.is_(None))).all()
        archived = [c for c in copies if c.form == "bundled" and c.storage == storage and c.status == "verified"]
        digests = [c.manifest for c in copies if c.form == "plain" and c.manifest]
        if archived or not digests:
            return None
        return run, load_manifest(session, digests[0])
