"""Commands on another machine through this machine's ssh command, over one connection that is kept."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from ...config.sites import Site
from ..command import Command, Result
from ..quote import words_of
from ..work import Work
from . import sshwords
from .base import RemoteShell, Transport, TransportFailed, TransportTimeout
from .local import LocalTransport
from .remote import ask

SESSIONS = 8  # commands at once; a server allows 10 unless told otherwise
KEPT = 60  # seconds for which the connection outlives its last command, also when nobody is left to end it


class OpensshTransport(Transport):
    """Runs commands on another machine by ssh(1), with its configuration and its kinds of authentication.

    The connection is shared by all commands of this object. A command ends with the daemon, with its time, and when
    its work is cancelled, at the latest a few seconds after the connection is gone. Its children go on only in a
    session of their own.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site.name)
        self._site, self._hop = site, sshwords.target(site)
        self.place = sshwords.place(self._hop)
        self._local = LocalTransport(site.name)
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._folder: str | None = None

    def run(self, command: Command, *, timeout: float, work: Work | None = None) -> Result:
        """See Transport.run."""
        asked = ask(command)
        begin = time.monotonic()
        answer = asked.answer
        with self._session(command, timeout, work):
            left = max(0.05, begin + timeout - time.monotonic())
            whole = Command((*self._words(), "--", sshwords.address(self._hop), asked.line), asked.sent, command.title)
            try:
                code, _ = self._local._run(whole, answer, timeout=left, work=work, held=True)
            except TransportTimeout as e:
                if not answer.ended:
                    self.close()  # it did not even say that the command was ended: nobody should wait for it again
                partial = e.partial
                raise TransportTimeout(
                    site=self.name, command=command.title, timeout=timeout, partial=partial
                ) from None
        seconds = time.monotonic() - begin
        if answer.code < 0:
            said = words_of(answer.noise) or f"ssh ended with exit code {code}"
            words = "the answer broke off" if answer.begun else said
            raise TransportFailed(site=self.name, command=command.title, words=f"{self.place}: {words}")
        return Result(answer.code, bytes(answer.out), bytes(answer.err), seconds)

    def remote_shell(self) -> RemoteShell:
        """See Transport.remote_shell. It is a connection of its own, so that much data delay no command."""
        return RemoteShell(sshwords.words(self._site), sshwords.address(self._hop))

    def close(self) -> None:
        """End the kept connection."""
        with self._lock:
            folder, self._folder = self._folder, None
        if folder is not None:
            words = ("ssh", "-O", "exit", "-o", f"ControlPath={folder}/c", "--", sshwords.address(self._hop))
            with contextlib.suppress(TransportFailed):
                self._local.run(Command(words, name="end of the connection"), timeout=5)
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _session(self, command: Command, timeout: float, work: Work | None) -> Iterator[None]:
        end = time.monotonic() + timeout
        while not self._sessions.acquire(timeout=0.2):
            if work is not None:
                work.check()
            if time.monotonic() > end:
                partial = Result(143, b"", b"", timeout)
                raise TransportTimeout(site=self.name, command=command.title, timeout=timeout, partial=partial)
        try:
            yield
        finally:
            self._sessions.release()

    def _words(self) -> tuple[str, ...]:
        with self._lock:
            if self._folder is None:
                # the path of a socket is short: at most 104 bytes, of which ssh takes 17 for itself
                self._folder = tempfile.mkdtemp(prefix="ondeck-ssh-", dir="/tmp" if Path("/tmp").is_dir() else None)
                weakref.finalize(self, shutil.rmtree, self._folder, True)
            first, *others = sshwords.words(self._site)
            kept = ("ControlMaster=auto", f"ControlPath={self._folder}/c", f"ControlPersist={KEPT}")
            return (first, *(word for option in kept for word in ("-o", option)), *others)
