"""Carrying errands out: the runs are read, copied, flushed, read back and renamed, each phase for all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..db.errors import LeaseLost
from ..rules.breaker import site_of
from ..sites.errors import Machinery, Refused
from ..sites.storage import Difference, Missing, StorageError
from ..sites.work import Work, WorkCancelled
from .base import Lane
from .errandrows import ErrandRows
from .errands import LARGE, Errand, by_itself


class Differs(Machinery):
    """the copy on storage {storage} differs from the manifest: {words}."""


class Carrier:
    """Carries out errands from one storage to one other. What goes wrong with one run touches no other."""

    def __init__(self, rows: ErrandRows, lane: Lane) -> None:
        self.rows, self.lane = rows, lane
        self._left: list[Errand] = []
        self._failed: list[tuple[Errand, Exception]] = []

    def carry(self, errands: Sequence[Errand]) -> None:
        """Copy the runs; each is on deck then, or given back with the reason on its row."""
        self._left, self._failed = list(errands), []
        name = errands[0].run.name + (f" and {len(errands) - 1} more" if len(errands) > 1 else "")
        try:
            with self.lane.guard([e.claim for e in errands], name) as work:
                self._carry(work)
        except WorkCancelled as error:
            self._broken_off(error)
        except Exception as error:  # goes on the rows, and never stops the loop
            self._all_failed(error)
        finally:
            for errand, failure in self._failed:
                self._give_back(errand, failure)

    def _carry(self, work: Work) -> None:
        self._read(work)
        if self._left and not self._left[0].in_place:
            self._copy(work)
        if not self._left:
            return
        done = self.rows.finish(self._left)
        self._keep(done)
        self._left = []
        for errand in done:
            extra = {"run": errand.run.name, "storage": errand.target.name, "nbytes": errand.content.nbytes}
            self.lane.log.info("run on deck", extra=extra)

    # ---- what became of one of them ----

    def _fail(self, errand: Errand, error: Exception) -> None:
        """This one goes no further."""
        self._left.remove(errand)
        self._failed.append((errand, error))

    def _fail_those(self, errors: Mapping[str, Exception], key: Callable[[Errand], str]) -> None:
        for errand in [e for e in self._left if key(e) in errors]:
            self._fail(errand, errors[key(errand)])

    def _keep(self, ours: Iterable[Errand]) -> None:
        """Go on with these; the others were overtaken."""
        kept = {e.run.id for e in ours}
        for errand in self._left:
            if errand.run.id not in kept:
                self.lane.log.warning("overtaken", extra={"run": errand.run.name})
        self._left = [e for e in self._left if e.run.id in kept]

    def _broken_off(self, error: WorkCancelled) -> None:
        """The daemon ends, or a lease was lost: that costs no try. A copy that did not get on does."""
        ours = self.rows.ours(self._left)
        count = not self.lane.stopping.is_set() and len(ours) == len(self._left)
        self._keep(ours)
        if ours:
            self.rows.give_back(ours, str(error), count=count)
        for errand in ours:
            self.lane.log.info("broken off", extra={"run": errand.run.name, "why": str(error)})

    def _all_failed(self, error: Exception) -> None:
        """What was done for all together failed: whose fault it was shows when they are tried in smaller company."""
        if len(self._left) > 1 and isinstance(error, Refused):
            error = _Together(words=str(error))
        for errand in list(self._left):
            self._fail(errand, error)

    def _give_back(self, errand: Errand, error: Exception) -> None:
        extra = {"run": errand.run.name, "why": str(error)}
        if isinstance(error, LeaseLost):
            self.lane.log.warning("overtaken", extra=extra)
        elif isinstance(error, Refused):
            self.rows.give_back([errand], str(error), final=True)
            self.lane.log.warning("transfer refused", extra=extra)
        else:
            site = site_of(self.rows.config, error)
            self.rows.give_back([errand], str(error), site=site)
            known = error if not isinstance(error, Machinery) else None
            self.lane.log.warning("transfer failed", extra=extra, exc_info=known)

    # ---- reading ----

    def _read(self, work: Work) -> None:
        """Read the runs at their source, and write down what they consist of."""
        source = self._left[0].source
        found = source.manifests([e.source_path for e in self._left], work=work)
        for errand in list(self._left):
            manifest = found[errand.source_path]
            if isinstance(manifest, Exception):
                self._fail(errand, manifest)
            elif not manifest.nfiles:
                self._fail(errand, Missing(storage=source.name, path=errand.source_path, words="it holds no files"))
            else:
                errand.manifest = manifest
        if self._left:
            self._keep(self.rows.note_sources(self._left))
        self._put_aside()

    def _put_aside(self) -> None:
        """A run that proves to be large is given back, to be copied by itself: its size is known now."""
        large = [e for e in self._left if e.content.nbytes > LARGE and not by_itself(e.run)]
        if large:
            self.rows.give_back(large, "it is large, and will be copied by itself", count=False)
            self._left = [e for e in self._left if e not in large]

    # ---- copying ----

    def _copy(self, work: Work) -> None:
        """Bring the files over, flush them, read them back, and give them their names."""
        target = self._left[0].target
        paths = [e.path for e in self._left]
        there = target.exists_many(paths)
        left = target.leftovers(paths)  # what broken off copies of the runs have left
        older = {e.path: [f"{e.folder}/{name}" for name in left[e.path]] for e in self._left}
        self._compare([e for e in self._left if e.path in there], lambda e: e.path, work, self._suspect)
        new = [e for e in self._left if e.path not in there]
        if new:
            target.make_many(sorted({e.folder for e in new}))
            self._write_together([e for e in new if not older.get(e.path)], work)
            for errand in new:
                if older.get(errand.path):
                    self._write_on(errand, older[errand.path], work)
        parts = [part for e in self._left for part in older.get(e.path, ())]
        if parts:
            target.remove_parts(parts, work=work)

    def _write_together(self, errands: Sequence[Errand], work: Work) -> None:
        if not errands:
            return
        source, target = errands[0].source, errands[0].target
        target.pull_many(source, {e.part: e.source_path for e in errands}, work=work)
        target.fsync_many([e.part for e in errands], work=work)
        self._compare(errands, lambda e: e.part, work, self._damaged)
        self._rename(self._among(errands))

    def _write_on(self, errand: Errand, older: Sequence[str], work: Work) -> None:
        """Copy one run, using what earlier tries have left of it."""
        target = errand.target
        older = [part for part in older if part != errand.part]
        try:
            target.pull(errand.source, errand.source_path, errand.part, older, work=work)
            target.fsync(errand.part, work=work)
        except StorageError as error:
            self._fail(errand, error)
            return

        def damaged(one: Errand, why: Differs) -> None:  # what was linked from a damaged part must not come again
            target.remove_parts([*older, one.part], work=work)
            del why

        self._compare([errand], lambda e: e.part, work, damaged)
        self._rename(self._among([errand]))

    def _rename(self, errands: Sequence[Errand]) -> None:
        """Give the parts their final names, after a last look at whether they still are ours."""
        if not errands:
            return
        kept = self.rows.ours(errands)
        self._keep([e for e in self._left if e in kept or e not in errands])
        if kept:
            errors = kept[0].target.rename_many({e.part: e.path for e in kept})
            self._fail_those(errors, lambda e: e.part)

    def _among(self, errands: Sequence[Errand]) -> list[Errand]:
        return [e for e in errands if e in self._left]

    # ---- reading back ----

    def _compare(
        self,
        errands: Sequence[Errand],
        name: Callable[[Errand], str],
        work: Work,
        differs: Callable[[Errand, Differs], Any],
    ) -> None:
        """Read the copies under `name` back; those that differ go no further, after `differs` has seen to them."""
        if not errands:
            return
        found = errands[0].target.verify_many({name(e): e.content for e in errands}, work=work)
        for errand in errands:
            answer = found[name(errand)]
            if isinstance(answer, Exception):
                self._fail(errand, answer)
            elif answer:
                error = Differs(storage=errand.target.name, words=_words(answer))
                differs(errand, error)
                self._fail(errand, error)

    def _suspect(self, errand: Errand, why: Differs) -> None:
        """It lies there already, of another content: it counted as verified, or the run was reset."""
        self.rows.suspect(errand, str(why))

    @staticmethod
    def _damaged(errand: Errand, why: Differs) -> None:
        del why
        errand.target.remove_parts([errand.part])


class _Together(Machinery):
    """of the runs that were copied together one or all were refused: {words}"""


def _words(differences: Sequence[Difference]) -> str:
    words = "; ".join(d.words() for d in differences[:3])
    return words + (f" and {len(differences) - 3} more" if len(differences) > 3 else "")
