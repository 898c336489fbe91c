"""A command as it is sent to another machine: one constant line for the shell there, all the rest on stdin."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ..command import Command
from ..quote import quote_all, to_bytes
from ..scripts import text
from .answer import MarkedAnswer


class Ask(NamedTuple):
    """`line` is what the user's shell is given: words that sh, csh and fish read alike. `sent` goes to stdin, which
    then stays open: its end is the command's.
    """

    line: str
    sent: bytes
    answer: MarkedAnswer


def ask(command: Command) -> Ask:
    """How this command is asked of another machine. Raises NulInWord."""
    mark, seal = secrets.token_hex(12), secrets.token_hex(8)
    words = quote_all((mark, str(len(command.input)), *command.argv))
    # Whatever took bytes away from stdin before this shell: only a script that is whole is run.
    script = to_bytes(f": {seal}\nset -- {words}\n{text('remote')}\n: {seal}")
    line = (
        f"exec sh -c 'LC_ALL=C; export LC_ALL; script=$(head -c {len(script)}); "
        f'case $script in ": {seal}"*": {seal}") eval "$script" ;; '
        '*) echo "stdin was read by something else, such as a start-up file of the shell" >&2; exit 1 ;; esac\''
    )
    return Ask(line, script + command.input, MarkedAnswer(command.limit, mark))
