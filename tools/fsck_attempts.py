"""`ondeck fsck`, tokens: attempts that lie at a site, or run there, and that the run database lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select

from ..config.plugins import find
from ..daemons.attemptrows import batch_of, job_directory, moment, work_place
from ..db.models import Attempt, Job, Run
from ..rules.adopting import Ended, There, adopt_attempts
from ..sites.attemptlist import attempts_there
from ..sites.attempts import GarbledFile, Look, UnreadableFile, look, token_prefix
from ..sites.batch import BatchSystem, JobState
from .findings import Finding
from .fsck_world import World
from .words import counted

_SECONDS = 300.0
_CHUNK = 500


class AttemptsCheck:
    """Compares attempts, site by site."""

    def __init__(self, world: World) -> None:
        self.world, self.config, self.db = world, world.config, world.db

    def run(self) -> None:
        """All sites that have a batch system."""
        for site in self.config.sites.values():
            if site.batch is not None:
                with self.world.asking(f"site {site.name}"):
                    self._site(site.name)

    def _site(self, site: str) -> None:
        transport = self.world.places.transport(site)
        place = work_place(self.config, self.db, site)
        listed = attempts_there(transport, place, work=self.world.work)  # first: rows are written before directories
        with self.db.read() as session:
            known = set(session.scalars(select(Attempt.directory).where(Attempt.site == site)))
        of_job: dict[str, list[str]] = defaultdict(list)
        for directory in listed:
            if directory not in known:
                of_job[directory.rpartition("/")[0]].append(directory)
        self.world.add(Finding("ok", f"site {site}", f"{counted(len(listed), 'attempt')} looked at"))
        jobs = self._jobs(site, str(place.root), of_job)
        unknown = {
            folder: look(transport, found, place=place, work=self.world.work) for folder, found in of_job.items()
        }
        for folder, looks in unknown.items():
            self._folder(site, folder, jobs.get(folder), looks)
        self._tokens(site, {token for looks in unknown.values() for one in looks if (token := _token(one))})

    def _jobs(self, site: str, root: str, folders: Iterable[str]) -> dict[str, int | None]:
        """Directory of a job → its id; None when there is its run, but no such job."""
        names: dict[tuple[str, str], list[str]] = defaultdict(list)
        for folder in folders:
            source, name, _ = folder[len(root) + 1 :].split("/")
            names[source, name].append(folder)
        found: dict[str, int | None] = {}
        wanted = list(names)
        for start in range(0, len(wanted), _CHUNK):
            some = wanted[start : start + _CHUNK]
            with self.db.read() as session:
                runs = session.scalars(select(Run).where(Run.name.in_([name for _, name in some]))).all()
                for run in runs:
                    folders_of = names.get((run.source, run.name), [])
                    found.update(dict.fromkeys(folders_of))
                    for job in session.scalars(select(Job).where(Job.run_id == run.id, Job.site == site)):
                        found[job_directory(self.config, job, run)] = job.id
        return {folder: found[folder] for folder in folders if folder in found}

    def _folder(self, site: str, folder: str, job: int | None, looks: list[Look]) -> None:
        subject, world = f"attempts in {folder}", self.world
        if job is None:
            words = "the run database has no job for them; when it makes that, it takes them over instead of running it"
            world.add(Finding("note", subject, words))
            return
        try:
            there = [_there(one) for one in looks if one.token is not None]
            there += self._open(site, job)
        except (GarbledFile, UnreadableFile) as error:
            world.add(Finding("fail", subject, f"they can't be taken over: {error}", "Until then the job can't go on"))
            return
        if any(one.number not in {o.number for o in self._open_rows(job)} for one in there):
            words = f"made after the backup: {counted(len(there), 'attempt')} taken over, the newest is followed"
            world.mend(subject, words, lambda session: adopt_attempts(session, job, there))

    def _open_rows(self, job: int) -> list[Attempt]:
        with self.db.read() as session:
            return list(session.scalars(select(Attempt).where(Attempt.job_id == job, Attempt.ended_at.is_(None))))

    def _open(self, site: str, job: int) -> list[There]:
        """The attempts of the job that the database has as open: they are over if there is a newer one."""
        place, transport = work_place(self.config, self.db, site), self.world.places.transport(site)
        rows = self._open_rows(job)
        looks = look(transport, [row.directory for row in rows], place=place, work=self.world.work)
        return [_there(one, row.token) for row, one in zip(rows, looks, strict=True)]

    def _tokens(self, site: str, there: set[str]) -> None:
        """Jobs of ours at the batch system that neither the database nor any directory knows."""
        batch = batch_of(self.config, site)
        kind = find("ondeck.batch", batch.system)
        assert issubclass(kind, BatchSystem)
        system = kind(batch.options)
        result = self.world.places.transport(site).run(system.poll(), timeout=_SECONDS, work=self.world.work)
        snapshot = system.parse_poll(result)
        if not snapshot.ok:
            self.world.unasked.append(f"batch system of {site}")
            self.world.add(Finding("fail", f"site {site}", f"its batch system gives no answer: {snapshot.words}"))
            return
        prefix = token_prefix(self.config.name, str(self.config.state_dir))
        live = {
            token: [one for one in seen if one.state is not JobState.ENDED]
            for token, seen in snapshot.jobs.items()
            if token.startswith(prefix) and token not in there
        }
        with self.db.read() as session:
            known = set(session.scalars(select(Attempt.token).where(Attempt.token.in_(list(live)))))
        for token, seen in sorted(live.items()):
            if seen and token not in known:
                ids = ", ".join(one.batch_id or "?" for one in seen)
                words = f"job {ids} at the batch system has the token {token}, which nothing here knows"
                self.world.add(Finding("fail", f"site {site}", words, "Look what it is; cancel it there"))


def _token(one: Look) -> str | None:
    try:
        return one.token
    except (GarbledFile, UnreadableFile):
        return None


def _there(one: Look, token: str | None = None) -> There:
    """An attempt as its files show it."""
    claim, end = one.claim, one.exit
    ended = None
    if end is not None:
        ended = Ended(end.code, end.signal, end.host, moment(end.started), moment(end.ended), end.cpu)
    number = int(one.directory.rpartition("/")[2])
    return There(number, one.token or token or "", one.directory, claim.batch_id if claim else None, ended)
