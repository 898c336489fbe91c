"""Which directories of attempts there are at a site, whether the run database knows them or not."""

from __future__ import annotations

from .attemptbulk import NoAnswer, Place, Unmounted
from .command import MB
from .quote import shown, to_text, words_of
from .scripts import Script
from .transport import Transport
from .work import Work

LIST = Script("attempt-list", "attempt-guard")
TIMEOUT = 3600.0


def attempts_there(transport: Transport, place: Place, *, work: Work | None = None) -> list[str]:
    """The absolute names of all attempts' directories, sorted. Raises NoAnswer, Unmounted, and as Transport.run."""
    result = transport.run(LIST.command(*place, limit=1000 * MB), timeout=TIMEOUT, work=work)
    fields = result.out.split(b"\0")
    if fields[-2:] == [b"unmounted", b""]:
        raise Unmounted(site=transport.name, root=shown(place.root), uuid=place.uuid)
    if result.code or fields[-3:] != [b"0", b"end", b""]:
        words = words_of(result.err) or f"exit code {result.code}, no whole answer"
        raise NoAnswer(site=transport.name, command=LIST.name, words=words)
    return sorted(f"{place.root}/{to_text(name)}" for name in fields[:-3])
