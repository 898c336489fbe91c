"""Commands on this machine, each in a session of its own."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from functools import cache

from ..command import Command, Result
from ..quote import NulInWord, shown, to_bytes
from ..work import Work
from . import keeper
from .answer import Answer
from .base import OutputTooLong, Transport, TransportFailed, TransportTimeout
from .process import GRACE, Group, Talk

log = logging.getLogger(__name__)

LAST = 0.5  # seconds for a command whose whole answer is here to go by itself


class LocalTransport(Transport):
    """Runs commands on this machine.

    Each gets its own session and process group, LC_ALL=C and / as its directory; it dies with this process
    and with the thread that called `run`. Children that it leaves behind live on only if their output goes
    elsewhere.
    """

    place = "local"

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        """See Transport.run."""
        answer = Answer(command.limit)
        code, seconds = self._run(command, answer, timeout=timeout, work=work)
        return Result(code, bytes(answer.out), bytes(answer.err), seconds)

    def _run(
        self, command: Command, answer: Answer, *, timeout: float, work: Work | None = None, held: bool = False
    ) -> tuple[int, float]:
        """The exit code and the seconds that it took. `held`: the end of the input is what ends it, not a signal."""
        if work is not None:
            work.check()
        for word in command.argv:
            if "\0" in word:
                raise NulInWord(word=shown(word))
        argv = [to_bytes(word) for word in (*keeper.words(), *_die_with_parent(), *command.argv)]
        begin = time.monotonic()
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if command.input or held else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                bufsize=0,
            )
        except FileNotFoundError:
            answer.take_err(to_bytes(f"{argv[0]!r}: no such command\n"))
            return 127, 0.0
        except OSError as e:
            raise TransportFailed(site=self.name, command=command.title, words=f"not started: {e}") from e
        with Group(child) as group:
            talk = Talk(group, command.input, answer, held=held)
            if work is None:
                return self._talk(talk, command, timeout, begin)
            with work.running(group.kill, lambda: group.progress() + answer.progress()):
                try:
                    return self._talk(talk, command, timeout, begin)
                finally:
                    work.check()

    def _talk(self, talk: Talk, command: Command, timeout: float, begin: float) -> tuple[int, float]:
        group, answer = talk.group, talk.answer
        try:
            if not talk.until(begin + timeout):
                if talk.held:
                    talk.end_input()
                else:
                    group.signal(signal.SIGTERM)
                if not talk.until(time.monotonic() + GRACE * (1.5 if talk.held else 1)):
                    group.kill()
                    talk.until(time.monotonic() + GRACE)
                partial = Result(128 + signal.SIGTERM, bytes(answer.out), bytes(answer.err), time.monotonic() - begin)
                raise TransportTimeout(site=self.name, command=command.title, timeout=timeout, partial=partial)
            if answer.ended:
                talk.end_input()
                if not group.wait(LAST):
                    group.kill()
        finally:
            talk.close()
        if answer.too_long:
            raise OutputTooLong(site=self.name, command=command.title, limit=command.limit)
        code = group.end()
        seconds = time.monotonic() - begin
        extra = {"site": self.name, "command": command.title, "code": code, "seconds": round(seconds, 3)}
        log.debug("ran", extra=extra)
        return code, seconds


def _environment() -> dict[str, str]:
    """This process's environment, messages in English, without what is ours or would change a tool's ways."""
    out = ("ONDECK_", "LC_", "RSYNC_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(out) and k not in _LEFT_OUT}
    return {**kept, "LC_ALL": "C"}


_LEFT_OUT = {"LANG", "LANGUAGE", "PGPASSWORD", "GREP_OPTIONS", "TAR_OPTIONS", "POSIXLY_CORRECT", "CDPATH"}


@cache
def _die_with_parent() -> tuple[str, ...]:
    """The words before a command that let it die with the thread that starts it."""
    if shutil.which("setpriv"):
        return ("setpriv", "--pdeathsig", "KILL", "--")
    log.warning("no setpriv here: commands are killed with the daemon by its keeper alone")
    return ()
