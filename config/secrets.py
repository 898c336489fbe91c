"""Secrets: read from the environment or from their owner's files, and kept out of messages."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from .wrong import Wrong

MASK = "***"
_SECRET_KEY = re.compile(r"(?i)passw|passphrase|secret|token|credential|(\A|_)(pass|pwd|pw|pin|key)\Z")
_REFERENCE = re.compile(r"(?i)_(env|file)\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
_PORT = re.compile(r"[0-9]*(?=[/?]|\Z)")
_QUERY = re.compile(r"(?i)([?&][a-z_]*(?:passw|pwd|secret|token)[a-z_]*=)[^&\s]*")
_LIMIT = 65536  # bytes: nothing longer is a password


def is_secret(key: str) -> bool:
    """Whether a key of the file holds a secret itself (the name of a variable or a file is none)."""
    return bool(_SECRET_KEY.search(key)) and not _REFERENCE.search(key)


def mask_url(text: str) -> str:
    """The text with the password of an address (`scheme://user:password@host`, `?password=…`) masked.

    Rather too much than too little: everything up to the last @ goes, also when the address is wrong.
    """
    scheme = _SCHEME.search(text)
    begin = scheme.end() if scheme else 0
    user, colon, after = text[begin:].partition(":")
    rest = text[begin:]
    if colon and "@" in after:
        rest = f"{user}:{MASK}@{after.rpartition('@')[2]}"
    elif colon and scheme and "/" not in user and not _PORT.match(after):
        rest = f"{user}:{MASK}"
    return text[:begin] + _QUERY.sub(rf"\g<1>{MASK}", rest)


def from_environment(name: str) -> str:
    """The secret in an environment variable. Raises Wrong when it isn't set."""
    value = os.environ.get(name, "")
    if not value:
        raise Wrong(
            "this environment variable is not set",
            f"export {name} before ondeck starts (also in cron), or keep the secret in a file of mode 600",
        )
    return value


def from_file(path: Path) -> str:
    """The secret in a file's first line. Raises Wrong when it can't be read or others may read it."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a FIFO must not hang us
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Wrong("not a plain file", "name a text file that holds the secret alone")
            refuse_readable(path, mode)
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise Wrong(
            f"can't be read: {error.strerror}", "write the secret alone into this file and give it mode 600"
        ) from error
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError as error:
        raise Wrong("not a text in UTF-8", "write the secret alone into this file") from error
    if len(text) > _LIMIT or len(lines) != 1 or not lines[0].strip():
        raise Wrong("does not hold exactly one line", "write the secret alone into this file")
    return lines[0].strip()


def refuse_readable(path: Path, mode: int) -> None:
    """Raises Wrong when a file's mode lets anybody but its owner at it."""
    if mode & 0o077:
        raise Wrong(
            f"others may use this file (mode {stat.S_IMODE(mode):03o})",
            f"it holds a secret, so it must be its owner's alone: chmod 600 {path}",
        )
