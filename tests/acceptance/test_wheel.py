"""ondeck as users have it: a wheel of a checkout of another name, installed, and used from another folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.house import lines, setup_cfg

pytestmark = pytest.mark.xdist_group("wheel")

SCRIPTS = [
    line.partition("=")[0].strip() for line in lines(setup_cfg()["options.entry_points"]["console_scripts"])
]


class Installed:
    """A virtual environment with the wheel; ondeck's dependencies are seen from this one."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.venv = folder / "venv"
        self.home = folder / "home"
        self.home.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.venv], check=True)
        (self.site,) = self.venv.glob("lib/python*/site-packages")
        # What a .pth adds comes after site-packages itself, and .pth files there are not read: an editable
        # ondeck of this environment stays out of sight.
        (self.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--python",
            self.venv,
            "install",
            "--no-deps",
            "--no-index",
        ]
        subprocess.run([*pip, wheel], check=True)

    def run(self, name: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, or else of the machine, as somebody who has just logged in."""
        ours = self.venv / "bin" / name
        return subprocess.run(
            [ours if ours.exists() else name, *args],
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    """The wheel, installed."""
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_it_is_the_installed_package_that_is_imported(installed: Installed) -> None:
    done = installed.run("python", "-c", "import ondeck; print(ondeck.__file__)")
    assert Path(done.stdout.strip()) == installed.site / "ondeck/__init__.py", done.stderr


def test_migrations_are_found_when_installed(installed: Installed) -> None:
    code = "from ondeck.db.schema import create; create('sqlite:///made.db')"
    done = installed.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert (installed.home / "made.db").stat().st_size > 0


def test_shell_files_are_found_when_installed(installed: Installed) -> None:
    done = installed.run("sh", str(installed.site / "ondeck/tools/refresh.sh"), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: refresh.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_console_script_explains_itself(installed: Installed, name: str) -> None:
    done = installed.run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert name in done.stdout
    assert done.stderr == ""
