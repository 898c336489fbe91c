"""A PostgreSQL server of the tests' own: a free port on 127.0.0.1, a folder that goes with it, a password."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL server here, or None."""
    servers = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found = [path.parent for path in servers if path.parents[1].name.isdigit()]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    beside = shutil.which("postgres")
    return Path(beside).resolve().parent if beside and shutil.which("initdb") else None


def no_server_because() -> str:
    """Why no PostgreSQL server can be started; empty when one can."""
    if binaries() is None:
        return "no PostgreSQL server is installed (Debian's package postgresql)"
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return "PostgreSQL refuses root, and setpriv is not here to change the user (package util-linux)"
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL refuses root, and there is no user postgres"
    return ""


class PostgresqlServer:
    """Start, stop and use it; `folder` is an empty folder for all its files, or one that another has left.

    `settings` are further settings of the server, or others than those that suit tests: they give up durability.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.data = folder / "data"
        self.port = 0
        self.password = self._kept_password() or secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._as_server_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
            self._as_server_user = ("setpriv", *ids)
            os.chown(folder, user.pw_uid, user.pw_gid)

    def url(self, name: str) -> str:
        """Address of the database `name`."""
        return f"postgresql+psycopg2://postgres:{self.password}@127.0.0.1:{self.port}/{name}"

    @property
    def admin_url(self) -> str:
        """Address of the database that is always there."""
        return self.url("postgres")

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, for the first time or again on the same port, and wait until it answers."""
        if not self.data.exists():
            self._initialise()
        for _ in range(5):  # somebody else may take a free port before the server does
            self.port = self.port or _free_port()
            self._process = self._launch()
            if self._wait():
                return
            self.port = 0
        raise RuntimeError(f"PostgreSQL does not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it by its pid: SIGINT breaks connections off, SIGQUIT is a crash. It need not run."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def create(self, template: str = "template1") -> str:
        """Make a database like `template` and return its address."""
        name = f"t{next(self._numbers)}_{secrets.token_hex(4)}"
        names = (name, template)
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, names)))
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop a database, and with it the connections of whoever is still there."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _kept_password(self) -> str:
        file = self.folder / "password"
        return file.read_text() if file.exists() else ""

    def _initialise(self) -> None:
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self._as_server_user:
            shutil.chown(password_file, "postgres")
        where = binaries()
        assert where is not None
        made = subprocess.run(
            [
                *self._as_server_user,
                where / "initdb",
                "--pgdata",
                self.data,
                "--username=postgres",
                "--no-sync",
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr

    def _launch(self) -> subprocess.Popen[bytes]:
        where = binaries()
        assert where is not None
        # A test run that is killed takes its server with it.
        die_with_us = ("setpriv", *self._as_server_user[1:], "--pdeathsig=INT") if shutil.which("setpriv") else ()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",  # only a crash of the machine would tell
            "shared_buffers": "64MB",
            "max_connections": 200,
            "log_line_prefix": "%m [%p] %d ",
            **self.settings,
        }
        options = [f"--{key}={value}" for key, value in settings.items()]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*die_with_us, where / "postgres", "-D", self.data, *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self) -> bool:
        end = time.monotonic() + _START_SECONDS
        while self._process is not None and self._process.poll() is None:
            try:
                psycopg2.connect(self._dsn()).close()
            except psycopg2.OperationalError:
                if time.monotonic() > end:
                    self.stop(signal.SIGKILL)
                    return False
                time.sleep(0.02)
            else:
                return True
        return False

    def _dsn(self) -> str:
        return self.admin_url.replace("+psycopg2", "")

    def _execute(self, statement: sql.Composable) -> None:
        connection = psycopg2.connect(self._dsn())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
