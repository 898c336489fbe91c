"""The words of an ssh command that reaches a site as its section says."""

from __future__ import annotations

import getpass
import subprocess
from functools import cache

from ...config.sites import Hop, Site
from ..quote import quote_all

#: aes128-gcm is much the quickest where the processor knows aes
CIPHERS = (
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr"),
    "chacha20-poly1305@openssh.com",
)


def target(site: Site) -> Hop:
    """Where the site is; its user is never empty."""
    return Hop(site.user or getpass.getuser(), site.host or "", site.port)


def address(hop: Hop) -> str:
    """user@host"""
    return f"{hop.user}@{hop.host}"


def place(hop: Hop) -> str:
    """user@host:port"""
    return f"{hop.user}@[{hop.host}]:{hop.port}" if ":" in hop.host else f"{address(hop)}:{hop.port}"


def words(site: Site) -> tuple[str, ...]:
    """ssh and its options, without the host; each host on the way is verified in the same manner."""
    hops = [hop._replace(user=hop.user or target(site).user) for hop in site.jumps]
    through: tuple[str, ...] = ()
    for hop, following in zip(hops, [*hops[1:], target(site)], strict=False):
        to = f"[{following.host}]:{following.port}"
        command = quote_all((*_options(site, hop.port), *through, "-W", to, "--", address(hop)))
        through = ("-o", f"ProxyCommand={command}".replace("%", "%%"))
    return (*_options(site, site.port), *through)


def _options(site: Site, port: int) -> tuple[str, ...]:
    seconds = max(1, round(site.connect_timeout.total_seconds()))
    alive = max(1, round(site.keepalive.total_seconds()))
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ConnectTimeout": str(seconds),
        "ServerAliveInterval": str(alive),
        "ServerAliveCountMax": "3",
        "LogLevel": "ERROR",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "Port": str(port),
        "ControlPath": "none",
    }
    if site.known_hosts is not None:
        options |= {"UserKnownHostsFile": _path(site.known_hosts), "GlobalKnownHostsFile": "/dev/null"}
    if site.key_file is not None:
        options |= {"IdentityFile": _path(site.key_file), "IdentitiesOnly": "yes"}
    if not site.agent:
        options["IdentityAgent"] = "none"
    if ciphers := site.cipher or _ciphers():
        options["Ciphers"] = ciphers
    return ("ssh", *(word for key, value in options.items() for word in ("-o", f"{key}={value}")))


def _path(path: object) -> str:
    """A path as ssh reads it in an option: one word, no % of it expanded."""
    escaped = str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\") else escaped


@cache
def _ciphers() -> str:
    """Those that this machine's ssh knows, the quickest first; empty when it does not say."""
    try:
        done = subprocess.run(("ssh", "-Q", "cipher"), capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    known = done.stdout.split()
    return ",".join(name for name in CIPHERS if name in known)
