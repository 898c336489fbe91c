"""What the tests of the rules share: a configuration, and one database on PostgreSQL which is emptied in between."""

from __future__ import annotations

import pytest
from support.emptied import postgresql_url  # noqa: F401
from support.smallconfig import make_config

from ondeck.config import Config


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration with most things in it."""
    return make_config(tmp_path_factory.mktemp("rules"))
