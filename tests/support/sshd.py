"""An sshd of the tests' own: a free port on 127.0.0.1, keys of its own, the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAM = Path("/usr/sbin/sshd")


def no_sshd_because() -> str:
    """Why no sshd can be started; empty when one can."""
    if not PROGRAM.exists():
        return "no sshd is installed (Debian's package openssh-server)"
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        return "no ssh is installed (Debian's package openssh-client)"
    return ""


class Sshd:
    """Start and stop it; `folder` is an empty folder for its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host", "user"):
            subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name), check=True)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}\n")

    def start(self) -> None:
        """Start it, for the first time or again at the same port, and wait until it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        options = {
            "ListenAddress": "127.0.0.1",
            "UsePAM": "no",
            "StrictModes": "no",
            "PidFile": "none",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        command = (PROGRAM, "-D", "-f", "/dev/null", "-h", self.folder / "host", "-p", str(self.port), *words)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen((*command, "-e"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    log_text = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"sshd does not start:\n{log_text[-2000:]}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop its listener; connections that stand go on."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(20)

    def site(self, **keys: Any) -> dict[str, Any]:
        """The keys of a site that is reached through it."""
        return {
            "name": "far",
            "transport": "openssh",
            "work": Path("/tmp"),
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key_file": self.folder / "user",
            "known_hosts": self.folder / "known_hosts",
            "agent": False,
            **keys,
        }
