"""Gallery: the index in which rows are searched, an SQLite file with FTS5.

A row is known by its part's number and its own, in one integer, so that what is found needs no
further look-up; its text is indexed and not kept: the parts have it. What rows can be filtered by
are words of a column of their own, and each filter is as quick as a word.

A part that is gone or was rewritten is not live any more: what is found in it is left out, until
there is so much of it that the index is begun anew.
"""

import os
import sqlite3
import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from caption_flow.dataset.gallery.catalogue import Part
from caption_flow.dataset.gallery.query import EVERY, question
from caption_flow.dataset.gallery.scripts import spaced
from caption_flow.errors import CaptionFlowError

Facet: TypeAlias = tuple[str, str]  # kind and value, as in ("shard", "00012.tar")

_VERSION = 2  # of the tables, as _BEGIN says; an index of another is begun anew
_SHIFT = 32  # bits of a row's number in its part
MOST_FOUND = 5_000_000  # rows that one search gives, 8 bytes each
_PIECE = 10_000  # rows that are found at a time, at least
_SECONDS = 1.0  # after which what is found is enough
_PATIENCE = 8.0  # of a search that has found next to nothing
_WASTE = 100_000  # rows that are not live, before the index may be begun anew for them
_BEGIN = """
DROP TABLE IF EXISTS part;
DROP TABLE IF EXISTS facet;
DROP TABLE IF EXISTS tally;
DROP TABLE IF EXISTS rows;
CREATE TABLE part (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, stamp TEXT NOT NULL,
  rows INTEGER NOT NULL, live INTEGER NOT NULL);
CREATE UNIQUE INDEX live_part ON part (name) WHERE live;
CREATE TABLE facet (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, value));
CREATE TABLE tally (
  facet INTEGER NOT NULL, part INTEGER NOT NULL, rows INTEGER NOT NULL,
  PRIMARY KEY (facet, part)) WITHOUT ROWID;
CREATE VIRTUAL TABLE rows USING fts5 (
  said, about, facets, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2');
INSERT INTO rows (rows, rank) VALUES ('hashsize', 16777216);
PRAGMA user_version = 2;
"""


class Entry(Struct, frozen=True):
    """A row as it is indexed."""

    said: str  # the captions
    about: str  # what else can be searched for
    facets: tuple[Facet, ...]


class Counted(Struct, frozen=True):
    """A value that rows can be filtered by."""

    value: str
    rows: int


class IndexUnusable(CaptionFlowError):
    """The index cannot be read or written; the sentence says why. All else works without it."""


class IndexDamaged(IndexUnusable):
    """The index has to be made anew."""


class Index:
    """Written by one thread and searched by others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facets: dict[Facet, int] = {}
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._opened()
            self._inode = path.stat().st_ino

    def check(self) -> None:
        """Raise IndexDamaged where the file was deleted, or is not the one that we write."""
        with told(self._path):
            found = self._path.stat().st_ino if self._path.exists() else None
        if found != self._inode:
            raise IndexDamaged(f"The search index {self._path} was deleted. It is made anew soon.")

    def close(self) -> None:
        """Let go of the file."""
        self._writer.close()

    def known(self) -> dict[str, str]:
        """Tell the stamps of the parts that are indexed, by their names."""
        with told(self._path), self._reader() as reader:
            return dict(reader.execute("SELECT name, stamp FROM part WHERE live"))

    def add(self, part: Part, entries: Iterable[Entry]) -> None:
        """Index a part, all of it or nothing."""
        try:
            with told(self._path), self._writer as writer:
                writer.execute("BEGIN")
                _retire(writer, part.name)
                self._insert(writer, part, entries)
        except BaseException:
            self._facets.clear()  # they may have been rolled back
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Leave parts out from now on."""
        with told(self._path), self._writer as writer:
            writer.execute("BEGIN")
            for name in names:
                _retire(writer, name)

    def tidy(self) -> bool:
        """Begin anew where most of the index is of parts that are gone; says whether it did."""
        with told(self._path):
            sums = "SELECT live, sum(rows) FROM part GROUP BY live"
            rows = dict(self._writer.execute(sums).fetchall())
            if rows.get(0, 0) <= max(rows.get(1, 0), _WASTE):
                return False
            self._facets.clear()
            with self._writer as writer:
                writer.execute("BEGIN IMMEDIATE")
                _begin(writer)
            return True

    def find(self, typed: str, facets: Sequence[Facet], *, newest: bool = False) -> "Found":
        """Find rows, the first ones first; raises IndexUnusable where that takes too long."""
        with told(self._path), self._reader(_PATIENCE) as reader:
            words = [_word(reader, facet) for facet in facets]
            parts = {n: (name, stamp) for n, name, stamp in reader.execute(_LIVE)}
            asked = question(typed, [word for word in words if word])
            if None in words or not asked:  # no row has it, or it asks for no word
                return Found(array("q"), parts, whole=True)
            order = "DESC" if newest else "ASC"
            sql = f"SELECT rowid FROM rows WHERE rows MATCH ? ORDER BY rowid {order}"  # noqa: S608
            hits, whole = _fetched(reader.execute(sql, (asked,)))
        if newest:
            hits.reverse()
        ordered = _by_name(hits, parts)
        if newest:
            ordered.reverse()
        return Found(ordered, parts, whole=whole)

    def facets(self, kind: str, like: str, count: int) -> list[Counted]:
        """List the values of a kind that most rows have, and that have this in them."""
        pattern = "".join(f"\\{c}" if c in "\\%_" else c for c in like)
        sql = (
            "SELECT value, sum(tally.rows) AS many FROM facet"
            " JOIN tally ON tally.facet = facet.id JOIN part ON part.id = tally.part"
            " WHERE live AND kind = ? AND value LIKE ? ESCAPE '\\'"
            " GROUP BY facet.id ORDER BY many DESC, value LIMIT ?"
        )
        with told(self._path), self._reader(_PATIENCE) as reader:
            found = reader.execute(sql, (kind, f"%{pattern}%", count))
            return [Counted(value, rows) for value, rows in found]

    def _opened(self) -> sqlite3.Connection:
        with ExitStack() as failed:
            writer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            failed.callback(writer.close)
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = NORMAL")
            if not _is_begun(writer):
                with writer:  # alone: another view may be opening it too
                    writer.execute("BEGIN IMMEDIATE")
                    if not _is_begun(writer):
                        _begin(writer)
            failed.pop_all()
            return writer

    @contextmanager
    def _reader(self, patience: float = 0.0) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as reader:
            reader.execute("PRAGMA query_only = 1")
            if patience:
                deadline = time.monotonic() + patience
                reader.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            reader.execute("BEGIN")
            yield reader

    def _insert(self, writer: sqlite3.Connection, part: Part, entries: Iterable[Entry]) -> None:
        row = (part.name, part.stamp, part.rows)
        sql = "INSERT INTO part (name, stamp, rows, live) VALUES (?, ?, ?, 1)"
        number = writer.execute(sql, row).lastrowid or 0
        tally: Counter[int] = Counter()
        writer.executemany(
            "INSERT INTO rows (rowid, said, about, facets) VALUES (?, ?, ?, ?)",
            self._words(writer, number, entries, tally),
        )
        counted = [(facet, number, rows) for facet, rows in tally.items()]
        writer.executemany("INSERT INTO tally VALUES (?, ?, ?)", counted)

    def _words(
        self,
        writer: sqlite3.Connection,
        part: int,
        entries: Iterable[Entry],
        tally: Counter[int],
    ) -> Iterator[tuple[int, str, str, str]]:
        for number, entry in enumerate(entries):
            numbers = [self._number(writer, facet) for facet in dict.fromkeys(entry.facets)]
            tally.update(numbers)
            words = " ".join([EVERY, *map(_spelt, numbers)])
            row = (part << _SHIFT) + number
            yield row, spaced(entry.said), spaced(entry.about), words

    def _number(self, writer: sqlite3.Connection, facet: Facet) -> int:
        if facet not in self._facets:
            if len(self._facets) >= _REMEMBERED:
                self._facets.clear()
            writer.execute("INSERT OR IGNORE INTO facet (kind, value) VALUES (?, ?)", facet)
            self._facets[facet] = _id_of(writer, facet) or 0
        return self._facets[facet]


_LIVE = "SELECT id, name, stamp FROM part WHERE live"
_REMEMBERED = 50_000  # facets, of which rows that follow one another mostly have the same


class Found(Struct, frozen=True):
    """What a search has found, oldest name of a part first, or last."""

    hits: "array[int]"
    parts: dict[int, tuple[str, str]]  # names and stamps by number
    whole: bool  # there are no more

    def at(self, place: int) -> tuple[str, str, int]:
        """Name the part of a hit, with its stamp, and its row there."""
        hit = self.hits[place]
        return *self.parts[hit >> _SHIFT], hit & (1 << _SHIFT) - 1


def remove(path: Path) -> None:
    """Remove the file of an index, and what SQLite keeps beside it."""
    with told(path):
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{end}")  # noqa: PTH108


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Stand around what uses the file; what is wrong with it becomes a sentence."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        if "interrupted" in str(exc):
            raise IndexUnusable("This search takes too long: say more of what you want.") from exc
        if "no such table" in str(exc):  # the file was deleted, and this is one without anything
            raise _damaged(path, exc) from exc
        raise _refused(path, exc) from exc
    except OSError as exc:
        raise _refused(path, exc) from exc
    except sqlite3.DatabaseError as exc:
        raise _damaged(path, exc) from exc


def _refused(path: Path, exc: Exception) -> IndexUnusable:
    return IndexUnusable(
        f"The search index {path} cannot be used now: {exc}. See that there is room and that this "
        "user may write there; it is tried again."
    )


def _damaged(path: Path, exc: Exception) -> IndexDamaged:
    return IndexDamaged(f"The search index {path} is damaged: {exc}. It is made anew soon.")


def _is_begun(writer: sqlite3.Connection) -> bool:
    return bool(writer.execute("PRAGMA user_version").fetchone() == (_VERSION,))


def _begin(writer: sqlite3.Connection) -> None:
    """Make empty tables in the place of those that are there, within a transaction."""
    for statement in _BEGIN.split(";"):
        writer.execute(statement)


def _fetched(cursor: sqlite3.Cursor) -> tuple["array[int]", bool]:
    """Take what is found; of very much only what comes soon, for nobody looks at all of it."""
    hits = array("q")
    enough_at = time.monotonic() + _SECONDS
    while len(hits) < MOST_FOUND and (len(hits) < _PIECE or time.monotonic() < enough_at):
        piece = cursor.fetchmany(_PIECE)
        hits.extend(hit for (hit,) in piece)
        if len(piece) < _PIECE:
            return hits, True
    return hits, False


def _by_name(hits: "array[int]", parts: Mapping[int, tuple[str, str]]) -> "array[int]":
    """Sort what is found by the names of parts, where it is by when they were indexed.

    What is of no part that is live is left out.
    """
    runs = []
    at = 0
    while at < len(hits):
        part = hits[at] >> _SHIFT
        end = bisect_left(hits, (part + 1) << _SHIFT, at)
        if part in parts:
            runs.append((parts[part][0], at, end))
        at = end
    ordered = array("q")
    for _, at, end in sorted(runs):
        ordered += hits[at:end]
    return ordered


def _retire(writer: sqlite3.Connection, name: str) -> None:
    ids = writer.execute("SELECT id FROM part WHERE live AND name = ?", (name,)).fetchall()
    writer.executemany("UPDATE part SET live = 0 WHERE id = ?", ids)
    writer.executemany("DELETE FROM tally WHERE part = ?", ids)


def _word(reader: sqlite3.Connection, facet: Facet) -> str | None:
    number = _id_of(reader, facet)
    return None if number is None else _spelt(number)


def _id_of(connection: sqlite3.Connection, facet: Facet) -> int | None:
    sql = "SELECT id FROM facet WHERE kind = ? AND value = ?"
    found = connection.execute(sql, facet).fetchone()
    return None if found is None else int(found[0])


def _spelt(facet: int) -> str:
    return f"f{facet}"
