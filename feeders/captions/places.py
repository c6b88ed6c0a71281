"""Where the rows of a sample stand, as text that travels with its name.

Parts are replaced and merged, so a place is a hint: whoever reads there sees whether the row is
the one he looks for. Names order the samples, and no part can change that order.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from msgspec import Struct

from caption_flow.model import Listed

_BETWEEN = "\x01"  # name and place in one line; escaping keeps it out of names
_NEXT = "\n"
_ESCAPED = {"\0": "\x02a", "\x01": "\x02b", "\x02": "\x02c"}
_TO_ESCAPE = re.compile("[\0-\x02]")
_MEANT = {spelled: mark for mark, spelled in _ESCAPED.items()}
_TO_READ = re.compile("\x02[abc]")
_DIGITS = re.compile(r"[0-9]{1,18}")


class Place(Struct, frozen=True, order=True):
    """Where a row stands."""

    folder: int  # which of the folders that were named
    part: str  # name of its file
    row: int  # within the file, from 0

    @property
    def spelled(self) -> str:
        """The place as text."""
        return f"{self.folder}:{self.row}:{self.part}"


def read(text: str) -> list[Place]:
    """Read places, perhaps a stranger's; what is none is left out."""
    return [place for line in text.split(_NEXT) if (place := _place(line)) is not None]


def _place(line: str) -> Place | None:
    folder, _, rest = line.partition(":")
    row, _, part = rest.partition(":")
    if not part or not _DIGITS.fullmatch(folder) or not _DIGITS.fullmatch(row):
        return None
    return Place(int(folder), part, int(row))


def key(name: str) -> str:
    """Spell a name so that lines sort as names do, one that begins like another included."""
    return _TO_ESCAPE.sub(lambda hit: _ESCAPED[hit[0]], name)


def line(name: str, place: Place) -> str:
    """Spell a name and a place of it, to be sorted."""
    return f"{key(name)}{_BETWEEN}{place.spelled}"


def listed(lines: Iterable[str]) -> Iterator[Listed]:
    """Turn sorted lines into samples, each with all its places."""
    for spelled, same in groupby(lines, lambda line: line.partition(_BETWEEN)[0]):
        name = _TO_READ.sub(lambda hit: _MEANT[hit[0]], spelled)
        yield Listed(name, _NEXT.join(line.partition(_BETWEEN)[2] for line in same))
