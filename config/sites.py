"""[sites.NAME]: a place, how it is reached, and the batch system that it may have."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from .section import Named, Plugged
from .units import ConfigPath, Duration, PositiveDuration
from .wrong import Wrong

LOCAL_SLOTS = 2
SSH_PORT = 22
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@$-]*"
_HOP = re.compile(rf"(?:(?P<user>{_USER})@)?(?:\[(?P<v6>{_HOST})\]|(?P<host>[A-Za-z0-9_.-]+))(?::(?P<port>[0-9]+))?")


class Hop(NamedTuple):
    """One host on the way to a site; an empty user is the site's."""

    user: str
    host: str
    port: int


class Batch(Plugged):
    """[sites.NAME.batch]. Its system's own keys are in `options` (`table`: as written)."""

    group: ClassVar[str] = "ondeck.batch"
    type_key: ClassVar[str] = "system"

    system: str = Field(description="name of the batch system", examples=["local"])
    slots: int | None = Field(
        default=None,
        ge=1,
        description="jobs at once; without it 2 for local and no limit elsewhere",
        examples=[2],
    )
    poll: PositiveDuration = Field(default=timedelta(seconds=2), description="shortest time between two questions")
    grace: Duration = Field(
        default=timedelta(seconds=60),
        description="how long an attempt may be invisible before it counts as absent",
    )
    lost_after: PositiveDuration = Field(
        default=timedelta(hours=1),
        description="started, then neither exit file nor verdict for so long: a person must look",
    )

    @model_validator(mode="after")
    def _local_has_no_queue(self) -> Self:
        return self._fill(slots=LOCAL_SLOTS) if self.system == "local" and self.slots is None else self


def _host(value: str) -> str:
    if not re.fullmatch(_HOST, value):
        raise Wrong("not the name or address of a host", 'give it alone, such as host = "login.example.org"')
    return value


def _user(value: str) -> str:
    if not re.fullmatch(_USER, value):
        raise Wrong("not the name of a user", 'give it alone, such as user = "daq"')
    return value


def _cipher(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9@.-]*(,[a-z0-9][a-z0-9@.-]*)*", value):
        right = 'name one, or several with commas between them, such as "aes128-gcm@openssh.com,aes128-ctr"'
        raise Wrong("not the names of ciphers", right)
    return value


def parse_hops(value: str) -> tuple[Hop, ...]:
    """The hosts of "user@host:port,host2"; raises Wrong."""
    found = []
    for part in value.split(",") if value else ():
        match = _HOP.fullmatch(part.strip())
        port = int(match["port"] or SSH_PORT) if match else 0
        if match is None or not 0 < port < 1 << 16 or not re.fullmatch(_HOST, match["v6"] or match["host"]):
            right = "write user@host:port (user and port may be left out), several with commas between them"
            raise Wrong(f"{part.strip()!r} is no host to go through", right)
        found.append(Hop(match["user"] or "", match["v6"] or match["host"], port))
    return tuple(found)


def _hops(value: str) -> str:
    parse_hops(value)
    return value


class Site(Named):
    """A place."""

    transport: Literal["local", "openssh"] = Field(
        description="how the site is reached",
        examples=["local"],
    )
    work: ConfigPath = Field(
        description="directory at the site in which the attempts' directories are made", examples=["work"]
    )
    host: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None, description="ssh: the host to log in to", examples=["login.example.org"]
    )
    user: Annotated[str, AfterValidator(_user)] | None = Field(
        default=None, description="ssh: the user there; without it the one of this machine", examples=["daq"]
    )
    port: int = Field(default=SSH_PORT, ge=1, le=65535, description="ssh: the port of the server")
    key_file: ConfigPath | None = Field(
        default=None,
        description="ssh: file of the private key, the only one that is tried; without it the agent's and ~/.ssh/id_*",
        examples=["~/.ssh/id_ed25519"],
    )
    agent: bool = Field(default=True, description="ssh: whether keys of the ssh agent may be used")
    known_hosts: ConfigPath | None = Field(
        default=None,
        description="ssh: file of the hosts' keys; without it ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts",
        examples=["known_hosts"],
    )
    proxy_jump: Annotated[str, AfterValidator(_hops)] = Field(
        default="", description="ssh: hosts to go through, user@host:port, with commas between them"
    )
    connect_timeout: PositiveDuration = Field(
        default=timedelta(seconds=20), description="ssh: the longest time for a step of connecting"
    )
    keepalive: PositiveDuration = Field(
        default=timedelta(seconds=30), description="ssh: after such a silence the server is asked for a sign of life"
    )
    cipher: Annotated[str, AfterValidator(_cipher)] | None = Field(
        default=None,
        description="ssh: the ciphers to use, in this order; without it aes128-gcm before the others",
        examples=["aes128-gcm@openssh.com"],
    )
    batch: Batch | None = Field(default=None, description="the batch system there; without it no jobs run there")

    @field_validator("work", mode="before")
    @classmethod
    def _work_is_there(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("transport", "local") != "local" and (wrong := not_there(value, "work")):
            raise wrong
        return value

    @model_validator(mode="after")
    def _how(self) -> Self:
        if self.transport == "local":
            for key in SSH_KEYS:
                if key in self.model_fields_set:
                    right = f'take {key} out, or write transport = "openssh"'
                    raise Wrong('this site is not reached by ssh: transport = "local"', right, key=key)
        elif self.host is None:
            right = 'write host = "login.example.org" (the host to log in to)'
            raise Wrong(f'missing, but transport = "{self.transport}"', right, key="host")
        return self

    @property
    def jumps(self) -> tuple[Hop, ...]:
        """The hosts to go through, the first one first."""
        return parse_hops(self.proxy_jump)


SSH_KEYS = (
    *("host", "user", "port", "key_file", "agent", "known_hosts"),
    *("proxy_jump", "connect_timeout", "keepalive", "cipher"),
)


def not_there(path: object, key: str) -> Wrong | None:
    """What is wrong with a path at a site that is reached by ssh: there a path must be absolute."""
    if not isinstance(path, str) or not path.strip() or path.startswith("/"):
        return None
    wrong = "not absolute, but the site is reached by ssh: there is no folder where this path could begin"
    return Wrong(wrong, f'give the whole path as it is at the site, such as {key} = "/data/{path.strip("~/. ")}"')
