"""Gallery: which parts there are, and how many rows each has, by its footer alone.

A look at the folder gives a new standing; whoever holds an older one goes on with that.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from time import monotonic
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, field

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.parts import PartFolder

_SHOW_SECONDS = 0.25  # between two standings while footers are read
_LISTINGS = 3  # of a folder in which parts come and go
_UNSEEN = ""  # the stamp of a file that the disk does not show us


class Part(Struct, frozen=True):
    """A finished part as it was seen."""

    name: str
    stamp: str  # another one for each file that ever bore the name
    rows: int


class Standing(Struct, frozen=True):
    """The parts at one moment, oldest name first."""

    parts: tuple[Part, ...] = ()
    ends: tuple[int, ...] = ()  # rows up to the end of each part
    complete: bool = False  # all parts that are there are counted
    troubles: Mapping[str, str] = field(default_factory=dict)  # parts that cannot be read, and why

    @property
    def rows(self) -> int:
        """How many rows there are, as far as they are counted."""
        return self.ends[-1] if self.ends else 0

    def locate(self, start: int, count: int) -> list[tuple[Part, range]]:
        """Say where some rows of the long list stand."""
        found = []
        stop = min(start + count, self.rows)
        while start < stop:
            at = bisect_right(self.ends, start)
            part, end = self.parts[at], self.ends[at]
            begin = end - part.rows
            found.append((part, range(start - begin, min(stop, end) - begin)))
            start = end
        return found


def stamp_of(facts: os.stat_result) -> str:
    """Tell a file from all others that had its name, or will."""
    return f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}"


def file_of(folder: PartFolder, name: str) -> IO[bytes]:
    """Open a part that was seen, though it may be merged since; FileNotFoundError without it."""
    try:
        return folder.file(name).open("rb")
    except FileNotFoundError:
        return folder.retired(name).open("rb")


class Catalogue:
    """Looks at a folder, again and again; used by one thread."""

    def __init__(self, folder: PartFolder, show: Callable[[Standing], None]) -> None:
        self._folder = folder
        self._show = show
        self._known: dict[str, Part] = {}
        self._troubles: dict[str, tuple[str, str]] = {}  # name -> stamp and why

    def look(self, go_on: Callable[[], bool] = lambda: True) -> Standing:
        """Find what is there now; on the way, show what is counted so far."""
        with on_disk(self._folder.path):
            stamps = self._stamps_of_all()
        self._known = {n: p for n, p in self._known.items() if stamps.get(n) == p.stamp}
        self._troubles = {n: t for n, t in self._troubles.items() if stamps.get(n) == t[0]}
        shown = 0.0
        for name, stamp in stamps.items():
            if name in self._known or name in self._troubles:
                continue
            if not go_on():
                break
            self._count(name, stamp)
            if monotonic() > shown + _SHOW_SECONDS:
                self._show(self._standing(stamps, complete=False))
                shown = monotonic()
        standing = self._standing(stamps, complete=True)
        self._show(standing)
        return standing

    def _stamps_of_all(self) -> dict[str, str]:
        """Stamp all parts; where some are gone since they were listed, list what replaces them."""
        for _ in range(_LISTINGS):
            names = self._folder.published()
            stamps = dict(self._stamps(names))
            if len(stamps) == len(names):
                break
        return stamps

    def _stamps(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            try:
                yield name, stamp_of(self._folder.file(name).stat())
            except FileNotFoundError:  # just now
                continue
            except OSError:  # which is told when it is counted
                yield name, _UNSEEN

    def _count(self, name: str, stamp: str) -> None:
        try:
            with file_of(self._folder, name) as file:
                if stamp_of(os.fstat(file.fileno())) == stamp:  # else it is met the next time
                    self._known[name] = Part(name, stamp, pq.read_metadata(file).num_rows)
        except FileNotFoundError:
            return
        except (pa.ArrowException, OSError) as exc:
            # What the disk refuses now it may give at the next look.
            refused = getattr(exc, "errno", None) is not None
            self._troubles[name] = (_UNSEEN if refused else stamp, " ".join(str(exc).split()))

    def _standing(self, stamps: Mapping[str, str], *, complete: bool) -> Standing:
        parts = tuple(self._known[name] for name in stamps if name in self._known)
        return Standing(
            parts,
            tuple(accumulate(part.rows for part in parts)),
            complete=complete,
            troubles={name: why for name, (_, why) in self._troubles.items()},
        )
