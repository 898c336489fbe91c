"""The documentation: what is made from the code is up to date, and what is named in the rest exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from support.house import ROOT

import ondeck
from ondeck.config import load
from ondeck.config.read import read
from ondeck.config.write import text as written_by_init
from ondeck.db.states import STATUSES
from ondeck.tools.cli import ondeck as ondeck_command
from ondeck.tools.daemon import daemon

DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")})
PROGRAMS = {
    "listdb": ("listdb",), "builddb": ("builddb",), "alterdb": ("alterdb",), "ResetJob": ("job", "reset"),
    "HoldJob": ("job", "hold"), "StartJob": ("job", "start"),
    **{name: ("daemon", name) for name in daemon.list_commands(click.Context(daemon))},
}  # fmt: skip


def of_repository(path: Path) -> str:
    return str(path.relative_to(ROOT))


def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("make_reference", module)
    spec.loader.exec_module(module)
    return module


def blocks(path: Path) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: (language, text)."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S):
        yield match[1], match[2]


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


# ---- what is made from the code ----


@pytest.mark.parametrize("path", make_reference().pages(), ids=of_repository)
def test_made_from_the_code_and_up_to_date(path: Path) -> None:
    assert path.is_file(), "type `python docs/make_reference.py`"
    assert path.read_text(encoding="utf-8") == make_reference().pages()[path], "type `python docs/make_reference.py`"


@pytest.mark.parametrize("table", STATUSES)
def test_each_picture_shows_each_status(table: str) -> None:
    picture = (DOCS / "pictures" / f"{table}.svg").read_text(encoding="utf-8")
    assert {status for status in STATUSES[table] if f">{status}</text>" not in picture} == set(), "type `make diagrams`"


def test_each_gate_is_described() -> None:
    code = (ROOT / "rules" / "gates.py").read_text(encoding="utf-8")
    gates = set(re.findall(r'Closed\(\s*"(\w+)"', code))
    described = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "reference" / "gates.md").read_text(encoding="utf-8"), re.M))
    assert len(gates) > 3
    assert described == gates


def test_the_changelog_knows_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] == "Unreleased"
    assert ondeck.__version__ in versions


# ---- configurations ----


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("ondeck.toml")), ids=of_repository)
def test_each_example_is_a_good_configuration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONDECK_CONFIG", raising=False)
    assert load(path).listeners


PARTS = [
    pytest.param(text, id=f"{of_repository(path)}-{number}")
    for path in PAGES
    for number, (language, text) in enumerate(blocks(path))
    if language == "toml"
]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_a_configuration_fits_into_the_one_of_init(part: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "histograms.sh").touch()
    secret = tmp_path / "database.url"
    secret.touch(mode=0o600)
    secret.write_text("postgresql://ondeck@db.example.org/ondeck\n")
    document: dict[str, Any] = tomllib.loads(written_by_init(tmp_path))
    for key, value in tomllib.loads(part).items():
        named = key in ("sites", "storages", "sources", "listeners", "modules", "sinks")
        document[key] = {**document.get(key, {}), **value} if named else value
    read(document, tmp_path / "ondeck.toml", None)


# ---- links ----


def anchors(path: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=of_repository)
def test_each_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


# ---- commands ----


def command_lines(page: Path) -> Iterator[str]:
    """Command lines in a page: code spans, indented lines, lines of blocks (after the prompt where there is one)."""
    text = prose(page)
    yield from re.findall(r"`([^`\n]+)`", text)
    lines = re.findall(r"^ {4}(.+)$", text, re.M)
    for language, block in blocks(page):
        prompted = re.findall(r"^\$ (.+)$", block, re.M)
        lines += prompted if language in ("text", "sh", "") else []
    for line in lines:
        yield from re.split(r"&&|\|(?= )|;|\$\(|[()]", re.sub(r"(^|\s)#.*", "", line))


def words_of(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:  # an apostrophe in a text that is no command
        return []
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    return words


def command_of(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that a line calls, and its arguments; None if it calls none of ours. Fails if there is none such."""
    if not words or (words[0] != "ondeck" and words[0] not in PROGRAMS):
        return None
    rest = [*PROGRAMS.get(words[0], ()), *words[1:]]
    if rest[:1] == ["--config"]:
        rest = rest[2:]
    command: click.Command = ondeck_command
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-") and rest[0] not in ("…", "NAME"):
        below = command.get_command(click.Context(command), rest[0])
        if below is None:
            if command.name == "daemon" and rest[0].isupper():
                break
            if command.name != "ondeck" and command.invoke_without_command:
                break
            pytest.fail(f"there is no command {' '.join(words)!r}: {command.name} has no {rest[0]!r}")
        command, rest = below, rest[1:]
    return command, rest


OURS = re.compile(rf"\s*(\w+=\S+ +)?(ondeck|{'|'.join(PROGRAMS)}) +\S")
CALLS = list(dict.fromkeys((page, line.strip()) for page in PAGES for line in command_lines(page) if OURS.match(line)))


def test_commands_are_found_in_the_pages() -> None:
    assert len(CALLS) > 60


@pytest.mark.parametrize(
    ("page", "line"), [pytest.param(*call, id=f"{of_repository(call[0])}: {call[1]}") for call in CALLS]
)
def test_each_command_exists_with_its_options(page: Path, line: str) -> None:
    first, *others = [words_of(part) for part in line.split("|")]
    for other in others:  # `ondeck run reset | cancel`: each instead of the last word
        if other and not other[0].startswith("-"):
            assert command_of([*first[:-1], *other]) is not None
    found = command_of(first)
    assert found is not None
    command, arguments = found
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    given = {word.partition("=")[0] for word in arguments if word.startswith("--") and word != "--"}
    assert given - known == set(), f"{of_repository(page)}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=of_repository)
def test_each_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    spans = [
        *re.findall(r"`make ([^`\n]+)`", prose(page)),
        *re.findall(r"^ {4}make ((?:[a-z]+ )*[a-z]+)", prose(page), re.M),
    ]
    named = {word for span in spans for word in span.split() if re.fullmatch(r"[a-z]+", word)}
    assert named - targets == set()
