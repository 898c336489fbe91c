from __future__ import annotations

import pytest

from ondeck.config.daemons import DAEMONS as CONFIGURED
from ondeck.daemons import registry
from ondeck.daemons.base import Daemon


def test_the_configuration_knows_the_same_daemons() -> None:
    assert tuple(registry.DAEMONS) == CONFIGURED


@pytest.mark.parametrize("name", registry.DAEMONS)
def test_each_daemon_can_be_imported(name: str) -> None:
    made = registry.daemon_class(name)
    assert issubclass(made, Daemon)
    assert made.name == name


def test_another_is_refused() -> None:
    with pytest.raises(registry.NoSuchDaemon, match="no daemon 'Nobody'; there are RunsProvider, Transfer,"):
        registry.daemon_class("Nobody")
