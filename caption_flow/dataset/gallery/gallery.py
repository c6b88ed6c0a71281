"""Gallery: what is asked of it: a page of rows, one row, what there is to filter by."""

import hashlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct, field

from caption_flow.dataset.gallery.follower import Follower
from caption_flow.dataset.gallery.index import Counted, Facet, Found, IndexDamaged
from caption_flow.dataset.gallery.rows import Changed, Row, opened
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import CaptionFlowError

_KEPT = 4  # searches whose hits are in memory, 8 bytes each

Choice = Counted
_Place: TypeAlias = tuple[str, str, int]  # part, its stamp, and the row there


class Ask(Struct, frozen=True):
    """Which rows are meant; nothing said, all are."""

    text: str = ""  # as a person types it
    facets: tuple[Facet, ...] = ()  # all of which a row must have

    @property
    def everything(self) -> bool:
        """Whether all rows are meant."""
        return not self.text.strip() and not self.facets


class Page(Struct, frozen=True):
    """Some rows of those that are meant."""

    rows: list[Row]
    start: int  # place of the first among all that are meant
    total: int  # of all that are meant, as far as is known
    complete: bool  # that is all, unless parts are added
    notes: tuple[str, ...] = ()  # why rows are missing


class State(Struct, frozen=True):
    """How far the gallery is."""

    rows: int
    parts: int
    counted: bool  # all parts are
    indexed: int  # rows that are searched
    indexing: bool  # more will be
    generation: int = 0  # another whenever other rows may be found
    search: str = ""  # why there is none
    troubles: Mapping[str, str] = field(default_factory=dict)  # parts that cannot be read, and why
    trouble: str = ""  # with all of them, for now


class NoSearch(CaptionFlowError):
    """Rows cannot be searched or filtered here."""


class Gallery:
    """The rows of all finished parts; asked from any thread, while its context lasts."""

    def __init__(self, folder: PartFolder, cache: Path) -> None:
        self._folder = folder
        name = hashlib.sha256(str(folder.path.resolve()).encode(errors="surrogateescape"))
        self._follower = Follower(folder, cache / f"{name.hexdigest()[:32]}.sqlite")
        self._found: OrderedDict[tuple[Ask, bool, int], Found] = OrderedDict()
        self._lock = threading.Lock()

    def state(self) -> State:
        """Tell how far it is."""
        follower, standing = self._follower, self._follower.standing
        return State(
            rows=standing.rows,
            parts=len(standing.parts),
            counted=standing.complete,
            indexed=min(follower.indexed, standing.rows),
            indexing=follower.busy and standing.rows > 0,  # else there is no share
            generation=follower.generation,
            search=follower.why,
            troubles={
                **standing.troubles,
                **{name: one.why for name, one in follower.unread.items()},
            },
            trouble=follower.trouble,
        )

    def page(self, ask: Ask, start: int, count: int, *, newest: bool = False) -> Page:
        """Read some rows; `newest`: counted from the end."""
        standing = self._follower.standing
        if ask.everything or (standing.complete and not standing.parts):
            # The newest can be told only when all are counted.
            self._follower.await_rows(sys.maxsize if newest else start + count)
            return self._browse(start, count, newest=newest)
        return self._search(ask, start, count, newest=newest)

    def row(self, part: str, number: int, id_: str) -> Row | None:
        """Read all of a row; where its part was rewritten, by its id; None where it is gone."""
        parts = {one.name for one in self._follower.standing.parts}
        if part not in parts:
            part = self._folder.look().superseded.get(part, "")
        if part not in parts:
            return None
        try:
            with opened(self._folder, part) as file:
                found = next(file.rows([number], whole=True), None)
                if found is None or found.id != id_:  # the part was rewritten, or merged
                    moved = file.number_of(id_)
                    found = None if moved is None else next(file.rows([moved], whole=True))
                return found
        except Changed:
            self._follower.look_again()
            return None

    def choices(self, kind: str, like: str = "", count: int = 100) -> list[Choice]:
        """List values that rows can be filtered by, the most frequent first."""
        index = self._follower.index
        if index is None:
            return []
        with self._watching():
            return index.facets(kind, like, count)

    def __enter__(self) -> Self:
        self._follower.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self._follower.stop()

    def _browse(self, start: int, count: int, *, newest: bool) -> Page:
        standing = self._follower.standing
        first, size = _window(start, count, standing.rows, newest=newest)
        wanted = [
            (part.name, part.stamp, number)
            for part, numbers in standing.locate(first, size)
            for number in numbers
        ]
        rows, notes = self._read(wanted[::-1] if newest else wanted)
        return Page(rows, start, standing.rows, standing.complete, notes)

    def _search(self, ask: Ask, start: int, count: int, *, newest: bool) -> Page:
        found = self._find(ask, newest=newest)
        total = len(found.hits)
        wanted = [found.at(place) for place in range(start, min(start + count, total))]
        rows, notes = self._read(wanted)
        return Page(rows, start, total, found.whole and not self._follower.busy, notes)

    def _find(self, ask: Ask, *, newest: bool) -> Found:
        self._follower.await_index()
        index, key = self._follower.index, (ask, newest, self._follower.generation)
        if index is None:
            raise NoSearch(self._follower.why or "The search index takes long to open. Try again.")
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        with self._watching():
            found = index.find(ask.text, ask.facets, newest=newest)
        with self._lock:
            self._found[key] = found
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Stand around what is looked up in the index; one that is damaged is begun anew."""
        try:
            yield
        except IndexDamaged as exc:
            self._follower.doubt(exc)
            raise

    def _read(self, wanted: Sequence[_Place]) -> tuple[list[Row], tuple[str, ...]]:
        """Read rows, each part once; answers why some are missing as well."""
        read: dict[tuple[str, int], Row] = {}
        notes = []
        for part, stamp in dict.fromkeys((part, stamp) for part, stamp, _ in wanted):
            numbers = [number for name, _, number in wanted if name == part]
            try:
                with opened(self._folder, part, stamp) as file:
                    read |= {(part, row.number): row for row in file.rows(numbers)}
            except Changed:
                self._follower.look_again()
                notes.append(f"{part} has just changed. Look again in a moment.")
            except CaptionFlowError as exc:
                notes.append(str(exc))
        keys = [(part, number) for part, _, number in wanted]
        return [read[key] for key in keys if key in read], tuple(notes)


def _window(start: int, count: int, total: int, *, newest: bool) -> tuple[int, int]:
    """Say which rows of the list are meant, oldest first: from which one on, and how many."""
    start = min(start, total)
    size = min(count, total - start)
    return (total - start - size if newest else start), size
