"""Whether a site can do what ondeck needs of it: commands, files, clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..config.finding import Finding
from .errors import Machinery
from .quote import shown, to_text, words_of
from .scripts import Script
from .transport import Command, Transport

COMMANDS, TRY = Script("site-commands"), Script("site-check")
SECONDS = 60.0
CLOCK = 5.0
"""Seconds by which clocks may differ: less does not show, more makes times of attempts and of files misleading."""

NEEDED = (
    *(
        "base64",
        "cat",
        "chmod",
        "date",
        "dd",
        "env",
        "find",
        "getconf",
        "grep",
        "head",
        "id",
        "ln",
        "ls",
        "mkdir",
        "mv",
    ),
    *("od", "printf", "readlink", "rm", "rmdir", "rsync", "sed", "sh", "sort", "stat", "sync", "tail", "tar", "test"),
    *("touch", "tr", "uname", "xargs"),
)
HASHES = ("openssl", "sha256sum")
TRIED = {
    "write": ("write, flush and read back", "See to it that {user} may write there, and that there is room"),
    "link": ("hard links, of two at once one wins", "Jobs are claimed by hard links: use another file system"),
    "rename": ("rename, never over something", "Use another file system: FAT and some FUSE ones can't do this"),
}


class NoAnswer(Machinery):
    """site {site}: {what} did not answer as it should: {words}."""


@dataclass(frozen=True)
class Surroundings:
    """What a site says of itself. `clock`: seconds by which its clock is ahead of ours, give or take `unsure`."""

    user: str
    host: str
    clock: float
    unsure: float
    have: dict[str, str]
    lack: tuple[str, ...]
    gnu: str


def connect(transport: Transport) -> Finding:
    """Run the smallest command there. Raises as Transport.run."""
    began = time.monotonic()
    result = transport.run(Command(("true",), name="connect"), timeout=SECONDS)
    if result.code:
        raise NoAnswer(site=transport.name, what="true", words=words_of(result.err) or f"exit code {result.code}")
    return Finding("ok", "connect", f"a command took {1000 * (time.monotonic() - began):.0f} ms")


def ask(transport: Transport, more: Sequence[str] = ()) -> Surroundings:
    """Commands (`more`: those that the batch system needs), clock and names. Raises NoAnswer, and as Transport.run."""
    names = list(dict.fromkeys([*NEEDED, *HASHES, *more]))
    began = time.time()
    records = _records(transport, COMMANDS.command(*names, name="look at commands"))
    ended = time.time()
    clock, user, host, gnu = 0.0, "", "", ""
    have: dict[str, str] = {}
    lack = []
    for record in records:
        key, _, rest = record.partition(" ")
        if key == "time":
            try:
                clock = float(rest) - (began + ended) / 2
            except ValueError as error:
                raise NoAnswer(site=transport.name, what="date", words=shown(rest)) from error
        elif key == "user":
            user, _, host = rest.partition(" ")
        elif key == "have":
            name, _, have[name] = rest.partition(" ")
        elif key == "lack":
            lack.append(rest)
        elif key == "gnu":
            gnu = rest
    return Surroundings(user, host, clock, (ended - began) / 2, have, tuple(lack), gnu)


def commands(seen: Surroundings, more: Sequence[str] = ()) -> list[Finding]:
    """What is said of the commands."""
    missing = [name for name in dict.fromkeys([*NEEDED, *more]) if name in seen.lack]
    found = []
    if missing:
        found.append(Finding("fail", "commands", f"there is no {', '.join(missing)}", "Install them at the site"))
    elif seen.gnu:
        words = f"they lack what GNU's have: {seen.gnu}"
        found.append(Finding("fail", "commands", words, "Install GNU coreutils, findutils and tar"))
    else:
        versions = [v for name in ("rsync", "tar") if (v := seen.have.get(name))]
        found.append(Finding("ok", "commands", "; ".join(versions) or "all are there"))
    if "openssl" in seen.have:
        found.append(Finding("ok", "checksums", seen.have["openssl"] or "openssl"))
    elif "sha256sum" in seen.have:
        words = "there is no openssl: sha256sum is some times slower"
        found.append(Finding("warn", "checksums", words, "Install openssl at the site"))
    else:
        found.append(Finding("fail", "checksums", "there is neither openssl nor sha256sum", "Install one of them"))
    return found


def clock(seconds: float, unsure: float, whose: str) -> Finding:
    """What is said of a clock that is `seconds` ahead of ours."""
    ahead = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} the clock of this machine"
    if abs(seconds) - unsure <= CLOCK:
        return Finding("ok", f"clock of {whose}", ahead)
    return Finding("warn", f"clock of {whose}", f"{ahead}: times will mislead", "Set it by NTP, here or there")


def directory(
    transport: Transport, root: str, subject: str, user: str = "the user", *, claims: bool = True
) -> list[Finding]:
    """Try in `root` what is done there; without `claims` links are nice to have. Raises NoAnswer …"""
    command = TRY.command(root, secrets.token_hex(8), name=f"try in {shown(root)}")
    found = []
    for record in _records(transport, command):
        name, code, words = record.split(" ", 2)
        does, todo = TRIED[name]
        if code == "0":
            found.append(Finding("ok", subject, does))
        elif name == "link" and not claims:
            todo = "Broken off copies begin anew there, that is all"
            found.append(Finding("warn", subject, f"{does}: {shown(words) or 'does not hold'}", todo))
        else:
            found.append(Finding("fail", subject, f"{does}: {shown(words) or 'does not hold'}", todo.format(user=user)))
    return found


def _records(transport: Transport, command: Command) -> list[str]:
    result = transport.run(command, timeout=SECONDS)
    records = result.out.split(b"\0")
    if result.code or records[-2:] != [b"end", b""]:
        words = words_of(result.err) or f"exit code {result.code}, no whole answer"
        raise NoAnswer(site=transport.name, what=command.title, words=words)
    return [to_text(record) for record in records[:-2]]
