import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondeck.sites.quote import NulInWord, quote, quote_all, shown, to_bytes, to_text, words_of


@given(st.lists(st.binary(max_size=30).map(lambda b: to_text(b.replace(b"\0", b"0"))), max_size=5))
def test_a_shell_reads_back_the_words(words: list[str]) -> None:
    script = to_bytes(f"printf '%s\\0' {quote_all(words)}") if words else b""
    out = subprocess.run(["sh"], input=script, capture_output=True, env={"LC_ALL": "C"}, check=True).stdout
    assert [to_text(word) for word in out.split(b"\0")[:-1]] == words


def test_nul_is_refused() -> None:
    with pytest.raises(NulInWord, match=r"a\\x00b holds a NUL byte"):
        quote("a\0b")


@given(st.binary())
def test_any_name_comes_back(name: bytes) -> None:
    assert to_bytes(to_text(name)) == name


@given(st.binary())
def test_what_is_shown_is_one_printable_line(name: bytes) -> None:
    text = shown(to_text(name))
    assert text.isprintable()
    text.encode("utf-8")
    assert shown(name) == text


def test_words_are_short_and_on_one_line() -> None:
    assert words_of(b"one\n\n  two\xff \n") == "one; two\\xff"
    assert len(words_of(b"x" * 10000)) == 500
