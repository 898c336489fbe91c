"""acrontab.txt, as a file and filled in (TC-07, TC-P12)."""

from __future__ import annotations

import re
import shlex
import subprocess

from support.house import ROOT
from support.refresh import BARE, DAEMONS, NODE, Refresh

ACRONTAB = ROOT / "acrontab.txt"


def entries() -> list[str]:
    return [line for line in ACRONTAB.read_text().splitlines() if not line.startswith("#")]


def test_acrontab_has_no_empty_line() -> None:
    """An empty line may be taken as "no jobs at all"."""
    assert all(line.strip() for line in ACRONTAB.read_text().splitlines())
    assert ACRONTAB.read_text().endswith("\n")


def test_acrontab_restarts_twice_a_day_and_looks_every_quarter_of_an_hour() -> None:
    restart, check = (line.split(maxsplit=6) for line in entries())
    assert restart[:6] == ["0", "0,12", "*", "*", "*", "NODE"]
    assert check[:6] == ["5,20,35,50", "*", "*", "*", "*", "NODE"]
    assert "--if-dead" not in restart[6]
    assert "--if-dead" in check[6]
    for command in (restart[6], check[6]):
        assert "--config 'CONFIG'" in command
        assert "'REFRESH'" in command


def test_acrontab_filled_in_as_it_says_works_under_cron(refresh: Refresh) -> None:
    """The sed of its own first lines, with the node named once."""
    config = refresh.folder / "my ondeck.toml"
    config.touch()
    text = ACRONTAB.read_text()
    recipe = re.search(r"^# +(sed .*?) acrontab\.txt \| acrontab$", text, re.MULTILINE | re.DOTALL)
    assert recipe
    sed = shlex.split(recipe[1].replace("\\\n#", " "))
    assert sum("NODE" in word for word in sed) == 1
    substitutions = {"NODE": NODE, "CONFIG": str(config), "REFRESH": str(refresh.script)}
    words = [
        re.sub(r"^s\|(\w+)\|.*\|g$", lambda m: f"s|{m[1]}|{substitutions[m[1]]}|g", word) for word in sed
    ]
    filled = subprocess.run([*words, ACRONTAB], capture_output=True, text=True, check=True).stdout
    lines = [line for line in filled.splitlines() if not line.startswith("#")]
    for times, line in enumerate(lines, 1):
        *_, node, command = line.split(maxsplit=6)
        assert node == NODE
        environment = {**BARE, "HOME": str(refresh.folder), "ONDECK_BIN": str(refresh.bin / "ondeck")}
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=refresh.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(refresh.calls) == times * len(DAEMONS)
    assert {config for _, config, _ in refresh.calls} == {str(config)}
