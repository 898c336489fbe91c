"""What the small files in an attempt's directory say: token, claim, start, exit.

Each is text: a first line `ondeck-KIND 1`, a line `key value` each, and a last line `end`; "-" is an unknown
value. They are written aside and then given their name, so one that does not read like this was changed by
somebody else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import Refused
from .quote import shown

TOKEN = re.compile(r"[a-z][0-9a-z]{12}")
PREFIX = re.compile(r"[a-z][0-9a-z]{3}")
LETTERS = string.digits + string.ascii_lowercase
LIMIT = 4096  # bytes of such a file that are looked at


class GarbledFile(Refused):
    """{path} is not as ondeck writes it ({what}), so it says nothing about how the job ended; it begins with
    {content}. Look who changed it; what it should be can be seen from the other files there."""


class BadToken(Refused):
    """{token!r} is no token: a letter and 12 of a-z, 0-9 are needed (4 of them for a prefix)."""


def token_prefix(name: str, state_dir: str) -> str:
    """The first four characters of all tokens of one experiment on one machine."""
    number = int.from_bytes(hashlib.sha256(f"{name}\0{state_dir}".encode("utf-8", "surrogateescape")).digest())
    number, letter = divmod(number, 26)
    prefix = string.ascii_lowercase[letter]
    for _ in range(3):
        number, k = divmod(number, 36)
        prefix += LETTERS[k]
    return prefix


def make_token(prefix: str) -> str:
    """A new token: the prefix and nine random characters. Raises BadToken."""
    if not PREFIX.fullmatch(prefix):
        raise BadToken(token=prefix)
    return prefix + "".join(secrets.choice(LETTERS) for _ in range(9))


def check_token(token: str) -> str:
    """The token itself; raises BadToken."""
    if not TOKEN.fullmatch(token):
        raise BadToken(token=token)
    return token


@dataclass(frozen=True, slots=True)
class ClaimFile:
    """Who may run the payload: one start of a batch job (`by` "job"), or Process, so nobody ("process").

    `start_count`: how often the batch system had started the job before; None: the job could not know.
    `boot_id`, `pidns`, `machine`, `pid`, `ticks` (start time of the process since boot) name the very
    process. `at`: epoch seconds.
    """

    by: Literal["job", "process"]
    token: str | None
    who: str
    host: str
    at: float
    batch_id: str | None = None
    start_count: int | None = None
    boot_id: str | None = None
    pidns: str | None = None
    machine: str | None = None
    pid: int | None = None
    ticks: int | None = None


@dataclass(frozen=True, slots=True)
class StartFile:
    """The payload was about to begin. `at`: epoch seconds."""

    token: str
    batch_id: str | None
    host: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class ExitFile:
    """How the payload ended: exit code as a shell counts, the signal that killed it, when (epoch seconds),
    cpu seconds; `reason`: "walltime" when it was ended because its time was over."""

    token: str
    code: int
    signal: int | None
    host: str
    started: float
    ended: float
    cpu: float | None
    reason: str | None = None


class Fields:
    """The values of such a file; raises GarbledFile wherever it is not as it should be."""

    def __init__(self, kind: str, content: bytes, path: str) -> None:
        self.path, self.content = path, content
        lines = content.decode("utf-8", "surrogateescape").rstrip(" \n").split("\n")
        if len(content) > LIMIT:
            raise self.garbled("too long")
        if lines[0] != f"ondeck-{kind} 1":
            raise self.garbled(f"the first line must be 'ondeck-{kind} 1'")
        if lines[-1] != "end":
            raise self.garbled("the last line must be 'end'")
        self.values: dict[str, str] = {}
        for line in lines[1:-1]:
            key, blank, value = line.partition(" ")
            if not blank or key in self.values:
                raise self.garbled(f"the line {shown(line)!r} is no new key and value")
            self.values[key] = value

    def garbled(self, what: str) -> GarbledFile:
        """The error to raise."""
        return GarbledFile(path=shown(self.path), what=what, content=repr(self.content[:200]))

    def maybe(self, key: str) -> str | None:
        """A value, None for "-"."""
        if key not in self.values:
            raise self.garbled(f"{key} is missing")
        value = self.values[key]
        return None if value == "-" else value

    def text(self, key: str) -> str:
        """A value that must be known."""
        value = self.maybe(key)
        if not value:
            raise self.garbled(f"{key} is unknown")
        return value

    def maybe_int(self, key: str, top: int = 2**63) -> int | None:
        """A number from 0 to `top`, None for "-"."""
        value = self.maybe(key)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,19}", value, re.ASCII) or int(value) > top:
            raise self.garbled(f"{key} is no number up to {top}")
        return int(value)

    def int(self, key: str, top: int = 2**63) -> int:
        """A number from 0 to `top`."""
        value = self.maybe_int(key, top)
        if value is None:
            raise self.garbled(f"{key} is unknown")
        return value

    def maybe_float(self, key: str) -> float | None:
        """A number of seconds, None for "-"."""
        value = self.maybe(key)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,19}(\.[0-9]{0,9})?", value, re.ASCII):
            raise self.garbled(f"{key} is no number of seconds")
        return float(value)

    def float(self, key: str) -> float:
        """A number of seconds."""
        value = self.maybe_float(key)
        if value is None:
            raise self.garbled(f"{key} is unknown")
        return value


def parse_token(content: bytes, path: str) -> str | None:
    """The token; None when the file is empty. Raises GarbledFile."""
    text = content.decode("utf-8", "surrogateescape").strip()
    if text and not TOKEN.fullmatch(text):
        raise GarbledFile(path=shown(path), what="a token is a letter and 12 of a-z, 0-9", content=repr(content[:200]))
    return text or None


def parse_claim(content: bytes, path: str) -> ClaimFile:
    """What a claim says; raises GarbledFile."""
    f = Fields("claim", content, path)
    by = f.text("by")
    if by == "process":
        return ClaimFile("process", f.maybe("token"), f.text("who"), f.maybe("host") or "", f.float("at"))
    if by != "job":
        raise f.garbled("'by' must be job or process")
    return ClaimFile(
        "job",
        f.text("token"),
        f"batch job {f.maybe('batch_id') or 'without id'}",
        f.text("host"),
        f.float("at"),
        f.maybe("batch_id"),
        f.maybe_int("start_count"),
        f.maybe("boot_id"),
        f.maybe("pidns"),
        f.maybe("machine"),
        f.int("pid"),
        f.maybe_int("ticks"),
    )


def parse_start(content: bytes, path: str) -> StartFile:
    """What a start file says; raises GarbledFile."""
    f = Fields("start", content, path)
    return StartFile(f.text("token"), f.maybe("batch_id"), f.text("host"), f.int("pid"), f.float("at"))


def parse_exit(content: bytes, path: str) -> ExitFile:
    """What an exit file says; raises GarbledFile."""
    f = Fields("exit", content, path)
    code, signal = f.int("code", 255), f.maybe_int("signal", 127)
    if signal is not None and code != 128 + signal:
        raise f.garbled(f"code {code} and signal {signal} contradict each other")
    return ExitFile(
        f.text("token"),
        code,
        signal,
        f.text("host"),
        f.float("started"),
        f.float("ended"),
        f.maybe_float("cpu"),
        f.maybe("reason") if "reason" in f.values else None,  # of jobs begun before there were reasons
    )


def claim_of_process(fields: Mapping[str, str]) -> bytes:
    """The content of a claim that Process takes; values are put on one line."""
    lines = [f"{key} {shown(value) or '-'}" for key, value in {"by": "process", **fields}.items()]
    return "\n".join(["ondeck-claim 1", *lines, "end", ""]).encode()
