# ruff: noqa: E501  (the messages stand here as they are printed)
"""Each message, word for word where it matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ondeck.config import ConfigError
from ondeck.config.problems import ConfigInvalid

from .conftest import GOOD

CASES = [
    ('name = "Big"', '[name] = "Big": not a name for an experiment; a small letter, then at most 30 of a-z, 0-9, _ and -'),
    ("umask = 27", '[umask] = 27: not an octal number in quotes; write umask = "027" (group may read) or "022" (all may)'),
    ('umask = "077 "', '[umask] = "077 ": not an octal number in quotes; '
     'write umask = "027" (group may read) or "022" (all may)'),
    ('umask = "727"', '[umask] = "727": takes rights from the owner, that is ondeck itself; write umask = "027" or "077"'),
    ('group = "no-such-group"', '[group] = "no-such-group": there is no such group on this machine; '
     'name one of `getent group`, or ""'),
    ("storage = {}", '[storage]: unknown key; did you mean "storages"?'),
    ("path = 3", "[path] = 3: unknown key; it can be one of "),
    ("sites = 3", "[sites] = 3: a whole number where tables belong; write a table [sites.NAME] for each"),
    ("[[sources]]", "[sources] = [{}]: a list where tables belong; write a table [sources.NAME] for each"),
    ("sites.here = 3", "[sites.here] = 3: a whole number where a table belongs; write [sites.NAME], and its keys below it"),
    ('[storages."a b"]', '[storages."a b"]: not a name; a letter, then at most 39 letters, digits, _ or -'),
    ("[retry]\nmax_tries = 0", "[retry.max_tries] = 0: below 1; give 1 or more (tries of one row before it is failed)"),
    ('[retry]\nmax_tries = "many"', '[retry.max_tries] = "many": a text where a whole number belongs; '
     "write max_tries = 20 (tries of one row before it is failed)"),
    ("[retry]\nfactor = 0.5", "[retry.factor] = 0.5: below 1; give 1 or more (how much longer each further wait is)"),
    ("[retry]\nfactor = nan", "[retry.factor] = nan: "),
    ('[retry]\nlongest = "1s"', '[retry.longest] = "1s": shorter than the first wait; give at least first = "10s"'),
    ('[daemons]\nlease = "0s"', '[daemons.lease] = "0s": must be longer than nothing; give a duration above 0, such as "10s"'),
    ('[daemons]\nlease = "10"', '[daemons.lease] = "10": not a duration; give a number with its unit, '
     'such as "10s", "5m", "2h" or "1d", or a number of seconds'),
    ("[daemons.Transfr]", '[daemons.Transfr]: unknown key; did you mean "Transfer"?'),
    ("[daemons.Transfer]\nintervall = 3", '[daemons.Transfer.intervall] = 3: unknown key; did you mean "interval"?'),
    ('[database]\nurl = "postgres://h/d"', '[database.url] = "postgres://h/d": postgres is not a kind of database; '
     "write postgresql:// instead of postgres://"),
    ('[database]\nurl = "mysql://h/d"', '[database.url] = "mysql://h/d": the run database is SQLite or PostgreSQL; give '),
    ('[database]\nurl = "sqlite://x.db"', '[database.url] = "sqlite://x.db": the address of a file needs three strokes; '
     "write sqlite:///FILE (four for an absolute one)"),
    ('[database]\nurl = "sqlite://"', '[database.url] = "sqlite://": names no file, and all daemons must see the same '),
    ('[database]\nurl = "ondeck.db"', '[database.url] = "ondeck.db": not the address of a database; '
     "give sqlite:///FILE (relative to this file's folder) or postgresql://USER@HOST/DATABASE"),
    ('[database]\nurl = "sqlite:///x"\nurl_env = "HOME"', '[database.url_env] = "HOME": url and url_env are both given; '
     "keep one of them"),
    ("[sites.here]", '[sites.here.transport]: missing; write transport = "local" (how the site is reached)'),
    ('[sites.here]\ntransport = "ssh"\nwork = "w"', '[sites.here.transport] = "ssh": not known here; did you mean "openssh"?'),
    ('[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nsystem = "lokal"',
     '[sites.here.batch.system] = "lokal": no such plug-in; did you mean "local"?'),
    ('[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nsystem = "broken"',
     '[sites.here.batch.system] = "broken": the plug-in somewhere:Plugin can\'t be loaded: '
     "ImportError: No module named 'slurmlib'; install what it needs, or take another one"),
    ('[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nsystem = "strict"\nlimt = 3',
     '[sites.here.batch.limt] = 3: unknown key; did you mean "limit"?'),
    ('[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nsystem = "strict"\nslot = 3',
     '[sites.here.batch.slot] = 3: unknown key; did you mean "slots"?'),
    ('[sites.here]\ntransport = "local"\nwork = "w"\n[sites.here.batch]\nslots = 3',
     '[sites.here.batch.system]: missing; write system = "local" (name of the batch system)'),
    ('[sites.here]\ntransport = "local"\nwork = "w"\nname = "x"', '[sites.here.name] = "x": unknown key; it can be one of '),
    ('[sources.x]\ntype = "kafka"', '[sources.x.type] = "kafka": no such plug-in; it can be one of "directory", '),
    ('[sources.x]\ntype = "needy"', '[sources.x.storage]: missing; write storage = "daq" (where the runs are)'),
    ('[sources.x]\ntype = "loose"\ntopc = "t"', '[sources.x.topc] = "t": unknown key; did you mean "topic"?'),
    ('[sources.x]\ntype = "odd"', '[sources.x.type] = "odd": BadOptions.Options is not a pydantic model; mend the package '),
    ('[sources.x]\ntype = "function"', '[sources.x.type] = "function": the plug-in somewhere:Plugin is not a class; mend '),
    ('[sources.x]\ntype = "loose"\nbegin = "tomorrow"', '[sources.x.begin] = "tomorrow": not a place to begin; '
     'give "now", "all" or "after:RUN" (the name of the last run not to take)'),
    ('[sources.x]\ntype = "loose"\nremove = "ondeck"', '[sources.x.remove] = "ondeck": there is no storage to remove runs '
     'from; name the storage that holds the runs, or write remove = "never"'),
    ('[sources.x]\ntype = "loose"\noptions = 3', '[sources.x.options] = 3: unknown key; it can be one of '),
    ('[sources.x]\ntype = "loose"\nstorage = "dsk"', '[sources.x.storage] = "dsk": there is no storage of this name; '
     "there is none yet: write a table [storages.dsk]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CASES, ids=range(len(CASES)))
def test_messages(text: str, message: str, wrong: Callable[[str], str]) -> None:
    assert message in wrong(text)


CHANGES = [
    ('path = "raw"', 'path = "./daq/../daq"', "the same directory as storage daq; give each storage a directory of its own"),
    ('path = "raw"', 'path = "daq/deep"', "inside storage daq ("),
    ('path = "raw"', 'path = "."', "is inside it; give each storage"),
    ('kind = "archive"', 'kind = "tape"', '[storages.tape.kind] = "tape": not known here; it can be one of "archive", "disk"'),
    ('kind = "archive"', 'kind = "archiv"', 'did you mean "archive"?'),
    ('path = "raw"', 'path = "raw"\nlow = 5.0', "[storages.disk.low] = 5.0: low without high; say also above which "),
    ('path = "raw"', 'path = "raw"\nhigh = 80\nlow = 81', "[storages.disk.low] = 81: above high = 80; making room ends at low"),
    ('path = "raw"', 'path = "raw"\nhigh = 101.0', "[storages.disk.high] = 101.0: above 100; give 100 or less (percent of use"),
    ('path = "raw"', 'path = "raw"\nhigh = 0', "[storages.disk.high] = 0: not above 0; give a number above 0"),
    ('path = "raw"', 'path = "raw"\ncapacity = 0', "[storages.disk.capacity] = 0: must be more than nothing"),
    ('path = "raw"', 'path = "raw"\n[storages.disk.bundle]', "only archives have bundles; write kind = \"archive\""),
    ('kind = "archive"', 'kind = "archive"\nbundle = {cuont = 3}', '[storages.tape.bundle.cuont] = 3: unknown key; did you '
     'mean "count"?'),
    ('site = "here"\npath = "raw"', 'site = "there"\npath = "raw"', '[storages.disk.site] = "there": there is no site of this '
     'name; did you mean "here"?'),
    ('storage = "daq"', 'storage = "tape"', '[sources.daq.storage] = "tape": this storage is an archive; take one of daq, disk,'
     ' or write kind = "disk" in [storages.tape]'),
    ('archive = "tape"', 'archive = "disk"', '[listeners.all.archive] = "disk": this storage is not an archive; take one of '
     'tape, or write kind = "archive" in [storages.disk]'),
    ('archive = "tape"', 'archive = "tap"', '[listeners.all.archive] = "tap": there is no storage of this name; did you mean '
     '"tape"?'),
    ('modules = ["sums"]', 'modules = ["sum"]', '[listeners.all.modules] = "sum": there is no module of this name; did you mean '
     '"sums"?'),
    ('modules = ["sums"]', 'modules = ["sums", "sums"]', '[listeners.all.modules] = "sums": named twice; name each once'),
    ('modules = ["sums"]', 'sources = ["dag"]', '[listeners.all.sources] = "dag": there is no source of this name; did you mean'
     ' "daq"?'),
    ('modules = ["sums"]', 'match = {a = {bits = 0}}', "[listeners.all.match.a] = {bits = 0}: bits needs a whole number above 0"),
    ('storage = "disk"', "", "[listeners.all.storage]: missing, but the runs of source daq have data; name the storage that they"
     " are copied to (daq, disk)"),
    ('template = "sums.sh"', 'template = "../x"', '[modules.sums.template] = "../x": not the name of a template; name a file'),
    ('template = "sums.sh"', 'template = "/etc/passwd"', "not the name of a template"),
    ('template = "sums.sh"', 'template = "gone.sh"', '[modules.sums.template] = "gone.sh": there is no template of this name; put '
     "it into "),
    ('template = "sums.sh"', 'template = "sums.sh"\nenv = {"A B" = "x"}', '"A B" can\'t be a variable\'s name; use letters'),
    ('template = "sums.sh"', 'template = "sums.sh"\nenv = {A = 3}', "[modules.sums.env.A] = 3: a whole number where a text in "),
    ('template = "sums.sh"', 'template = "sums.sh"\nenv = {A = "\\u0000"}', "the value of A holds a NUL character; take it out"),
    ('template = "sums.sh"', 'template = "sums.sh"\nneeds_validation = true', "[modules.sums.needs_validation] = true: unknown "),
    ('template = "sums.sh"', 'template = "sums.sh"\nvalidate = 1', "write validate = false (a person must say go (StartJob)"),
    ('[sites.here.batch]\nsystem = "local"', "", '[modules.sums.site] = "here": no batch system at this site; write a table '
     "[sites.here.batch], or name a site that has one"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), CHANGES, ids=range(len(CHANGES)))
def test_messages_about_a_good_file_made_bad(
    old: str, new: str, message: str, wrong: Callable[[str], str]
) -> None:
    assert old in GOOD
    assert message in wrong(GOOD.replace(old, new, 1))


def test_two_local_sites_are_one_machine(wrong: Callable[[str], str]) -> None:
    more = '[sites.there]\ntransport = "local"\nwork = "w2"\n[storages.again]\nsite = "there"\npath = "raw"\n'
    assert "the same directory as storage disk" in wrong(GOOD + more)


def test_a_link_does_not_hide_a_storage(folder: Path, wrong: Callable[[str], str]) -> None:
    (folder / "raw").mkdir()
    (folder / "link").symlink_to("raw")
    assert "the same directory as storage disk" in wrong(GOOD.replace('path = "archive"', 'path = "link"'))


def test_a_wrong_table_is_not_called_missing(wrong: Callable[[str], str]) -> None:
    message = wrong(GOOD.replace('path = "raw"', "path = 3"))
    assert message.startswith("[storages.disk.path] = 3: ")
    assert len(message.splitlines()) == 1


def test_what_a_config_error_is() -> None:
    assert issubclass(ConfigInvalid, ConfigError)
