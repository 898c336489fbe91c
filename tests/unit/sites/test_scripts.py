import itertools
import re
import shutil
import subprocess
from importlib import resources

import pytest

from ondeck.sites.scripts import Script, text
from ondeck.sites.transport import LocalTransport

FOLDER = resources.files("ondeck") / "templates" / "sh"
NAMES = sorted(item.name for item in FOLDER.iterdir() if item.name.endswith(".sh"))


def test_there_are_scripts() -> None:
    assert {"enter.sh", "put.sh", "get.sh", "storage-manifest.sh"} <= set(NAMES)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_sh_and_says_what_it_does(name: str, shell: str) -> None:
    whole = (FOLDER / name).read_text("utf-8")
    head = list(itertools.takewhile(lambda line: line.startswith("#"), whole.splitlines()))
    assert head, "a comment at the beginning says what it does"
    if name.startswith("storage-"):
        for word in ("Arguments:", "Output:", "Exit codes:"):
            assert word in " ".join(head)
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    words = [shell, "-n"]
    done = subprocess.run(words, input=whole, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_comment_is_not_sent() -> None:
    assert not text("storage-check").startswith("#")
    assert text("storage-check").startswith("enter ")


def test_arguments_and_input_are_never_part_of_the_text() -> None:
    command = Script("get").command("/x; touch /tmp/pwned", "5", input=b"$(data)", name="get it")
    assert command.argv[:2] == ("sh", "-c")
    assert "pwned" not in command.argv[2]
    assert command.argv[3:] == ("ondeck-get", "/x; touch /tmp/pwned", "5")
    assert (command.input, command.title) == (b"$(data)", "get it")


def test_parts_stand_before() -> None:
    script = Script("storage-check", "enter")
    assert script.text == text("enter") + text("storage-check")
    assert re.search(r"^enter\(\) ", script.text, re.MULTILINE)
    result = LocalTransport("here").run(script.command("/", ""), timeout=10)
    assert (result.code, result.out, result.err) == (0, b"", b"")


def test_an_unknown_script() -> None:
    with pytest.raises(FileNotFoundError):
        Script("nonsense")
