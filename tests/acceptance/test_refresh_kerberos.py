"""refresh.sh and Kerberos credentials, with a false klist and kinit (TC-06)."""

from __future__ import annotations

import shutil
import stat

import pytest
from support.refresh import DAEMONS, Refresh

KLIST = """#!/bin/sh
cache=${KRB5CCNAME:-none}; cache=${cache#FILE:}
[ -f "$cache" ] || exit 1
[ "$1" != -s ] || ! grep -q expired "$cache"
"""
KINIT = """#!/bin/sh
cache=${KRB5CCNAME#FILE:}
echo "$* $cache" >>"$(dirname "$0")/kinit-calls"
grep -q renewable "$cache" && echo renewed >>"$cache"
"""


@pytest.fixture
def kerberos(refresh: Refresh) -> Refresh:
    """The same, with a false klist and kinit."""
    refresh.program("klist", KLIST)
    refresh.program("kinit", KINIT)
    return refresh


def test_without_kerberos_not_a_word(refresh: Refresh) -> None:
    if shutil.which("klist", path="/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("this machine has a klist of its own")
    done = refresh("--krb-cache", refresh.folder / "cache", "--verbose", KRB5CCNAME="FILE:/no/where")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kerberos" not in done.stdout


def test_without_credentials_not_a_word(kerberos: Refresh) -> None:
    done = kerberos("--verbose")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kerberos" not in done.stdout
    assert not (kerberos.bin / "kinit-calls").exists()


def test_credentials_are_renewed(kerberos: Refresh) -> None:
    cache = kerberos.folder / "krb5cc"
    cache.write_text("renewable\n")
    assert kerberos("--if-dead", KRB5CCNAME=f"FILE:{cache}").returncode == 0
    assert cache.read_text() == "renewable\nrenewed\n"
    assert {used for _, _, used in kerberos.calls} == {f"FILE:{cache}"}


def test_credentials_that_are_over_are_told(kerberos: Refresh) -> None:
    cache = kerberos.folder / "krb5cc"
    cache.write_text("expired\n")
    done = kerberos(KRB5CCNAME=f"FILE:{cache}")
    assert "have expired" in done.stderr
    assert len(kerberos.calls) == len(DAEMONS)  # they may live without


@pytest.mark.parametrize("prefix", ["", "FILE:"])
def test_credentials_are_copied_for_the_daemons(kerberos: Refresh, prefix: str) -> None:
    """acron's own cache goes when the script ends; the daemons' stays, and only its owner reads it."""
    session, kept = kerberos.folder / "session's", kerberos.folder / "daemons'"
    session.write_text("renewable\n")
    done = kerberos("--krb-cache", kept, KRB5CCNAME=f"{prefix}{session}")
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.read_text() == "renewable\nrenewed\n"
    assert session.read_text() == "renewable\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert {used for _, _, used in kerberos.calls} == {f"FILE:{kept}"}
    assert {path.name for path in kerberos.folder.glob("daemons'*")} == {kept.name}


def test_copied_credentials_serve_on_when_the_session_has_none(kerberos: Refresh) -> None:
    kept = kerberos.folder / "kept"
    kept.write_text("renewable\n")
    assert kerberos("--if-dead", "--krb-cache", kept).returncode == 0
    assert kept.read_text() == "renewable\nrenewed\n"
    assert {used for _, _, used in kerberos.calls} == {f"FILE:{kept}"}


def test_credentials_that_are_over_replace_none(kerberos: Refresh) -> None:
    session, kept = kerberos.folder / "session", kerberos.folder / "kept"
    session.write_text("expired\n")
    kept.write_text("renewable\n")
    assert kerberos("--krb-cache", kept, KRB5CCNAME=str(session)).returncode == 0
    assert kept.read_text() == "renewable\nrenewed\n"
