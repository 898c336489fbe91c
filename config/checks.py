"""What must fit together across the tables of ondeck.toml."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .listeners import Listener
from .model import PACKAGE_TEMPLATES
from .modules import Module, find_template
from .overlap import overlap
from .problems import Problem, nearest
from .sinks import Sink
from .sites import Site, not_there
from .sources import Source
from .storages import Storage


@dataclass
class Draft:
    """The tables that are right in themselves; `declared` names all, also those that are not.

    `written`: the tables as they stand in the file.
    """

    folder: Path
    declared: Mapping[str, set[str]]
    written: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    listeners: dict[str, Listener] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)

    def missing(self, section: str, name: str, keys: tuple[str, ...]) -> Iterator[Problem]:
        """A problem when no table [section.name] stands in the file."""
        if name not in self.declared[section]:
            known = self.declared[section]
            right = nearest(name, known) if known else f"there is none yet: write a table [{section}.{name}]"
            yield Problem(keys, name, f"there is no {section[:-1]} of this name", right)


def check(draft: Draft) -> Iterator[Problem]:
    """All problems between tables."""
    yield from _storages(draft)
    yield from _sources(draft)
    yield from _modules(draft)
    yield from _listeners(draft)
    yield from _overlaps(draft)


def _storages(draft: Draft) -> Iterator[Problem]:
    for name, storage in draft.storages.items():
        yield from draft.missing("sites", storage.site, ("storages", name, "site"))
        written = draft.written.get("storages", {}).get(name, {}).get("path")
        if _remote(draft, storage.site) and (far := not_there(written, "path")):
            yield Problem(("storages", name, "path"), written, far.wrong, far.right)
    for first, second in itertools.combinations(draft.storages.values(), 2):
        if _place(draft, first.site) != _place(draft, second.site):
            continue
        seen = str if _remote(draft, first.site) else os.path.realpath  # links of other machines are not ours to see
        one, two = seen(first.path), seen(second.path)
        keys = ("storages", second.name, "path")
        if one == two:
            wrong = f"the same directory as storage {first.name}"
        elif two.startswith(one.rstrip("/") + "/"):
            wrong = f"inside storage {first.name} ({first.path})"
        elif one.startswith(two.rstrip("/") + "/"):
            wrong = f"storage {first.name} ({first.path}) is inside it"
        else:
            continue
        yield Problem(keys, str(second.path), wrong, "give each storage a directory of its own")


def _place(draft: Draft, site: str) -> str:
    """Two sites that are reached locally, or at the same address, are one machine."""
    known = draft.sites.get(site)
    if known is None:
        return f"site {site}"
    return "local" if known.transport == "local" else f"{known.host}:{known.port}"


def _remote(draft: Draft, site: str) -> bool:
    known = draft.sites.get(site)
    return known is not None and known.transport != "local"


def _sources(draft: Draft) -> Iterator[Problem]:
    for name, source in draft.sources.items():
        keys = ("sources", name)
        if source.storage is None:
            if source.remove != "never":
                right = 'name the storage that holds the runs, or write remove = "never"'
                yield Problem((*keys, "remove"), source.remove, "there is no storage to remove runs from", right)
            continue
        yield from draft.missing("storages", source.storage, (*keys, "storage"))
        yield from _of_kind(draft, source.storage, "disk", (*keys, "storage"))


def _of_kind(draft: Draft, name: str, kind: str, keys: tuple[str, ...]) -> Iterator[Problem]:
    storage = draft.storages.get(name)
    if storage and storage.kind != kind:
        fitting = [other.name for other in draft.storages.values() if other.kind == kind]
        article = "an archive" if storage.kind == "archive" else "not an archive"
        hint = f"take one of {', '.join(fitting)}" if fitting else "there is none of that kind yet"
        yield Problem(
            keys, name, f"this storage is {article}", f'{hint}, or write kind = "{kind}" in [storages.{name}]'
        )


def _modules(draft: Draft) -> Iterator[Problem]:
    folders = (draft.folder / "templates", PACKAGE_TEMPLATES)
    for name, module in draft.modules.items():
        yield from draft.missing("sites", module.site, ("modules", name, "site"))
        site = draft.sites.get(module.site)
        if site and site.batch is None:
            right = f"write a table [sites.{site.name}.batch], or name a site that has one"
            yield Problem(("modules", name, "site"), site.name, "no batch system at this site", right)
        if find_template(folders, module.template) is None:
            own = sorted(path.name for path in PACKAGE_TEMPLATES.glob("*") if path.is_file())
            right = f"put it into {folders[0]}" + (f", or take one of ondeck's own: {', '.join(own)}" if own else "")
            yield Problem(("modules", name, "template"), module.template, "there is no template of this name", right)


def _listeners(draft: Draft) -> Iterator[Problem]:
    for name, listener in draft.listeners.items():
        keys = ("listeners", name)
        for source in listener.sources:
            yield from draft.missing("sources", source, (*keys, "sources"))
        for module in listener.modules:
            yield from draft.missing("modules", module, (*keys, "modules"))
        for key in ("sources", "modules"):
            names = getattr(listener, key)
            for twice in sorted({one for one in names if names.count(one) > 1}):
                yield Problem((*keys, key), twice, "named twice", "name each once")
        if listener.storage is not None:
            yield from draft.missing("storages", listener.storage, (*keys, "storage"))
            yield from _of_kind(draft, listener.storage, "disk", (*keys, "storage"))
        else:
            yield from _nowhere(draft, listener)
        if listener.archive is not None:
            yield from draft.missing("storages", listener.archive, (*keys, "archive"))
            yield from _of_kind(draft, listener.archive, "archive", (*keys, "archive"))


def _nowhere(draft: Draft, listener: Listener) -> Iterator[Problem]:
    keys = ("listeners", listener.name, "storage")
    names = listener.sources or tuple(draft.sources)
    with_data = [name for name in names if name in draft.sources and draft.sources[name].storage is not None]
    if with_data:
        disks = [storage.name for storage in draft.storages.values() if storage.kind == "disk"]
        right = f"name the storage that they are copied to ({', '.join(disks)})"
        yield Problem(keys, ..., f"missing, but the runs of source {with_data[0]} have data", right)
    elif listener.archive is not None:
        right = "name the storage that runs are copied to, or take archive out"
        yield Problem(keys, ..., "missing, so that there is nothing to archive", right)


def _overlaps(draft: Draft) -> Iterator[Problem]:
    for one, other in itertools.combinations(draft.listeners.values(), 2):
        if one.priority != other.priority:
            continue
        both = overlap(one, other)
        if both is not None:
            wrong = f"listeners {one.name} and {other.name} could both take {both.words()}"
            right = "let their matches exclude each other, or give them different priorities (higher takes it)"
            yield Problem(("listeners", other.name, "priority"), other.priority, wrong, right)
