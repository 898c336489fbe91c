"""Kills what this process has started when it dies, however it dies.

The kernel's parent-death signal reaches a command, but not the command's own children. The keeper is one
small shell that holds the reading end of a pipe and the numbers of the running process groups; when the pipe
breaks, because this process is gone, it kills them. A command enters its own number before it does anything
else (`words`), so that there is no moment at which it could be missed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import threading

SCRIPT = """
trap '' HUP INT TERM PIPE
all=' '
while read -r what group; do
    case $what in
    +) case $all in *" $group "*) ;; *) all="$all$group " ;; esac ;;
    -) case $all in *" $group "*) all="${all%%" $group "*} ${all#*" $group "}" ;; esac ;;
    esac
done
for group in $all; do kill -KILL "-$group"; done
"""

ENTER = """
pipe=/proc/$1/fd/0
shift
{ echo "+ $$" >"$pipe"; } 2>/dev/null
exec "$@"
"""

_lock = threading.Lock()
_groups: set[int] = set()
_keeper: subprocess.Popen[bytes] | None = None


def words() -> tuple[str, ...]:
    """The words before a command by which it tells the keeper of its process group, which it leads."""
    with _lock:
        return ("sh", "-c", ENTER, "ondeck-start", str(_renew()))


def keep(group: int) -> None:
    """Kill this process group when this process dies."""
    with _lock:
        _renew()
        _groups.add(group)
        _say(f"+ {group}\n")


def forget(group: int) -> None:
    """This process group has ended. Call it before the number can be given to another."""
    with _lock:
        _groups.discard(group)
        _say(f"- {group}\n")


def _renew() -> int:
    """Start the keeper if this process has none; its process number."""
    global _keeper
    if _keeper is not None and _keeper.poll() is None:
        return _keeper.pid
    if _keeper is not None and _keeper.stdin is not None:
        _keeper.stdin.close()
    _keeper = subprocess.Popen(
        ("sh", "-c", SCRIPT, "ondeck-keeper"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        bufsize=0,
        start_new_session=True,
    )
    for group in _groups:
        _say(f"+ {group}\n")
    return _keeper.pid


def _say(line: str) -> None:
    if _keeper is not None and _keeper.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it was killed: the next `keep` starts another
            os.write(_keeper.stdin.fileno(), line.encode())


def _after_fork() -> None:
    """In a forked child: let go of the parent's pipe, so that its keeper sees the parent's end."""
    global _lock, _keeper
    _lock = threading.Lock()  # another thread of the parent may have held it
    if _keeper is not None and _keeper.stdin is not None:
        _keeper.returncode = 0  # the parent's child, not ours
        _keeper.stdin.close()
    _keeper = None
    _groups.clear()


def _at_exit() -> None:
    """Let the keeper do its work and go."""
    if _keeper is not None and _keeper.stdin is not None:
        _keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            _keeper.wait(5)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
