"""The outside half of "exactly once": the directories of attempts, their tokens and claims, and how they
ended.

All functions take many attempts in one round trip. `place` names the directory in which all attempts lie and
the uuid that its .ondeck-storage must hold: with it nothing is made or taken on a disk that is not mounted,
where every attempt would seem to be missing. Wherever a site's answer is not whole, NoAnswer is raised: what
was done is not known then, and asking again is safe.
"""

from __future__ import annotations

import io
import os.path
import re
import secrets
import tarfile
import time
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from .attemptbulk import (
    NOWHERE,
    NoAnswer,
    Place,
    Unmounted,
    WrongName,
    bulk,
    chunks,
    fields_of,
    packed,
    plain,
)
from .attemptfiles import (
    ClaimFile,
    ExitFile,
    GarbledFile,
    StartFile,
    check_token,
    claim_of_process,
    make_token,
    parse_claim,
    parse_token,
    token_prefix,
)
from .attemptlooks import Glance, Look, Tail, UnreadableFile, glance, look, tail
from .quote import shown, to_bytes, to_text, words_of
from .render import render_own
from .scripts import Script
from .scripts import text as script_text
from .transport import Transport
from .work import Work

__all__ = [
    "ClaimFile", "ExitFile", "GarbledFile", "Glance", "Look", "NoAnswer", "Place", "Preparation", "Prepared",
    "Published", "Revoked", "StartFile", "Tail", "Unmounted", "UnreadableFile", "WrongName", "glance", "look",
    "make_token", "prepare", "publish", "revoke", "tail", "token_prefix", "wrapper",
]  # fmt: skip


class Preparation(NamedTuple):
    """An attempt's directory (absolute), its token, and the files that it shall hold; those named *.sh are
    executable."""

    directory: str
    token: str
    files: Mapping[str, bytes]


class Prepared(NamedTuple):
    """What became of a Preparation.

    "made": the directory is ours and holds token and files, all on disk; it may be submitted. "token": it was
    there, with the token `token`. "no token": it was there without one. "failed": see `words`; it must not be
    submitted, and may exist.
    """

    directory: str
    outcome: Literal["made", "token", "no token", "failed"]
    token: str | None = None
    words: str = ""


class Revoked(NamedTuple):
    """Whose an attempt's claim is now.

    "taken": ours; "process": another Process's: in both cases the attempt can never start. "job": the batch
    job in `claim` has it. "failed": not known, see `words`; ask again.
    """

    outcome: Literal["taken", "process", "job", "failed"]
    claim: ClaimFile | None = None
    words: str = ""


class Published(NamedTuple):
    """Whether a link is right now, whether it had to be made, and else why not."""

    done: bool
    made: bool
    words: str = ""


def prepare(
    transport: Transport,
    preparations: Iterable[Preparation],
    *,
    place: Place = NOWHERE,
    work: Work | None = None,
) -> list[Prepared]:
    """Make the attempts' directories with plain mkdir, then write token and files, all flushed. Never touches
    a directory that was there. Raises BadToken, WrongName, NoAnswer, Unmounted, and as Transport.run."""
    prepared: list[Prepared] = []
    for chunk in chunks(list(preparations), lambda p: (plain(p.directory), check_token(p.token))):
        names = packed(word for p in chunk for word in (p.directory, p.token))
        command = PREPARE.command(
            str(len(names)),
            PREPARE_ALL,
            *place,
            input=names + _tar(chunk),
            name=f"prepare {len(chunk)} attempts",
        )
        fields = fields_of(transport, command, 2 * len(chunk) + 2, place, work)
        code, words = fields.pop(-2), fields.pop()
        for p, outcome, detail in zip(chunk, fields[::2], fields[1::2], strict=True):
            prepared.append(_prepared(p, outcome, detail, "" if code == b"0" else words_of(words) or "it said nothing"))
    return prepared


def _prepared(p: Preparation, outcome: bytes, detail: bytes, trouble: str) -> Prepared:
    if outcome == b"made":
        return Prepared(p.directory, "failed", words=trouble) if trouble else Prepared(p.directory, "made", p.token)
    if outcome == b"none":
        return Prepared(p.directory, "no token")
    if outcome == b"token":
        try:
            token = parse_token(detail, f"{p.directory}/token")
        except GarbledFile as e:
            return Prepared(p.directory, "failed", words=str(e))
        return Prepared(p.directory, "token", token) if token else Prepared(p.directory, "no token")
    return Prepared(p.directory, "failed", words=words_of(detail) or "it said nothing")


def revoke(
    transport: Transport,
    directories: Iterable[str],
    who: str,
    *,
    place: Place = NOWHERE,
    work: Work | None = None,
) -> list[Revoked]:
    """Take the attempts' claims, so that those not yet started can never start; makes missing directories.
    `who` stands in the claim. Raises NoAnswer, Unmounted, and as Transport.run."""
    revoked: list[Revoked] = []
    for chunk in chunks(list(directories), lambda d: (plain(d), " " * 400, who)):
        mine, words = [], []
        for directory in chunk:
            nonce = secrets.token_hex(16)
            fields = {
                "token": "-",
                "who": who,
                "host": os.uname().nodename,
                "at": f"{time.time():.6f}",
                "nonce": nonce,
            }
            mine.append(claim_of_process(fields))
            words += [directory, nonce, mine[-1].decode()]
        code, trouble, *found = fields_of(transport, bulk(REVOKE, words, *place), len(chunk) + 2, place, work)
        for directory, own, answer in zip(chunk, mine, found, strict=True):
            if code != b"0":
                revoked.append(Revoked("failed", words=f"the claim may not be on disk: {words_of(trouble)}"))
            else:
                revoked.append(_revoked(directory, own, answer, words_of(trouble)))
    return revoked


def _revoked(directory: str, own: bytes, answer: bytes, trouble: str) -> Revoked:
    if answer[:1] != b"+":
        return Revoked("failed", words=words_of(answer[1:]) or trouble or "it said nothing")
    try:
        claim = parse_claim(answer[1:], f"{directory}/claim")
    except GarbledFile as e:
        return Revoked("failed", words=str(e))
    if claim.by == "job":
        return Revoked("job", claim)
    return Revoked("taken" if answer[1:] == own else "process", claim)


def publish(
    transport: Transport,
    links: Iterable[tuple[str, str]],
    *,
    place: Place = NOWHERE,
    work: Work | None = None,
) -> list[Published]:
    """Make each link (absolute) a relative symbolic link to its target (absolute, must exist), in one step;
    does nothing where it is right already. Raises NoAnswer, Unmounted, and as Transport.run."""
    done: list[Published] = []
    for chunk in chunks(list(links), lambda pair: (plain(pair[0]), plain(pair[1]), pair[1])):
        words = [w for link, target in chunk for w in (link, os.path.relpath(target, link.rpartition("/")[0]))]
        command = bulk(PUBLISH, words, *place, secrets.token_hex(8))
        fields = fields_of(transport, command, 2 * len(chunk), place, work)
        for outcome, detail in zip(fields[::2], fields[1::2], strict=True):
            done.append(Published(outcome in (b"same", b"made"), outcome == b"made", words_of(detail)))
    return done


def wrapper(directory: str, token: str, *, env: Mapping[str, str] | None = None, identity: str = "") -> bytes:
    """The script that is submitted: it claims the attempt in `directory`, runs its payload.sh with the
    variables of `env` besides its own, and writes how that ended. `identity`: see BatchSystem. Raises
    BadToken, WrongName.
    """
    for name in env or {}:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("ONDECK_"):
            raise WrongName(path=shown(name), what="a variable", right="letters, digits, _, not ONDECK_…")
    values = {
        "directory": plain(directory),
        "token": check_token(token),
        "env": env or {},
        "identity": identity,
    }
    return to_bytes(render_own("wrapper.sh", values))


PREPARE = Script("attempt-prepare")
PREPARE_ALL = script_text("attempt-guard") + script_text("attempt-prepare-all")
REVOKE = Script("attempt-revoke", "attempt-guard")
PUBLISH = Script("attempt-publish", "attempt-guard")


def _tar(preparations: Iterable[Preparation]) -> bytes:
    """The files of all attempts under their absolute names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for p in preparations:
            for name, content in p.files.items():
                if "/" in name or "\0" in name or not name or name.startswith(".") or name == "token":
                    raise WrongName(path=shown(name), what="an attempt's file", right="plain, not hidden, not token")
                member = tarfile.TarInfo(to_text(to_bytes(f"{p.directory[1:]}/{name}")))
                member.size, member.mtime = len(content), int(time.time())
                member.mode = 0o770 if name.endswith(".sh") else 0o660
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
