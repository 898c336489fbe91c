"""One log file a daemon, one line a record: `2026-11-21T09:21:43.123Z LEVEL NAME lane row message key=value …`.

Line breaks in data are written `\\n`, so that one record is one line, a traceback too (`traceback="…"`). Passwords
of addresses are masked. The file is limited in size and opened again when somebody has moved it away.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
import threading
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..config.errors import OndeckError
from ..config.secrets import MASK, mask_url

LEVELS = ("debug", "info", "warning", "error", "critical")
LIMIT = 20_000_000
"""Bytes after which a log file is put aside; BACKUPS old ones are kept."""
BACKUPS = 5

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "lane", "row", "fields", "taskName"}
_PLAIN = re.compile(r"[^\s\"'=\\]+")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_PASSWORD = re.compile(
    r"(?i)\b(\w*(?:passw(?:or)?d|passphrase|secret|api_?key)\w*\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;&)]+)"
)
_here = threading.local()


class UnknownLevel(OndeckError):
    """The log level {level!r} is none of {known}."""


def level(word: str | None = None) -> int:
    """The level that `word`, else $ONDECK_LOG, else `info` stands for; raises UnknownLevel."""
    name = (word or os.environ.get("ONDECK_LOG") or "info").lower()
    if name not in LEVELS:
        raise UnknownLevel(level=name, known=", ".join(LEVELS))
    return int(getattr(logging, name.upper()))


def redact(text: str) -> str:
    """`text` without the passwords in its addresses and settings."""
    text = _ADDRESS.sub(lambda match: mask_url(match.group()), text)
    return _PASSWORD.sub(rf"\g<1>{MASK}", text)


def visible(text: str) -> str:
    """`text` on one line: what can't be printed is written as Python writes it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def in_lane(name: str) -> None:
    """From now on this thread's records belong to the lane `name`."""
    _here.lane = name


class Formatter(logging.Formatter):
    """A record as one line of the daemon `name`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def format(self, record: logging.LogRecord) -> str:
        """See the module."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        lane = getattr(record, "lane", None) or getattr(_here, "lane", None) or "-"
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        fields |= getattr(record, "fields", {})
        row = fields.pop("row", None) or getattr(record, "row", None) or "-"
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        words = [f"{when}Z", record.levelname, self.name, _word(lane), _word(row), visible(record.getMessage())]
        words += [f"{visible(str(key))}={_word(value)}" for key, value in fields.items()]
        return redact(" ".join(words))


def _word(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped)}"'


class Adapter(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds a lane, and lets `extra` hold any key (`name`, `module`, `process` too)."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Packs `extra` into the record's `fields`."""
        own = dict(self.extra or {})
        return msg, {**kwargs, "extra": {"lane": own.get("lane"), "fields": dict(kwargs.get("extra") or {})}}


class LogFile(logging.handlers.RotatingFileHandler):
    """A log file that is put aside when it is large, and made again when somebody has put it aside."""

    def __init__(self, path: Path, limit: int = LIMIT, backups: int = BACKUPS) -> None:
        super().__init__(path, maxBytes=limit, backupCount=backups, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, to the file that stands under the name now."""
        if self.stream is not None and not self._ours():
            self.stream.close()
            self.stream = self._open()
        super().emit(record)

    def _ours(self) -> bool:
        assert self.stream is not None
        try:
            return os.path.samestat(os.fstat(self.stream.fileno()), os.stat(self.baseFilename))  # noqa: PTH116
        except FileNotFoundError:
            return False


def set_up(name: str, path: Path | None, threshold: int, *, stderr: bool = False) -> None:
    """Send all records of this process to `path`, and to stderr if asked; what was set up before is dropped."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [LogFile(path)] if path else []
    if stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(Formatter(name))
        root.addHandler(handler)
    root.setLevel(threshold)
    for chatty in ("sqlalchemy", "alembic", "paramiko"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)
