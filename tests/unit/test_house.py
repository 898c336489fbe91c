"""The house: what is in the package, what the tools say of it, what the checkout may hold."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.house import ROOT, lines, own_files, pyproject, setup_cfg

pytestmark = pytest.mark.xdist_group("wheel")

NOT_PACKAGES = {"tests", "docs", "examples", "benchmarks"}

SCRIPTS = {
    "ondeck",
    "listdb",
    "ResetJob",
    "HoldJob",
    "StartJob",
    "builddb",
    "alterdb",
    "RunsProvider",
    "Transfer",
    "JobOrganizer",
    "Process",
    "DiskMonitor",
    "Messenger",
}


def inside_package(path: Path) -> bool:
    """True if the relative path belongs into the wheel, or would if somebody had listed its folder."""
    return path.parts[0] not in NOT_PACKAGES and not path.parts[0].startswith(".")


def package_of(path: Path) -> str:
    return ".".join(("ondeck", *path.parent.parts))


def data_files() -> set[Path]:
    """Files of the package that are no modules, by the kinds that belong there."""
    ours = filter(inside_package, own_files())
    return {
        path
        for path in ours
        if path.parts[0] == "templates"
        or path.name in ("py.typed", "acrontab.txt", "script.py.mako")
        or (path.parts[0] == "tools" and path.suffix == ".sh")
    }


def modules() -> set[Path]:
    return {path for path in own_files() if path.suffix == ".py" and inside_package(path)}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a tool; its words if it complains are the assertion's."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def test_every_folder_with_modules_is_a_listed_package() -> None:
    listed = lines(setup_cfg()["options"]["packages"])
    assert len(listed) == len(set(listed))
    assert set(listed) == {package_of(path) for path in modules() if path.parts[0] != "templates"}
    for package in listed:
        assert (ROOT / Path(*package.split(".")[1:]) / "__init__.py").is_file(), package


def test_the_only_modules_at_the_root_are_the_packages_own() -> None:
    assert {path.name for path in modules() if len(path.parts) == 1} == {"__init__.py", "__main__.py"}


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {Path(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {Path("ondeck") / path for path in modules() | data_files()}
    assert Path("ondeck/migrations/versions/0001_run_database.py") in held
    assert any(path.parts[:3] == ("ondeck", "templates", "sh") for path in held)


def test_wheel_carries_the_licence_and_says_which(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        assert any(name.endswith("LICENSE") for name in archive.namelist())
    assert re.search(r"^License-Expression: BSD-3-Clause$", text, re.MULTILINE)
    assert {"gw", "sky", "web", "dev", "all"} <= set(
        re.findall(r"^Provides-Extra: (.*)$", text, re.MULTILINE)
    )


def entry_points() -> dict[str, dict[str, str]]:
    section = setup_cfg()["options.entry_points"]
    return {
        group: {
            name.strip(): target.strip() for name, _, target in (line.partition("=") for line in lines(value))
        }
        for group, value in section.items()
    }


def test_every_console_script_is_there() -> None:
    assert set(entry_points()["console_scripts"]) == SCRIPTS


@pytest.mark.parametrize(
    ("group", "name", "target"),
    [(group, name, target) for group, points in entry_points().items() for name, target in points.items()],
)
def test_entry_point_leads_somewhere(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute)), f"{group}: {name}"


def test_pins_name_every_requirement() -> None:
    def normal(requirement: str) -> str:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name, requirement
        return re.sub(r"[-_.]+", "-", name.group()).lower()

    pinned = {}
    for line in (ROOT / "tests/constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line), line
            pinned[normal(line)] = line
    config = setup_cfg()
    wanted = lines(config["options"]["install_requires"])
    for value in config["options.extras_require"].values():
        wanted += [line for line in lines(value) if not line.startswith("ondeck[")]
    assert {normal(requirement) for requirement in wanted} <= set(pinned)


def test_ruff_is_content() -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.timeout(600)
def test_mypy_is_content() -> None:
    settings = pyproject()["tool"]["mypy"]
    assert settings["strict"]
    assert settings["packages"] == ["ondeck"]
    run(sys.executable, "-m", "mypy", "--cache-dir", os.environ.get("MYPY_CACHE_DIR", ".mypy_cache"))


def test_imports_go_from_the_ground_up() -> None:
    said = run(tool("lint-imports"), "--no-cache")
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in said


# Written so that they don't find themselves.
ELSEWHERE = (
    r"\bA[I]\b",
    r"\bLL[M]s?\b",
    r"(?i)\bassistan[t]s?\b",
    r"(?i)prompt[ ]engineering",
    r"(?i)language[ ]model",
    r"(?i)\bchatgp[t]\b",
    r"(?i)\bclaud[e]\b",
    r"(?i)\bcopilo[t]\b",
    r"(?i)\banthropi[c]\b",
    r"(?i)\bopena[i]\b",
    r"/work[/](main|notes|shared|\.library)",
    r"/root[/]\.",
    r"/tmp[/]v1\b",
    r"/opt[/](wheels|pypi)",
    r"pypi[.]org",
    r"python[h]osted",
    r"\bdesign[.]md\b",
    r"\bcontract[.]md\b",
)


def test_the_project_speaks_of_itself_alone() -> None:
    found = []
    for path in own_files():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue  # pictures and data
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{path}:{number}: {line.strip()}" for word in ELSEWHERE if re.search(word, line)]
    assert found == []


def test_make_lists_its_targets() -> None:
    said = run("make", "--no-print-directory")
    for target in ("venv", "test", "demo", "soak", "bench", "lint", "wheel", "diagrams", "clean"):
        assert re.search(rf"^make {target} +\S", said, re.MULTILINE), target


@pytest.mark.parametrize("name", ["", "no-such-benchmark", "../Makefile"])
def test_make_bench_without_a_benchmarks_name_lists_them(name: str) -> None:
    done = subprocess.run(
        ["make", "bench", f"NAME={name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert path.stem in done.stderr
    assert "NAME=" in done.stderr


@pytest.mark.parametrize(
    ("code", "closing"), [(0, "2 passed in 0.11s"), (1, "1 failed, 1 passed in 71.20s (0:01:11)")]
)
def test_ci_run_ends_as_pytest_does(tmp_path: Path, code: int, closing: str) -> None:
    """Its last line is pytest's closing line, even if make has the last word; the exit code is pytest's."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text((ROOT / ".ci/run").read_text())
    line = f"======= {closing} ======="
    (tmp_path / "Makefile").write_text(
        f"test:\n\t@echo '= a line ='; echo '{line}'; echo {code} >.reports/pytest.rc; exit {code}\n"
    )
    done = subprocess.run(["bash", tmp_path / ".ci/run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, line)


def test_ci_run_fails_where_pytest_does_not_come_to_run(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text((ROOT / ".ci/run").read_text())
    (tmp_path / "Makefile").write_text("test:\n\t@echo no environment; exit 3\n")
    done = subprocess.run(["bash", tmp_path / ".ci/run"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "pytest did not run: see above"
