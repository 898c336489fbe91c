from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ondeck.config import Config, ConfigError, find, load, loads
from ondeck.config.problems import ConfigNotFound, ConfigSyntax, ConfigUnreadable

from .conftest import GOOD


def test_it_is_found_by_argument_then_variable_then_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    (home / ".config" / "ondeck").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    monkeypatch.delenv("ONDECK_CONFIG", raising=False)
    (home / ".config" / "ondeck" / "ondeck.toml").write_text('name = "home"')
    assert load().name == "home"
    (here / "ondeck.toml").write_text('name = "here"')
    assert load().name == "here"
    (here / "other.toml").write_text('name = "other"')
    monkeypatch.setenv("ONDECK_CONFIG", "other.toml")
    assert load().name == "other"
    (here / "third.toml").write_text('name = "third"')
    config = load(Path("third.toml"))
    assert config.name == "third"
    assert config.path == here / "third.toml"
    assert config.folder == here
    assert load("third.toml") == config
    assert find("~/x") == home / "x"


def test_none_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ONDECK_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    if Path("/etc/ondeck/ondeck.toml").exists():
        pytest.skip("this machine has a configuration")
    with pytest.raises(ConfigNotFound) as caught:
        load()
    assert str(caught.value) == (
        f"No ondeck.toml found. Looked at: {tmp_path}/ondeck.toml, "
        f"{tmp_path}/home/.config/ondeck/ondeck.toml, "
        "/etc/ondeck/ondeck.toml. Type `ondeck init` to write one into this folder, or name yours with "
        "--config FILE or $ONDECK_CONFIG."
    )


def test_a_named_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ondeck.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONDECK_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(
        ConfigUnreadable, match=r"gone.toml: can't be read: No such file or directory; name a readable"
    ):
        load()
    with pytest.raises(ConfigUnreadable, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a = 1\nb = \n", 2, "Invalid value"),
        ("a = 1\n\na = 2\n", 3, "overwrite"),
        ("[x\n", 1, ""),
        ('a = "x\n', 1, ""),
        ('a = 1\nb = """x\n', 3, "at the end of the file"),
        ("a = 2020-13-01\n", 1, ""),
        ("x = " + "[" * 100_000, 1, "nested too deeply"),
        ("\nx = " + "9" * 5000, 2, "thousands of digits"),
        (".".join("a" * 5000) + " = 1", 1, "more than 50 deep"),
        ("a = 1\0", 1, ""),
        ("\\", 1, ""),
    ],
)
def test_what_is_not_toml(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigSyntax) as caught:
        loads(text, Path("/x/ondeck.toml"))
    assert str(caught.value).startswith(f"/x/ondeck.toml: line {line}: this is not TOML: ")
    assert why in str(caught.value)


def test_other_encodings(tmp_path: Path) -> None:
    file = tmp_path / "ondeck.toml"
    file.write_bytes(b'\xef\xbb\xbfname = "bom"\r\n')
    assert load(file).name == "bom"
    file.write_bytes('# ok\nname = "ä"'.encode("latin-1"))
    with pytest.raises(ConfigSyntax, match=r"line 2: this is not TOML: the file is not a text in UTF-8"):
        load(file)
    file.write_bytes(b"#" * (64 * 1024**2 + 1))
    with pytest.raises(ConfigUnreadable, match="larger than 64 MiB"):
        load(file)


def test_a_pipe_will_do(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('name = "piped"',))
    writer.start()
    assert load(pipe).name == "piped"
    writer.join()


def test_paths_are_absolute(make: Callable[[str], Config], folder: Path) -> None:
    config = make(GOOD)
    assert config.state_dir == folder / "state"
    assert config.storages["disk"].path == folder / "raw"
    assert config.sites["here"].work == folder / "work"
    assert config.database.url.get_secret_value() == f"sqlite:///{folder}/ondeck.db"
    assert config.database.shown_url == f"sqlite:///{folder}/ondeck.db"
    assert config.template("sums.sh") == folder / "templates" / "sums.sh"
    assert config.template("gone.sh") is None
    assert make('[database]\nurl = "sqlite:////abs/x.db"').database.shown_url == "sqlite:////abs/x.db"


def test_an_empty_file_is_enough_for_the_database(make: Callable[[str], Config], folder: Path) -> None:
    config = make("")
    assert (config.name, config.umask, config.group) == ("ondeck", 0o027, "")
    assert config.database.shown_url == f"sqlite:///{folder}/ondeck.db"
    assert config.listeners == {}


def test_entries_know_their_names(make: Callable[[str], Config]) -> None:
    config = make(GOOD)
    for section in ("sites", "storages", "sources", "listeners", "modules", "sinks"):
        entries = getattr(config, section)
        assert {name: one.name for name, one in entries.items()} == {name: name for name in entries}


def test_it_is_frozen(make: Callable[[str], Config]) -> None:
    config = make(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"
    with pytest.raises(ValueError, match="frozen"):
        config.storages["disk"].high = 3.0


def test_all_problems_come_at_once(wrong: Callable[[str], str]) -> None:
    text = GOOD.replace('path = "raw"', 'path = "daq"').replace('modules = ["sums"]', 'modules = ["nope"]')
    text = text.replace('name = "test"', 'name = "T"\nunknown = 1').replace("sums.sh", "gone.sh")
    lines = wrong(text).splitlines()
    assert [line.split("]")[0] + "]" for line in lines] == [
        "[name]", "[unknown]", "[storages.disk.path]", "[modules.sums.template]", "[listeners.all.modules]",
    ]  # fmt: skip


def test_the_error_holds_them_as_objects(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loads("umask = 3\nname = 4", folder / "ondeck.toml")
    assert [problem.keys for problem in caught.value.problems] == [("name",), ("umask",)]  # type: ignore[attr-defined]


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.delenv("ONDECK_CONFIG", raising=False)
    gone.rmdir()
    for path in (None, "relative.toml"):
        with pytest.raises(ConfigUnreadable, match="the current folder is gone"):
            load(path)


def test_names_that_no_disk_can_hold(make: Callable[[str], Config], folder: Path) -> None:
    assert make("").template("ü" * 200) is None
    with pytest.raises(ConfigError, match="there is no template of this name"):
        make(GOOD.replace("sums.sh", "ü" * 200))
    with pytest.raises(ConfigUnreadable, match="File name too long"):
        load(folder / ("x" * 300))


def test_a_problem_does_not_show_its_value_by_accident(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loads('[database]\npassword = "geheim77"', folder / "ondeck.toml")
    assert "geheim77" not in repr(caught.value.problems) + repr(caught.value)  # type: ignore[attr-defined]
