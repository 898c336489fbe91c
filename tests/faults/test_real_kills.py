"""kill -9 of the real, double-forked daemons at random moments, while runs flow."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import commands
from support.daemonlab import alive, until
from support.house import ROOT
from support.lab import DAEMONS, Lab
from support.mail import mail_server, mail_sink

SEED = 20240917


@pytest.fixture
def lab(tmp_path: Path, db_url: str) -> Iterator[Lab]:
    """An experiment; the DAQ's copies go when a run is on deck."""
    made = Lab(tmp_path / "lab", db_url, remove="ondeck", lease="10s")
    made.build()
    yield made
    made.clean_up()


def refresh_if_dead(lab: Lab) -> subprocess.CompletedProcess[str]:
    """What cron does every few minutes."""
    environment = {**os.environ, "ONDECK_BIN": str(commands.shim(lab.programs))}
    words = ["/bin/sh", str(ROOT / "tools/refresh.sh"), "--config", str(lab.config), "--if-dead"]
    return subprocess.run(
        words, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(6, marks=pytest.mark.timeout(400)),
        pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_each_daemon_is_killed_at_random_moments_and_started_again(lab: Lab, kills: int) -> None:
    """Every run ends archived, every payload started once, no step is missing, nothing is left over."""
    chance = random.Random(SEED)
    victims = [name for _ in range(-(-kills // len(DAEMONS))) for name in chance.sample(DAEMONS, len(DAEMONS))][:kills]
    number = 0

    def write(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            lab.write_run(f"run{number}", number, chance.choice(["physics", "physics", "pedestal"]))

    with mail_server() as mails:
        lab.add(mail_sink(mails))
        lab.run("ondeck", "start", "--wait", "120")
        for round_, name in enumerate(victims):
            write(2)
            time.sleep(chance.uniform(0.0, 1.5))
            lab.kill(lab.pid(name))
            if round_ % 50 == len(DAEMONS) - 1:  # two at once, and the rest by cron's line
                other = chance.choice([one for one in DAEMONS if one != name])
                lab.kill(lab.pid(other), signal.SIGKILL)
                done = refresh_if_dead(lab)
                assert done.returncode == 0, done.stderr
            else:
                again = lab.run(name, "restart", "--if-dead", "--wait", "120")
                assert "had died" in again.stderr
                assert f"{name} started" in again.stdout
        names = list(lab.sums)
        lab.until_status(names, "archived", 120 + kills)
        until(lambda: not lab.query("SELECT 1 FROM outbox WHERE status <> 'sent'"), 60)
        assert len([s for s in mails.subjects() if "had died and was started again" in s]) >= kills
        pids = lab.pids()
        assert all(alive(pid) for pid in pids.values())
        lab.run("ondeck", "stop")
    lab.once("DiskMonitor", ONDECK_TEST_CLOCK_OFFSET="700")  # a removal that was put off comes ten minutes later
    assert not any(path.is_dir() for path in (lab.folder / "daq").iterdir()), "the DAQ's copies stay"
    lab.check_end()
    assert lab.leftovers() == []
    assert lab.daemons_alive() == []
