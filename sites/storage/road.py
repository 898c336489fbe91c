"""The roads by which data go from one storage to another: rsync on one machine, or over ssh with this machine at one
end."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..command import Command, Result
from ..quote import quote_all, shown, to_bytes, to_text, words_of
from ..transport import RemoteShell, TransportFailed
from ..work import Work
from . import paths
from .access import OWN, SECOND, Access, Ask
from .errors import Missing, NoRoad, NotPlainFile

SEND, RECEIVE, STAGE, STAGED, UNSTAGE = map(Ask, ("send", "receive", "stage", "staged", "unstage"))
#: kept are times, modes (but we may always read), links and holes; hard links become files of their own
RSYNC = (
    *("rsync", "--recursive", "--links", "--times", "--perms", "--chmod=Du+rwx,Fu+r,Fug-s"),
    *("--sparse", "--whole-file"),
)
SILENCE = 600  # seconds without a byte after which rsync gives a connection up
PARTIAL, VANISHED = 23, 24  # rsync: some files were not copied; some vanished
MOST = 1000  # directories in one rsync


class Way(NamedTuple):
    """Where rsync runs, and how it reaches the other end: `pulls` from there, or pushes to there."""

    runs: Access
    shell: RemoteShell | None
    pulls: bool


def way(source: Access, target: Access) -> Way:
    """The way from `source` to `target`; raises NoRoad."""
    if source.transport.place == target.transport.place:
        return Way(target, None, True)
    there, here = source.transport.remote_shell(), target.transport.remote_shell()
    if here is None and there is not None:
        return Way(target, there, True)
    if there is None and here is not None:
        return Way(source, here, False)
    raise NoRoad(
        storage=target.name,
        source=source.name,
        target=target.name,
        source_place=source.transport.place,
        target_place=target.transport.place,
    )


def rsync_words(shell: RemoteShell, wrapper: Sequence[str]) -> tuple[str, ...]:
    """The options with which rsync reaches its other end, which `wrapper` (words) starts there."""
    return (
        f"--rsh={' '.join(_rsync_quoted(word) for word in shell.argv)}",
        f"--rsync-path={remote_line((*wrapper, 'rsync'))}",
        "--secluded-args",
        f"--timeout={SILENCE}",
    )


def remote_line(words: Sequence[str]) -> str:
    """Words as a command line for a login shell of any kind: nothing in it means anything to one.

    The words travel in base64; what follows the line comes after them, as the arguments of the last.
    """
    text = f'exec {quote_all(words)} "$@"\n'
    code = base64.b64encode(to_bytes(text)).decode("ascii")
    return f"sh -c 'eval \"`printf %s {code} | base64 -d`\"' ondeck"


def _rsync_quoted(word: str) -> str:
    """A word of --rsh as rsync takes it apart: in quotes, a quote itself stands twice."""
    return "'" + word.replace("'", "''") + "'"


def pull(
    source: Access, target: Access, source_path: str, part: str, older: Sequence[str], work: Work | None
) -> Result:
    """Copy a directory over ssh; rsync's answer, of code 0 or VANISHED. The one end is this machine."""
    road = way(source, target)
    assert road.shell is not None
    target.need_uuid()
    send = SEND.command(*source.guard(), source_path).argv
    receive = RECEIVE.command(*target.guard(), part).argv
    links = [f"--link-dest={target.path(old)}" for old in older]
    host = f"{road.shell.host}:./"
    title = f"pull {target.name}:{shown(part)}"
    if road.pulls:
        words = (*receive, *RSYNC, *rsync_words(road.shell, send), *links, "--", host, "./")
    else:
        words = (*send, *RSYNC, *rsync_words(road.shell, receive), *links, "--", "./", host)
    result = road.runs.transport.run(Command(words, b"", title), timeout=target.longest, work=work)
    if result.code not in (0, VANISHED):
        _explain(result, source, target, source_path, part)
        raise _failed(road, title, result)
    return result


def pull_many(source: Access, target: Access, parts: Mapping[str, str], work: Work | None) -> None:
    """Copy directories: {part in `target`: path in `source`}. See Changing.pull_many."""
    road = way(source, target)
    target.need_uuid()
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for part, path in parts.items():
        target.path(part)
        source.path(path)
        key = (paths.parent(path) or ".", paths.parent(part) or ".")
        groups.setdefault(key, []).append((paths.last(path), paths.last(part)))
    for (source_folder, folder), pairs in groups.items():
        for i in range(0, len(pairs), MOST):
            _pull_group(road, source, target, source_folder, folder, pairs[i : i + MOST], work)


def _pull_group(
    road: Way,
    source: Access,
    target: Access,
    source_folder: str,
    folder: str,
    pairs: Sequence[tuple[str, str]],
    work: Work | None,
) -> None:
    """Copy directories that lie in one directory into one directory: pairs of name and part, by one rsync.

    rsync gives nothing another name, so that it is shown links that have the names of the parts. A slash behind
    them lets it send what they point to.
    """
    lines = b"".join(to_bytes(f"{name}\n{part}\n") for name, part in pairs)
    args = (*source.guard(), source_folder)
    title = f"stage {source.name}:{shown(source_folder)}"
    staging = STAGE.command(*args, input=lines + b"\n" + _links(pairs), name=title)
    staged = source.transport.run(staging, timeout=source.longest, work=work)
    if staged.code:
        if SECOND <= staged.code < SECOND + 7:
            source._explain(staged.code - SECOND, staged, source_folder, "", "")
        raise source._failure(STAGE, staged, path=source_folder)
    stage = to_text(staged.out)
    try:
        _send(road, target, stage, folder, pairs, work)
    finally:
        source.transport.run(UNSTAGE.command(stage, name=title), timeout=source.patience)


def _send(
    road: Way, target: Access, stage: str, folder: str, pairs: Sequence[tuple[str, str]], work: Work | None
) -> None:
    names = b"".join(to_bytes(f"./{part}/") + b"\0" for _, part in pairs)
    options = ("--no-implied-dirs", "--from0", "--files-from=-")
    receive = RECEIVE.command(*target.guard(), f"{folder}/.").argv
    staged = STAGED.command(stage).argv
    if road.shell is None:
        words = (*receive, *RSYNC, *options, "--", f"{stage}/", "./")
    elif road.pulls:
        words = (*receive, *RSYNC, *rsync_words(road.shell, staged), *options, "--", f"{road.shell.host}:./", "./")
    else:
        words = (*staged, *RSYNC, *rsync_words(road.shell, receive), *options, "--", "./", f"{road.shell.host}:./")
    title = f"pull {target.name}:{shown(folder)} × {len(pairs)}"
    result = road.runs.transport.run(Command(words, names, title), timeout=target.longest, work=work)
    if result.code not in (0, PARTIAL, VANISHED):
        if OWN <= result.code < OWN + 7 and road.pulls:
            target._explain(result.code - OWN, result, folder, "", "")
        _probe(RECEIVE, target, f"{folder}/.", folder, OWN)
        raise _failed(road, title, result)


def _explain(result: Result, source: Access, target: Access, source_path: str, part: str) -> None:
    """Raise what keeps either end from working, if anything does: ssh gives the exit codes of none."""
    _probe(SEND, source, source_path, source_path, SECOND)
    try:
        _probe(RECEIVE, target, f"{paths.parent(part) or '.'}/.", part, OWN)
    except (Missing, NotPlainFile) as error:
        raise type(error)(**{**error.fields, "words": words_of(result.err)}) from None


def _probe(ask: Ask, storage: Access, path: str, about: str, base: int) -> None:
    """Let an end prove where it is, and do nothing; raises what is wrong there."""
    command = ask.command(*storage.guard(), path, "true", name=f"{ask.title} {storage.name}:{shown(about)}")
    result = storage.transport.run(command, timeout=storage.patience)
    if base <= result.code < base + 7:
        storage._explain(result.code - base, result, about, "", "")


def _failed(road: Way, title: str, result: Result) -> TransportFailed:
    words = f"exit code {result.code}: {words_of(result.err) or 'it said nothing'}"
    return TransportFailed(site=road.runs.transport.name, command=title, words=words)


def _links(pairs: Sequence[tuple[str, str]]) -> bytes:
    """A tar with a link for each pair: from the part's name to "@/NAME"."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name, part in pairs:
            info = tarfile.TarInfo(f"./{part}")
            info.type, info.linkname = tarfile.SYMTYPE, f"@/{name}"
            tar.addfile(info)
    return whole.getvalue()
