"""refresh.sh: which daemons it restarts, how, and on whose behalf (TC-06, TC-07, TC-P12)."""

from __future__ import annotations

import fcntl
import shutil
import stat
import subprocess
import time

import pytest
from support.refresh import BARE, DAEMONS, NODE, REFRESH, Refresh, kill, lock_of


def test_it_restarts_all_daemons_in_order(refresh: Refresh) -> None:
    done = refresh()
    assert (done.returncode, done.stderr) == (0, "")
    assert [arguments for arguments, _, _ in refresh.calls] == [f"daemon {name} restart" for name in DAEMONS]
    assert {config for _, config, _ in refresh.calls} == {str(refresh.config)}


def test_if_dead_is_asked_of_each_daemon(refresh: Refresh) -> None:
    assert refresh("--if-dead").returncode == 0
    assert [arguments for arguments, _, _ in refresh.calls] == [
        f"daemon {name} restart --if-dead" for name in DAEMONS
    ]


def test_cron_hears_nothing_where_all_is_well(refresh: Refresh) -> None:
    """cron mails whatever is said."""
    assert refresh().stdout == ""
    assert refresh("--verbose").stdout.splitlines() == [f"{name} says something" for name in DAEMONS]


def test_one_broken_daemon_does_not_keep_the_others_down(refresh: Refresh) -> None:
    (refresh.bin / "fail").write_text("Transfer")
    done = refresh()
    assert done.returncode == 1
    assert len(refresh.calls) == len(DAEMONS)
    assert "Transfer is broken" in done.stderr
    assert "Transfer could not be restarted (exit code 3)" in done.stderr
    assert "Process" not in done.stderr


def test_on_another_node_it_names_the_right_one_and_does_nothing(refresh: Refresh) -> None:
    done = refresh("--node", "some-other-node")
    assert (done.returncode, done.stderr) == (1, "Please use some-other-node\n")
    assert refresh.calls == []


@pytest.mark.parametrize("node", [NODE, NODE.partition(".")[0], NODE.partition(".")[0] + ".example.org"])
def test_the_nodes_name_may_lack_its_domain(refresh: Refresh, node: str) -> None:
    done = refresh("--node", node)
    right = node == NODE or "." not in NODE or "." not in node
    assert (done.returncode == 0, len(refresh.calls) == len(DAEMONS)) == (right, right)


def test_it_works_in_crons_bare_environment(refresh: Refresh) -> None:
    script = refresh.installed("venv/lib/python3.11/site-packages/ondeck/tools/refresh.sh")
    theirs = refresh.folder / "venv/bin/ondeck"
    theirs.parent.mkdir()
    shutil.copy(refresh.bin / "ondeck", theirs)
    done = subprocess.run(
        ["/usr/bin/env", "-i", "/bin/sh", script, f"--config={refresh.config}"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((theirs.parent / "calls").read_text().splitlines()) == len(DAEMONS)


def test_ondeck_can_be_named(refresh: Refresh) -> None:
    done = refresh(ONDECK_BIN=str(refresh.bin / "ondeck"), PATH="")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(refresh.calls) == len(DAEMONS)


@pytest.mark.parametrize(
    ("place", "bin_folder"),
    [
        ("a venv/lib/python3.12/site-packages/ondeck/tools/refresh.sh", "a venv/bin"),
        ("checkout/tools/refresh.sh", "checkout/.venv/bin"),
    ],
)
def test_it_finds_the_ondeck_that_it_belongs_to(refresh: Refresh, place: str, bin_folder: str) -> None:
    script = refresh.installed(place)
    (refresh.folder / bin_folder).mkdir(parents=True)
    theirs = refresh.folder / bin_folder / "ondeck"
    shutil.copy(refresh.bin / "ondeck", theirs)
    link = refresh.folder / "refresh"
    link.symlink_to(script)
    for times, way in enumerate((script, link), 1):
        done = refresh(script=way)
        assert (done.returncode, done.stderr) == (0, "")
        assert len((theirs.parent / "calls").read_text().splitlines()) == times * len(DAEMONS)
    assert refresh.calls == []  # that was another ondeck, although in PATH


def test_without_an_ondeck_it_says_so(refresh: Refresh) -> None:
    if shutil.which("ondeck", path="/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("this machine has an ondeck of its own")
    script = refresh.installed("elsewhere/refresh.sh")
    done = refresh(script=script, PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert "no ondeck command was found" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--config", "/no/such/file.toml"], "/no/such/file.toml is not a file"),
        (["--node"], "--node needs a value"),
        (["--krb-cache", ""], "--krb-cache needs a value"),
        (["--restart"], "unknown option --restart"),
        (["surplus"], "unknown option surplus"),
    ],
)
def test_what_cant_be_used_is_refused(refresh: Refresh, args: list[str], words: str) -> None:
    done = refresh(*args)
    assert done.returncode == 2
    assert words in done.stderr
    assert refresh.calls == []


def test_a_relative_configuration_is_made_absolute(refresh: Refresh) -> None:
    assert refresh("--config", refresh.config.name).returncode == 0
    assert {config for _, config, _ in refresh.calls} == {str(refresh.config)}


def test_help_tells_all_options() -> None:
    done = subprocess.run(
        ["/bin/sh", REFRESH, "--help"], env=BARE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for option in ("--if-dead", "--config", "--node", "--krb-cache", "--verbose", "ONDECK_BIN"):
        assert option in done.stdout


# --- two at once


def test_a_check_leaves_the_work_to_a_refresh_that_is_at_it(refresh: Refresh) -> None:
    (refresh.bin / "hang").write_text("Transfer")
    first = refresh.start()
    try:
        refresh.wait_for(refresh.bin / "hangs")
        second = refresh("--if-dead", "--verbose")
        assert second.returncode == 0
        assert "another refresh is at work" in second.stdout
        assert len(refresh.calls) == 2
    finally:
        kill(first)


def test_a_refresh_waits_for_the_one_that_is_at_it(refresh: Refresh) -> None:
    (refresh.bin / "hang").write_text("Transfer")
    first = refresh.start()
    refresh.wait_for(refresh.bin / "hangs")
    (refresh.bin / "hang").unlink()
    second = refresh.start()
    try:
        time.sleep(0.3)
        assert len(refresh.calls) == 2  # both of the first
    finally:
        kill(first)
    out, err = second.communicate(timeout=30)
    assert (second.returncode, out, err) == (0, "", "")
    assert [arguments for arguments, _, _ in refresh.calls[2:]] == [
        f"daemon {name} restart" for name in DAEMONS
    ]


def test_experiments_do_not_wait_for_each_other(refresh: Refresh) -> None:
    other = refresh.folder / "other.toml"
    other.touch()
    (refresh.bin / "hang").write_text("RunsProvider")
    first = refresh.start()
    try:
        refresh.wait_for(refresh.bin / "hangs")
        (refresh.bin / "hang").unlink()
        assert refresh("--if-dead", "--config", other).returncode == 0
        assert [config for _, config, _ in refresh.calls[1:]] == [str(other)] * len(DAEMONS)
    finally:
        kill(first)


def test_what_a_daemon_keeps_open_holds_nobody_up(refresh: Refresh) -> None:
    """A daemon that lives on has neither the lock nor a pipe for which refresh.sh would wait."""
    (refresh.bin / "linger").write_text("Process")
    began = time.monotonic()
    assert refresh().returncode == 0
    again = refresh("--if-dead", "--verbose")
    assert "another refresh" not in again.stdout
    assert time.monotonic() - began < 30
    assert len(refresh.calls) == 2 * len(DAEMONS)


def test_the_lock_is_a_plain_file_of_ones_own(refresh: Refresh) -> None:
    lock = lock_of(refresh.config)
    assert refresh().returncode == 0
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody has it now
    lock.unlink()
    lock.symlink_to(refresh.folder / "elsewhere")
    done = refresh()
    assert done.returncode == 2
    assert str(lock) in done.stderr
    assert not (refresh.folder / "elsewhere").exists()
