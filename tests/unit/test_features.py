"""tests/acceptance/features.toml answers for each number of the five systems that ondeck unites.

Numbers begin with FA (Fulliautomatix), TC (TrigT1CaloCAF), OS (OmegaScan_scheduler), SK (skymap_scanner) or SN
(offline_processing). Then comes nothing for what the system does, W for a weakness that ondeck must not have, P for
what was promised or wished for there, A for a scenario. `python tests/unit/test_features.py` prints how many are done.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEATURES = ROOT / "tests" / "acceptance" / "features.toml"

NUMBERS = """
FA 1-32   FA-W 1-12   FA-P 1-9    FA-A 1-13
TC 1-50   TC-W 1-15   TC-P 1-17   TC-A 1-13
OS 1-35   OS-W 1-11   OS-P 1-13   OS-A 1-12
SK 1-34   SK-W 1-12   SK-P 1-17   SK-A 1-13
SN 1-35   SN-W 1-7    SN-P 1-11   SN-A 1-10
"""

KEYS = {
    "done": {"what", "where", "tests"},  # where: the command, option or key; tests show it
    "to come": {"what", "to_come"},  # to_come: the part that brings it, and after a colon what is missing
    "why not": {"what", "why_not"},
}

PARTS = (
    "other machines over ssh",
    "every batch system",
    "sources, listeners, modules, gates",
    "campaigns (offline_processing)",
    "data to tape and back",
    "alerts",
    "sky scans",
    "the page for shift crews",
    "documentation and moving in",
)


def numbers() -> list[str]:
    """All of them, in order: FA-01 … FA-32, FA-W1 …"""
    found = []
    for prefix, first, last in re.findall(r"(\S+) +(\d+)-(\d+)", NUMBERS):
        for number in range(int(first), int(last) + 1):
            found.append(f"{prefix}{number}" if "-" in prefix else f"{prefix}-{number:02}")
    return found


def read() -> dict[str, Any]:
    """features.toml: number → entry."""
    return tomllib.loads(FEATURES.read_text())


def answer(entry: Any) -> str | None:
    """Which of the three answers an entry gives; None: none of them, several, or half of one."""
    if not isinstance(entry, dict):
        return None
    return next((name for name, keys in KEYS.items() if entry.keys() == keys), None)


def problems(features: Mapping[str, Any], known: list[str]) -> Iterator[str]:
    """A line for each thing that is wrong."""
    yield from (f"{number} is missing" for number in known if number not in features)
    yield from (f"{number} is no number" for number in features if number not in known)
    here = [number for number in features if number in known]
    if here != sorted(here, key=known.index):
        yield "the numbers stand in another order"
    for number, entry in features.items():
        if answer(entry) is None:
            keys = "; or ".join(", ".join(sorted(keys)) for keys in KEYS.values())
            yield f"{number} needs the keys {keys}"
            continue
        for key, value in entry.items():
            if key == "tests":
                yield from (f"{number}: {words}" for words in wrong_tests(value))
            elif not isinstance(value, str) or not value.strip():
                yield f"{number}: {key} says nothing"
            elif key == "to_come" and value.partition(":")[0] not in PARTS:
                yield f"{number}: there is no part {value.partition(':')[0]!r}"


def wrong_tests(tests: Any) -> Iterator[str]:
    """What is wrong with a list of test ids."""
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        yield "tests is a list of at least one test id"
        return
    yield from (f"there is no test {test}" for test in tests if not exists(test))
    yield from (f"{test} stands twice" for test, times in Counter(tests).items() if times > 1)


def exists(test: str) -> bool:
    """Whether there is a test of the id PATH::NAME or PATH::CLASS::NAME, with or without [parameters]."""
    path, _, name = test.partition("::")
    return path.startswith("tests/") and ".." not in path and name.partition("[")[0] in names_in(path)


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """The tests in a file, as their ids name them."""
    file = ROOT / path
    if not file.is_file() or not re.fullmatch(r"test_\w+\.py", file.name):
        return frozenset()
    tree = ast.parse(file.read_text())
    found = set(_tests_below(tree.body))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found |= {f"{node.name}::{name}" for name in _tests_below(node.body)}
    return frozenset(found)


def _tests_below(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name


def test_there_are_310_numbers_and_61_scenarios() -> None:
    known = numbers()
    assert len(known) == len(set(known)) == 310 + 61
    assert sum("-A" in number for number in known) == 61
    assert {"FA-01", "TC-W15", "OS-P13", "SK-A13", "SN-35"} <= set(known)


def test_each_number_has_its_answer() -> None:
    found = list(problems(read(), numbers()))
    assert found == []


ME = f"tests/unit/{Path(__file__).name}::test_each_number_has_its_answer"
DONE = {"what": "w", "where": "x", "tests": [ME]}
LATER = {"what": "w", "to_come": f"{PARTS[0]}: all of it"}
NOT = {"what": "w", "why_not": "it is retired"}


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"FA-01": DONE}, "FA-02 is missing"),
        ({"FA-01": DONE, "FA-02": NOT, "FA-03": NOT}, "FA-03 is no number"),
        ({"FA-02": DONE, "FA-01": NOT}, "another order"),
        ({"FA-01": {"what": "w"}, "FA-02": NOT}, "FA-01 needs the keys"),
        ({"FA-01": LATER | NOT, "FA-02": NOT}, "FA-01 needs the keys"),
        ({"FA-01": DONE | LATER, "FA-02": NOT}, "FA-01 needs the keys"),
        ({"FA-01": {"what": "w", "where": "x"}, "FA-02": NOT}, "FA-01 needs the keys"),
        ({"FA-01": "done", "FA-02": NOT}, "FA-01 needs the keys"),
        ({"FA-01": NOT | {"what": " "}, "FA-02": NOT}, "FA-01: what says nothing"),
        ({"FA-01": LATER | {"to_come": "some day"}, "FA-02": NOT}, "no part 'some day'"),
        ({"FA-01": DONE | {"tests": []}, "FA-02": NOT}, "at least one"),
        ({"FA-01": DONE | {"tests": ME}, "FA-02": NOT}, "at least one"),
        ({"FA-01": DONE | {"tests": [ME, ME]}, "FA-02": NOT}, "stands twice"),
        ({"FA-01": DONE | {"tests": [f"{ME}s"]}, "FA-02": NOT}, "there is no test"),
        ({"FA-01": DONE | {"tests": ["tests/unit/test_none.py::test_x"]}, "FA-02": NOT}, "there is no test"),
        ({"FA-01": DONE | {"tests": [ME.partition("::")[0]]}, "FA-02": NOT}, "there is no test"),
        ({"FA-01": DONE | {"tests": ["tests/conftest.py::test_x"]}, "FA-02": NOT}, "there is no test"),
    ],
)
def test_what_is_wrong_is_said(features: dict[str, Any], words: str) -> None:
    (said,) = problems(features, ["FA-01", "FA-02"])
    assert words in said


def test_what_is_right_is_not_complained_about() -> None:
    features = {"FA-01": DONE | {"tests": [f"{ME}[a-b]"]}, "FA-02": LATER}
    assert list(problems(features, ["FA-01", "FA-02"])) == []


def summary(features: Mapping[str, Any]) -> str:
    """A table of the answers by system, and what each part is to bring."""
    counts: Counter[tuple[str, str | None]] = Counter()
    parts: Counter[str] = Counter()
    for number, entry in features.items():
        counts[number[:2], answer(entry)] += 1
        if answer(entry) == "to come":
            parts[entry["to_come"].partition(":")[0]] += 1
    systems = list(dict.fromkeys(number[:2] for number in features))
    lines = ["".join(f"{word:>9}" for word in ("", *KEYS))]
    for name, members in [*((system, [system]) for system in systems), ("all", systems)]:
        lines.append(f"{name:>9}" + "".join(f"{sum(counts[one, key] for one in members):>9}" for key in KEYS))
    lines += ["", "to come with", *(f"{parts[part]:>9}  {part}" for part in PARTS if parts[part])]
    return "\n".join(lines)


def test_the_summary_counts() -> None:
    lines = summary({"FA-01": DONE, "FA-W1": LATER, "TC-01": NOT, "TC-02": DONE}).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["FA", "1", "1", "0"],
        ["TC", "1", "0", "1"],
        ["all", "2", "1", "1"],
    ]
    assert lines[-1].split(maxsplit=1) == ["1", PARTS[0]]


if __name__ == "__main__":
    print(summary(read()))
