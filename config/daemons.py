"""[daemons]: how often the daemons look, beat and renew."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from .section import Section
from .units import PositiveDuration

DAEMONS = ("RunsProvider", "Transfer", "JobOrganizer", "Process", "DiskMonitor", "Messenger")


class DaemonTable(Section):
    """[daemons.NAME]: what is different for one daemon; what is absent is taken from [daemons]."""

    interval: PositiveDuration | None = Field(
        default=None, description="time between two looks when nothing wakes the daemon", examples=["10s"]
    )
    heartbeat: PositiveDuration | None = Field(
        default=None, description="time between two heartbeats", examples=["10s"]
    )
    lease: PositiveDuration | None = Field(default=None, description="length of a lease", examples=["60s"])
    stall: PositiveDuration | None = Field(
        default=None, description="work without progress for so long loses its lease", examples=["15m"]
    )


class TransferTable(DaemonTable):
    """[daemons.Transfer]: a lane copies small runs many at a time, and large ones beside each other."""

    parallel: int = Field(
        default=2,
        ge=1,
        le=100,
        description="how many large runs (above 64 MB) are copied beside each other from one storage of the DAQ",
        examples=[4],
    )


class Daemons(Section):
    """What holds for all daemons, and for each."""

    interval: PositiveDuration = Field(
        default=timedelta(seconds=60),
        description="time between two looks when nothing wakes a daemon (RunsProvider: 10s)",
    )
    heartbeat: PositiveDuration = Field(
        default=timedelta(seconds=10), description="time between two heartbeats"
    )
    lease: PositiveDuration = Field(default=timedelta(seconds=60), description="length of a lease")
    stall: PositiveDuration = Field(
        default=timedelta(minutes=15), description="work without progress for so long loses its lease"
    )
    RunsProvider: DaemonTable = Field(default=DaemonTable(), description="of this daemon only")
    Transfer: TransferTable = Field(default=TransferTable(), description="of this daemon only")
    JobOrganizer: DaemonTable = Field(default=DaemonTable(), description="of this daemon only")
    Process: DaemonTable = Field(default=DaemonTable(), description="of this daemon only")
    DiskMonitor: DaemonTable = Field(default=DaemonTable(), description="of this daemon only")
    Messenger: DaemonTable = Field(default=DaemonTable(), description="of this daemon only")


class DaemonSettings(Section):
    """What holds for one daemon in the end."""

    name: str
    interval: PositiveDuration
    heartbeat: PositiveDuration
    lease: PositiveDuration
    stall: PositiveDuration


def settings(daemons: Daemons, name: str) -> DaemonSettings:
    """The settings of one daemon: its own table first, then [daemons], then the defaults."""
    own: DaemonTable = getattr(daemons, name)
    interval = own.interval or daemons.interval
    if name == "RunsProvider" and own.interval is None and "interval" not in daemons.model_fields_set:
        interval = timedelta(seconds=10)
    return DaemonSettings(
        name=name,
        interval=interval,
        heartbeat=own.heartbeat or daemons.heartbeat,
        lease=own.lease or daemons.lease,
        stall=own.stall or daemons.stall,
    )
