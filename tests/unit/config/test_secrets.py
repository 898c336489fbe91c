from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.config import Config, ConfigError, load
from ondeck.config.dump import effective, fingerprint, to_toml
from ondeck.config.schema import schema
from ondeck.config.secrets import is_secret, mask_url

from .conftest import GOOD

SECRET = "geheim77"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:geheim77@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:ge@he:im77@h/db", "postgresql://u:***@h/db"),
        ("postgresql:/u:geheim77@h/db", "postgresql:/u:***@h/db"),
        ("postgresql://u:geheim77", "postgresql://u:***"),
        ("u:geheim77@h", "u:***@h"),
        ("postgresql://h:5432/db", "postgresql://h:5432/db"),
        ("postgresql://h:5432", "postgresql://h:5432"),
        ("postgresql:///db?password=geheim77&user=u", "postgresql:///db?password=***&user=u"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("plain text", "plain text"),
        ("shift@example.org", "shift@example.org"),
    ],
)
def test_masking(text: str, masked: str) -> None:
    assert mask_url(text) == masked


@given(st.text("abc:@/?&= %\n", min_size=1))
def test_no_password_of_an_address_survives(password: str) -> None:
    marked = f"Q{password}Q"
    assert marked not in mask_url(f"postgresql://user:{marked}@host/db")
    assert "Q" not in mask_url(f"postgresql://user:{marked}@host/db")


def test_which_keys_hold_secrets() -> None:
    keys = (
        "password",
        "smtp_password",
        "PASSWD",
        "api_token",
        "secret",
        "key",
        "access_key",
        "pw",
        "db_pass",
    )
    assert [key for key in keys if not is_secret(key)] == []
    assert [
        key
        for key in ("password_env", "password_file", "path", "keys", "passes", "host", "monkey")
        if is_secret(key)
    ] == []


def nowhere(config: Config) -> None:
    texts = (
        repr(config),
        str(config),
        to_toml(effective(config)),
        config.model_dump_json(),
        str(config.database),
    )
    assert [text for text in texts if SECRET in text] == []


def test_the_url_from_a_variable(make: Callable[[str], Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNDB", f"postgresql://u:{SECRET}@h/db")
    config = make('[database]\nurl_env = "RUNDB"')
    assert config.database.url.get_secret_value() == f"postgresql://u:{SECRET}@h/db"
    assert config.database.shown_url == "postgresql://u:***@h/db"
    assert effective(config)["database"] == {"url_env": "RUNDB"}
    nowhere(config)


def test_the_url_from_a_file(
    folder: Path, make: Callable[[str], Config], wrong: Callable[[str], str]
) -> None:
    file = folder / "url"
    text = '[database]\nurl_file = "url"'
    assert "can't be read: No such file or directory; write the secret alone into this file" in wrong(text)
    file.write_text(f"postgresql://u:{SECRET}@h/db\n")
    file.chmod(0o640)
    assert (
        "others may use this file (mode 640); it holds a secret, so it must be its owner's alone: chmod 600"
        in wrong(text)
    )
    file.chmod(0o600)
    nowhere(make(text))
    assert SECRET in make(text).database.url.get_secret_value()
    for content in (b"", b"\n", b"a\nb\n", b"\xff", b"x" * 70000):
        file.write_bytes(content)
        assert wrong(text).startswith("[database.url_file] = ")
        assert wrong(text).endswith("write the secret alone into this file")


def test_a_fifo_or_folder_is_no_secret_and_hangs_nobody(folder: Path, wrong: Callable[[str], str]) -> None:
    os.mkfifo(folder / "fifo", 0o600)
    assert "not a plain file" in wrong('[database]\nurl_file = "fifo"')
    (folder / "dir").mkdir(mode=0o700)
    assert "can't be read: Is a directory" in wrong('[database]\nurl_file = "dir"')


def test_a_password_in_the_file_itself_needs_its_mode(folder: Path) -> None:
    file = folder / "ondeck.toml"
    file.write_text(f'[database]\nurl = "postgresql://u:{SECRET}@h/db"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others may use this file") as caught:
        load(file)
    assert SECRET not in str(caught.value)
    assert f"chmod 600 {file}" in str(caught.value)
    file.chmod(0o600)
    nowhere(load(file))


def test_a_password_in_the_query_too(folder: Path) -> None:
    file = folder / "ondeck.toml"
    file.write_text(f'[database]\nurl = "postgresql:///db?user=u&password={SECRET}"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others may use this file"):
        load(file)
    file.chmod(0o600)
    config = load(file)
    assert SECRET not in config.database.shown_url
    nowhere(config)


@pytest.mark.parametrize(
    "text",
    [
        f'[database]\nurl = "postgres://u:{SECRET}@h/db"',
        f'[database]\nurl = "mysql://u:{SECRET}@h/db"',
        f'[database]\nurl = "postgresql:/u:{SECRET}@h/db"',
        f'[database]\nurl = ["postgresql://u:{SECRET}@h/db"]',
        f'[database]\nurl = {{password = "{SECRET}"}}',
        f'[database]\nurll = "postgresql://u:{SECRET}@h/db"',
        f'[database]\npassword = "{SECRET}"',
        f'[sinks.mail]\ntype = "mail"\nsender = "a"\npassword = "{SECRET}"',
        f'[sinks.mail]\ntype = "mail"\nsender = "a"\npasswrd = "{SECRET}"',
        f'database = "postgresql://u:{SECRET}@h/db"',
    ],
)
def test_no_message_holds_a_secret(wrong: Callable[[str], str], text: str) -> None:
    assert SECRET not in wrong(text)


def test_a_password_of_a_sink(
    folder: Path, make: Callable[[str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP", SECRET)
    config = make(GOOD + 'password_env = "SMTP"\n')
    assert config.sinks["mail"].options is not None
    assert config.sinks["mail"].options.password.get_secret_value() == SECRET  # type: ignore[attr-defined]
    assert effective(config)["sinks"]["mail"] == {
        "type": "mail", "sender": "a@example.org", "port": 25, "password_env": "SMTP",
    }  # fmt: skip
    nowhere(config)
    monkeypatch.setenv("SMTP", "another")
    assert fingerprint(make(GOOD + 'password_env = "SMTP"\n')) == fingerprint(config)
    (folder / "pw").write_text(SECRET)
    (folder / "pw").chmod(0o600)
    nowhere(make(GOOD + 'password_file = "pw"\n'))


def test_passwords_that_are_not_there(wrong: Callable[[str], str], folder: Path) -> None:
    assert wrong(GOOD + 'password_env = "NOT_SET_HERE"\n').startswith(
        '[sinks.mail.password_env] = "NOT_SET_HERE": this environment variable is not set; export NOT_'
    )
    (folder / "pw").write_text(SECRET)
    (folder / "pw").chmod(0o604)
    assert "[sinks.mail.password_file] = " in wrong(GOOD + 'password_file = "pw"\n')
    assert "both given; keep one" in wrong(GOOD + 'password_file = "pw"\npassword_env = "HOME"\n')


def test_free_tables_are_masked_by_their_keys(make: Callable[[str], Config]) -> None:
    more = f'env = {{API_TOKEN = "{SECRET}"}}\noptions = {{a = {{password = "{SECRET}"}}, b = "x://u:{SECRET}@h"}}\n'
    config = make(GOOD.replace("[sinks.mail]", more + "[sinks.mail]"))
    assert SECRET not in to_toml(effective(config))
    assert config.modules["sums"].env["API_TOKEN"] == SECRET


def test_the_schema_has_no_default_address(real_plugins: None) -> None:
    assert "default" not in schema()["$defs"]["Database"]["properties"]["url"]
