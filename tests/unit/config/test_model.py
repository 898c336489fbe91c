from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ondeck.config import Config, loads
from ondeck.config.daemons import DAEMONS
from ondeck.config.dump import effective, fingerprint, to_toml
from ondeck.config.problems import UnknownDaemon

from .conftest import GOOD
from .test_wrong_values import FULL


def test_defaults(make: Callable[[str], Config]) -> None:
    config = make(GOOD)
    batch, disk, module, listener = (
        config.sites["here"].batch,
        config.storages["disk"],
        config.modules["sums"],
        config.listeners["all"],
    )
    assert batch is not None
    assert (batch.slots, batch.poll, batch.grace, batch.lost_after) == (
        2,
        timedelta(seconds=2),
        timedelta(seconds=60),
        timedelta(hours=1),
    )
    assert (disk.kind, disk.high, disk.low, disk.capacity, disk.reserve) == ("disk", None, None, None, 10**9)
    assert disk.verify_max_age == timedelta(0)
    bundle = config.storages["tape"].bundle
    assert (bundle.count, bundle.size, bundle.age) == (10, 20 * 10**9, timedelta(days=1))
    assert (module.walltime, module.cores, module.memory, module.max_failures) == (
        timedelta(hours=1),
        1,
        10**9,
        3,
    )
    assert (module.needs_validation, module.optional, module.idempotent) == (False, False, False)
    assert (module.version, module.env, module.options) == ("", {}, {})
    assert (listener.sources, listener.match, listener.modules) == ((), {}, ("sums",))
    assert (listener.archive_when, listener.min_events, listener.min_copies, listener.priority) == (
        "ondeck",
        0,
        1,
        0,
    )
    source = config.sources["daq"]
    assert (source.begin, source.remove, source.storage) == (None, "never", "daq")
    assert (config.retry.first, config.retry.factor, config.retry.max_tries) == (
        timedelta(seconds=10),
        2.0,
        20,
    )


def test_a_batch_system_with_a_queue_has_no_limit_by_default(make: Callable[[str], Config]) -> None:
    batch = make(GOOD.replace('system = "local"', 'system = "strict"\nqueue = "q"')).sites["here"].batch
    assert batch is not None
    assert batch.slots is None


def test_one_mark_is_both(make: Callable[[str], Config]) -> None:
    disk = make(GOOD.replace('path = "raw"', 'path = "raw"\nhigh = 85')).storages["disk"]
    assert (disk.high, disk.low) == (85, 85)
    assert make(GOOD.replace('path = "raw"', 'path = "raw"\nhigh = 85\nlow = 85')).storages["disk"].low == 85


def test_options_of_plug_ins(make: Callable[[str], Config]) -> None:
    source = make(GOOD.replace('storage = "daq"', 'storage = "daq"\nend_marker = "done"')).sources["daq"]
    assert source.table == {"end_marker": "done"}
    assert source.options is not None
    assert source.options.model_dump() == {"end_marker": "done", "parameters": ("run.json",)}
    needy = make(GOOD.replace('"directory"', '"needy"')).sources["daq"]
    assert needy.options is not None
    assert needy.options.model_dump() == {"storage": "daq"}


def test_what_holds_for_a_daemon(make: Callable[[str], Config]) -> None:
    config = make("")
    assert config.daemon("RunsProvider").interval == timedelta(seconds=10)
    assert config.daemon("Transfer").interval == timedelta(seconds=60)
    assert config.daemon("Transfer").name == "Transfer"
    config = make(
        '[daemons]\nlease = "90s"\ninterval = "20s"\n[daemons.Transfer]\ninterval = "5s"\nlease = "30s"'
    )
    assert config.daemon("RunsProvider").interval == timedelta(seconds=20)
    assert config.daemon("Transfer").interval == timedelta(seconds=5)
    assert config.daemon("Transfer").lease == timedelta(seconds=30)
    assert config.daemon("Process").lease == timedelta(seconds=90)
    assert config.daemon("Process").stall == timedelta(minutes=15)
    only_lease = make('[daemons.RunsProvider]\nlease = "1s"')
    assert only_lease.daemon("RunsProvider").interval == timedelta(seconds=10)
    with pytest.raises(UnknownDaemon, match="no daemon Transfr; the daemons are RunsProvider, Transfer, Job"):
        config.daemon("Transfr")


@pytest.mark.parametrize("text", ["", GOOD, FULL])
def test_what_is_shown_is_a_configuration_that_means_the_same(
    text: str, make: Callable[[str], Config]
) -> None:
    config = make(text)
    shown = to_toml(effective(config))
    assert effective(make(shown)) == effective(config)
    assert fingerprint(make(shown)) == fingerprint(config)
    assert [make(shown).daemon(name) for name in DAEMONS] == [config.daemon(name) for name in DAEMONS]


def test_the_fingerprint_is_of_the_meaning(make: Callable[[str], Config], folder: Path) -> None:
    one = fingerprint(make(GOOD))
    assert len(one) == 64
    assert fingerprint(make(GOOD + "# a comment\n")) == one
    assert fingerprint(make(GOOD.replace("[modules.sums]", '[modules.sums]\nwalltime = "3600s"'))) == one
    assert fingerprint(loads(GOOD, folder / "other.toml")) == one
    assert fingerprint(make(GOOD.replace("[modules.sums]", '[modules.sums]\nwalltime = "3601s"'))) != one
    assert fingerprint(make(GOOD.replace('"a@example.org"', '"b@example.org"'))) != one


def test_an_umask_and_a_group(make: Callable[[str], Config]) -> None:
    assert make('umask = "022"').umask == 0o022
    assert make('umask = "0o7"').umask == 0o007
    assert make('group = "root"').group == "root"
    assert effective(make('umask = "022"'))["umask"] == "022"
