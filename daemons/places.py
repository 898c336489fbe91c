"""The transports and storages of one lane: each made when first needed, and kept."""

from __future__ import annotations

from ..config import Config
from ..config.errors import OndeckError
from ..db.engine import Database
from ..db.tables import StorageState
from ..sites.storage import Storage
from ..sites.transport import Transport, make_transport


class NotInitialised(OndeckError):
    """storage {name} was never initialised: if its disk is mounted at {root}, type `ondeck storage init {name}`."""


class Places:
    """What one lane uses of the world outside. Not shared between threads."""

    def __init__(self, config: Config, db: Database) -> None:
        self.config, self.db = config, db
        self._transports: dict[str, Transport] = {}
        self._storages: dict[str, Storage] = {}

    def transport(self, site: str) -> Transport:
        """The kept connection to `site`."""
        if site not in self._transports:
            self._transports[site] = make_transport(self.config.sites[site])
        return self._transports[site]

    def storage(self, name: str) -> Storage:
        """Storage `name`, which knows the uuid of its disk; raises NotInitialised."""
        if name not in self._storages:
            section = self.config.storages[name]
            with self.db.read() as session:
                state = session.get(StorageState, name)
            if state is None:
                raise NotInitialised(name=name, root=section.path)
            self._storages[name] = Storage(name, str(section.path), self.transport(section.site), state.uuid)
        return self._storages[name]

    def close(self) -> None:
        """Give up all connections."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()
        self._storages.clear()
