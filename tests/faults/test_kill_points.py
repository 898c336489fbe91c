"""kill -9 at every step of the local road that touches the outside.

Which steps there are comes from the legal-steps table: each step of a daemon is either on the road and must be hit
before and after its commit, or is named below with the reason why the road has it not. Which commands go out to the
sites is seen by letting runs flow once without a kill.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.experiment import Experiment
from support.soak import SOAK

from ondeck.db.states import LEGAL_STEPS

FLOW = Path(__file__).parents[1] / "support" / "flow.py"

OFF_THE_ROAD = {
    "runs acquired>ondeck": "data that already lie at the site",
    "runs transferring>acquired": "a try that failed",
    "runs processing>failed": "a job that failed",
    "runs processing>cancelled": "a person's wish",
    "runs acquired>failed": "trouble",
    "runs transferring>failed": "trouble",
    "runs ondeck>failed": "trouble",
    "jobs new>blocked": "a gate that closes between two looks",
    "jobs blocked>cancelled": "a gate whose time is over",
    "jobs submitting>running": "seen running before its batch id was stored",
    "jobs submitting>done": "ended before its batch id was stored: after a kill",
    "jobs submitting>new": "revoked: after a kill",
    "jobs waiting>done": "a job that may still run",
    "jobs pending>done": "a payload that ends between two questions",
    "copies writing>absent": "a write that failed",
    "copies verified>suspect": "damage",
    "copies suspect>verified": "damage",
    "copies suspect>writing": "damage",
    "copies deleting>suspect": "damage",
    "bundles writing>open": "a write that failed",
    "bundles written>open": "damage",
}
"""Steps of daemons that runs don't take as long as nothing goes wrong."""

NOT_THE_FIVE = {"inbox", "outbox"}


def road() -> set[str]:
    """The steps that must be hit, from the legal-steps table."""
    found = set()
    for table, steps in LEGAL_STEPS.items():
        for step in steps:
            name = f"{table} {step.source}>{step.to}"
            by_daemon = any(who != "verb" for who in step.who)
            to_trouble = step.to in ("failed", "cancelled", "waiting") or (
                step.to == "new" and step.source != "blocked"
            )
            if (
                by_daemon
                and table not in NOT_THE_FIVE
                and name not in OFF_THE_ROAD
                and not (table == "jobs" and to_trouble)
            ):
                found.add(name)
    return found


def points_of_steps() -> set[str]:
    """Before and after the commit of each step of the road."""
    return {f"{step} {when}" for step in road() for when in ("before", "after")}


def flow(experiment: Experiment, hits: Path, points: set[str], seconds: float = 1.5) -> int:
    """Let the daemons work until nothing moves, or until they are killed at one of `points`; their exit code."""
    argv = [sys.executable, str(FLOW), str(experiment.config), str(seconds), str(hits), *sorted(points)]
    done = subprocess.run(argv, capture_output=True, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()[-3000:]
    return done.returncode


def made(folder: Path, url: str) -> Experiment:
    """A fresh experiment with its run database and storages."""
    experiment = Experiment(folder, url, seconds=1.5)
    subprocess.run(
        [sys.executable, "-c", "from ondeck.tools.builddb import main; main()", "--config", str(experiment.config)],
        check=True,
        capture_output=True,
    )
    return experiment


def test_the_road_is_the_table() -> None:
    """Each step that is named as off the road exists; the road is what is left."""
    known = {f"{table} {s.source}>{s.to}" for table, steps in LEGAL_STEPS.items() for s in steps}
    assert set(OFF_THE_ROAD) <= known
    assert "runs acquired>transferring" in road()
    assert "copies verified>deleting" in road()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The points around commands on sites, as one undisturbed flow passes them; it also must end well."""
    folder = tmp_path_factory.mktemp("undisturbed")
    experiment = made(folder / "lab", f"sqlite:///{folder}/lab.db")
    for number in range(1, 4):
        experiment.write_run(f"run{number}", number, "pedestal" if number == 2 else "physics")
    hits = folder / "hits"
    assert flow(experiment, hits, set()) == 0
    experiment.check_end()
    passed = set(hits.read_text().splitlines())
    assert points_of_steps() <= passed, f"the undisturbed flow does not pass {points_of_steps() - passed}"
    return {point for point in passed if ">" not in point}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("half", [0, 1] if not SOAK else [None])
def test_kill_at_every_point(
    request: pytest.FixtureRequest, tmp_path: Path, commands: set[str], half: int | None, db_url: str
) -> None:
    """Every run ends archived, every payload started once, no step is missing in the history, whatever was killed."""
    everything = sorted(points_of_steps() | commands)
    sqlite = db_url.startswith("sqlite")
    if half is None:
        wanted = set(everything)
    elif (half == 0) == sqlite:
        wanted = set(everything[half::2])
    else:
        pytest.skip("this half of the points is hit on the other database (make soak: all on both)")
    experiment = made(tmp_path / "lab", db_url)
    hits = tmp_path / "hits"
    hits.touch()
    left = set(wanted)
    for number in itertools.count(1):
        experiment.write_run(f"run{number}", number, "pedestal" if number % 3 == 0 else "physics")
        while flow(experiment, hits, left) == -signal.SIGKILL:
            left = wanted - set(hits.read_text().splitlines())
            if not left:
                break
        if not left:
            break
        assert number < 40, f"never hit: {sorted(left)}"
    assert flow(experiment, tmp_path / "last", set(), 3.0) == 0
    experiment.check_end()
    assert experiment.leftovers() == []
    assert set(hits.read_text().splitlines()) == wanted
