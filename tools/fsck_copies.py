"""`ondeck fsck`, copies: whether what the run database counts on lies there, and what lies there that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..daemons.copies import load_manifest, path_of
from ..db.models import Copy, Run
from ..db.states import CopyStatus, RunStatus
from ..rules.regaining import Content, not_whole, removed, take_over
from ..sites.storage import Missing, Storage
from ..sites.storage.survey import differs, survey
from .findings import Finding
from .fsck_world import World
from .words import counted

_CHUNK = 200
_DELETING = re.compile(r"\.(?P<name>.+)\.(?P<copy>[0-9]+)\.[0-9]+\.deleting")
_TO_COPY = (RunStatus.ACQUIRED, RunStatus.TRANSFERRING)


class CopiesCheck:
    """Compares plain copies, storage by storage."""

    def __init__(self, world: World) -> None:
        self.world, self.config, self.db = world, world.config, world.db
        self.gone: list[tuple[Copy, Run]] = []
        self._fed = {s.storage for s in self.config.sources.values() if s.storage}
        self._asked: set[str] = set()

    def look(self) -> None:
        """All disks, those of the sources first."""
        disks = [s.name for s in self.config.storages.values() if s.kind == "disk"]
        for name in sorted(disks, key=lambda n: n not in self._fed):
            with self.world.asking(f"storage {name}"):
                storage = self.world.places.storage(name)
                storage.check()
                self._names_back(storage)
                self._verified(storage)
                if name not in self._fed:
                    self._unknown(storage)
                self._asked.add(name)

    def conclude(self) -> None:
        """What becomes of copies that are gone: where others have the data they were removed, else they are missed."""
        for copy, run in self.gone:
            subject = f"{copy.path} on {copy.storage}"
            with self.db.read() as session:
                same = (Copy.run_id == copy.run_id, Copy.id != copy.id, Copy.status == CopyStatus.VERIFIED)
                others = session.scalars(select(Copy).where(*same, Copy.job_id.is_(None), Copy.wanted)).all()
            others = [o for o in others if o.id in self.world.whole and o.manifest == copy.manifest]
            if any(o.storage not in self._fed for o in others):
                words = f"it is gone, and {' and '.join(o.storage for o in others)} has its data"
                self.world.mend(subject, words, lambda session, copy=copy, words=words: removed(session, copy, words))
            else:
                words = f"verified data of run {run.name} are gone, and no other copy was seen"
                self._suspect(copy, words, "Look for them before anything else")
        self._nowhere()

    # ---- one storage ----

    def _rows(self, storage: str, *conditions: object) -> Iterator[list[tuple[Copy, Run]]]:
        """Plain copies of runs on a storage, some at a time."""
        after = 0
        while True:
            with self.db.read() as session:
                rows = session.execute(
                    select(Copy, Run)
                    .join(Run, Run.id == Copy.run_id)
                    .where(Copy.storage == storage, Copy.form == "plain", Copy.job_id.is_(None), Copy.id > after)
                    .where(*conditions)  # type: ignore[arg-type]
                    .order_by(Copy.id)
                    .limit(_CHUNK)
                ).all()
            if not rows:
                return
            yield [(copy, run) for copy, run in rows]
            after = rows[-1][0].id

    def _folders(self, storage: Storage) -> dict[str, list[str]]:
        """Directory in which runs lie → all names in it."""
        if storage.name in self._fed:
            return {".": storage.listing() + storage.listing(".")}
        found = {}
        for source in self.config.sources:
            try:
                found[source] = storage.listing(relative=source) + storage.listing(".", source)
            except Missing:
                continue
        return found

    def _names_back(self, storage: Storage) -> None:
        """A removal that was broken off after the backup has left a directory renamed: it gets its name back."""
        for folder, names in self._folders(storage).items():
            for name in names:
                match = _DELETING.fullmatch(name)
                if match is None:
                    continue
                prefix = "" if folder == "." else f"{folder}/"
                path = f"{prefix}{match['name']}"
                with self.db.read() as session:
                    same = (Copy.storage == storage.name, Copy.path == path, Copy.job_id.is_(None))
                    copy = session.scalar(select(Copy).where(*same, Copy.form == "plain"))
                subject = f"{prefix}{name} on {storage.name}"
                if copy is not None and copy.status == CopyStatus.DELETING:
                    continue  # DiskMonitor takes that up
                if copy is None or storage.exists(path):
                    self.world.add(
                        Finding(
                            "fail",
                            subject,
                            "left by a removal that the run database doesn't know of",
                            "Look what it is; nothing here removes it",
                        )
                    )
                elif self.world.dry_run:
                    self.world.add(Finding("note", subject, "would be renamed back (--dry-run)"))
                else:
                    storage.rename(f"{prefix}{name}", path)
                    self.world.add(Finding("mended", subject, f"renamed back to {path}: its removal was broken off"))

    def _verified(self, storage: Storage) -> None:
        """Verified copies: names and sizes, or with checksums all bytes."""
        count = 0
        for rows in self._rows(storage.name, Copy.status == CopyStatus.VERIFIED):
            seen = survey(storage, [copy.path for copy, _ in rows])
            for copy, run in rows:
                count += 1
                found = seen[copy.path]
                if found is None:
                    self.gone.append((copy, run))
                    continue
                if copy.manifest is None:
                    self.world.whole.add(copy.id)
                    continue
                with self.db.read() as session:
                    manifest = load_manifest(session, copy.manifest)
                wrong = differs(found, manifest)
                if not wrong and self.world.checksums:
                    wrong = storage.verify(copy.path, manifest, work=self.world.work)
                if wrong:
                    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
                    self._suspect(copy, "; ".join(d.words() for d in wrong[:3]) + more, "Look at the disk")
                else:
                    self.world.whole.add(copy.id)
        self.world.add(Finding("ok", f"storage {storage.name}", f"{counted(count, 'copy', 'copies')} looked at"))

    def _suspect(self, copy: Copy, words: str, todo: str) -> None:
        subject = f"{copy.path} on {copy.storage}"
        if not self.world.dry_run:
            with self.db.write() as session:
                if not not_whole(session, copy, words):
                    self.world.add(Finding("note", subject, "somebody works on it just now"))
                    return
            words = f"{words}: it is suspect now, and no witness"
        self.world.add(Finding("fail", subject, words, todo))

    def _unknown(self, storage: Storage) -> None:
        """Directories that the database does not count as a copy."""
        for source, names in self._folders(storage).items():
            paths = {f"{source}/{name}": name for name in names if not name.startswith(".")}
            listed = list(paths)
            for start in range(0, len(listed), _CHUNK):
                some = listed[start : start + _CHUNK]
                with self.db.read() as session:
                    there = (CopyStatus.VERIFIED, CopyStatus.SUSPECT, CopyStatus.DELETING)
                    known = set(
                        session.scalars(
                            select(Copy.path).where(
                                Copy.storage == storage.name, Copy.path.in_(some), Copy.status.in_(there)
                            )
                        )
                    )
                    mine = (Run.source == source, Run.name.in_([paths[p] for p in some]))
                    runs = {run.name: run for run in session.scalars(select(Run).where(*mine))}
                for path in some:
                    if path not in known:
                        self._one_unknown(storage, source, path, runs.get(paths[path]))

    def _one_unknown(self, storage: Storage, source: str, path: str, run: Run | None) -> None:
        subject = f"{path} on {storage.name}"
        at_source = self._at_source(source, run, path.rpartition("/")[2])
        if at_source:
            words = "a run whose data lie at its source, too: Transfer compares them"
            self.world.add(Finding("note", subject, words))
        elif run is None:
            words = "a run that neither the run database nor its source knows; it stays as it is"
            self.world.add(Finding("fail", subject, words, "If it is yours, put it back at its source"))
        elif at_source is None:
            self.world.add(Finding("note", subject, "whether its source has it could not be asked"))
        elif run.status not in _TO_COPY or self._home(run) != storage.name or path != path_of(run):
            words = f"the run database has no copy there of run {run.name}, which is {run.status}"
            self.world.add(Finding("fail", subject, words, "Look what it is; nothing here removes it"))
        else:
            manifest = storage.manifest(path, work=self.world.work)
            content = Content(manifest.digest, manifest.nbytes, manifest.nfiles, manifest.dumps())
            with self.db.read() as session:
                same = (Copy.run_id == run.id, Copy.job_id.is_(None), Copy.manifest.is_not(None))
                known = set(session.scalars(select(Copy.manifest).where(*same)))
            if known - {manifest.digest}:
                words = f"it differs from the manifest of run {run.name}, and its source has that no more"
                self.world.add(Finding("fail", subject, words, "Look at the disk; nothing here changes it"))
                return

            def change(session: Session) -> bool:
                return take_over(session, self.config, run.id, storage.name, path, content)

            words = f"the verified copy of run {run.name}, made after the backup; its source has it no more"
            if self.world.mend(subject, words, change):
                self._count_whole(run.id, storage.name)

    def _home(self, run: Run) -> str | None:
        listener = self.config.listeners.get(run.listener or "")
        return listener.storage if listener else None

    def _at_source(self, source: str, run: Run | None, name: str) -> bool | None:
        """Whether the source has the run; None when it could not be asked."""
        section = self.config.sources.get(source)
        if section is None or section.storage is None:
            return False
        if section.storage not in self._asked:
            return None
        path = name
        if run is not None:
            with self.db.read() as session:
                same = (Copy.run_id == run.id, Copy.storage == section.storage, Copy.form == "plain")
                path = session.scalar(select(Copy.path).where(*same)) or name
        return self.world.places.storage(section.storage).exists(path)

    def _count_whole(self, run_id: int, storage: str) -> None:
        with self.db.read() as session:
            same = (Copy.run_id == run_id, Copy.storage == storage, Copy.form == "plain", Copy.job_id.is_(None))
            self.world.whole.update(session.scalars(select(Copy.id).where(*same)))

    # ---- runs ----

    def _nowhere(self) -> None:
        """Runs that are to be copied and lie nowhere any more."""
        with self.db.read() as session:
            runs: Sequence[Run] = session.scalars(
                select(Run).where(Run.status.in_(_TO_COPY), Run.listener.is_not(None)).order_by(Run.id)
            ).all()
        for run in runs:
            if self._at_source(run.source, run, run.name) is False and self._home(run) is not None:
                words = f"it is {run.status}, but its source {run.source} has no such data"
                self.world.add(Finding("fail", f"run {run.name}", words, "Where are they?"))
