"""Gallery: a thread that follows what happens to the parts: it counts and indexes them."""

import fcntl
import logging
import math
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from msgspec import Struct

from caption_flow.dataset.gallery.catalogue import Catalogue, Part, Standing
from caption_flow.dataset.gallery.entries import entries
from caption_flow.dataset.gallery.index import Entry, Index, IndexDamaged, IndexUnusable, remove
from caption_flow.dataset.gallery.rows import Changed, opened, reading
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import CaptionFlowError, StorageBlocked

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0  # between two looks at the folder
_SHARE = 0.05  # of its time that a large folder may be looked at
_AGAIN_SECONDS = 30.0  # before an index, or a part, that could not be used is tried again
_WAIT_SECONDS = 6.0  # before whoever asks is told that what he asks for is not there yet


class Unread(Struct, frozen=True):
    """A part whose rows cannot be indexed."""

    stamp: str  # empty: they may be another time
    rows: int
    why: str


class _Stopped(Exception):
    """We end."""


class Follower:
    """Keeps a standing of the parts and an index of their rows up to date."""

    def __init__(self, folder: PartFolder, index: Path) -> None:
        self.standing = Standing()
        self.index: Index | None = None
        self.indexed = 0  # rows of the parts that are there
        self.generation = 0  # another after each change of the index
        self.unread: Mapping[str, Unread] = {}  # parts that could not be indexed
        self.why = ""  # there is no index
        self.trouble = ""  # with the folder, for now
        self._folder = folder
        self._index_path = index
        self._catalogue = Catalogue(folder, self._show)
        self._lock: IO[bytes] | None = None  # who has it writes the index
        self._damage: IndexDamaged | None = None  # for which it is to be begun anew
        self._said = ""  # of the index in the log, at last
        self._again_at = -math.inf  # on the monotonic clock: the index is tried again
        self._adding = False  # a part, whose rows are found when all are in
        self._followed: tuple[Part, ...] | None = None  # parts as they were indexed last
        self._followed_until = math.inf  # on the monotonic clock; then parts are tried again
        self._known: dict[str, str] = {}  # stamps of parts that were in the index
        self._stop = threading.Event()
        self._look = threading.Event()
        self._counting = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="caption-flow-gallery", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; a part that is being indexed is left, to be begun again another time."""
        self._stop.set()
        self._look.set()
        self._thread.join()

    def await_rows(self, count: int) -> None:
        """Wait until so many rows are counted, or all that there are; within reason."""
        with self._counting:
            self._counting.wait_for(
                lambda: self.standing.complete or self.standing.rows >= count or self._ended,
                _WAIT_SECONDS,
            )

    def await_index(self) -> None:
        """Wait until the index is open, or it is known why not; within reason."""
        with self._counting:
            self._counting.wait_for(
                lambda: self.index is not None or bool(self.why) or self._ended, _WAIT_SECONDS
            )

    def doubt(self, damage: IndexDamaged) -> None:
        """Begin the index anew soon: a search has met something wrong in it."""
        self._damage = damage
        self._look.set()

    def look_again(self) -> None:
        """Look at the folder soon: something has changed."""
        self._look.set()

    @property
    def busy(self) -> bool:
        """Whether rows are missing in the index that will be there."""
        if self.index is None:
            return False
        unread = sum(one.rows for one in self.unread.values())
        # By rows alone a part that has lost some would seem to be there already.
        behind = self._lock is not None and self.standing.parts != self._followed
        return self._adding or behind or self.indexed + unread < self.standing.rows

    def _show(self, standing: Standing) -> None:
        with self._counting:
            self.standing = standing
            self._counting.notify_all()

    def _run(self) -> None:
        try:
            self._follow()
        except _Stopped:
            pass
        except Exception:  # of any kind: who looks at pages should hear that they are not followed
            logger.exception("The parts are not followed any more")
            self.trouble = "New parts are not seen any more; the log says why. Start again."
        finally:
            with self._counting:
                self._ended = True
                self._counting.notify_all()
            self._let_go()

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._look.clear()
            begun = time.monotonic()
            try:
                self._catalogue.look(lambda: not self._stop.is_set())
                self.trouble = ""
            except CaptionFlowError as exc:  # the disk may come back
                self.trouble = str(exc)
            took = time.monotonic() - begun
            self._bring_up_to_date()
            self._look.wait(max(_LOOK_SECONDS, took / _SHARE))

    def _bring_up_to_date(self) -> None:
        if self.index is None and time.monotonic() < self._again_at:
            return
        try:
            if self.index is not None and self._damage is not None:
                raise self._damage
            self._index(self.index or self._open_index())
        except IndexUnusable as exc:
            self._give_up(exc)

    def _open_index(self) -> Index:
        """Open the index; one that is damaged is begun anew, unless another view writes it."""
        if self._damage is not None and self._may_write():
            remove(self._index_path)
        index = Index(self._index_path)
        self._damage = None
        with self._counting:
            self.index, self.why = index, ""
            self._counting.notify_all()
        return index

    def _give_up(self, exc: IndexUnusable) -> None:
        """Do without an index for now."""
        if str(exc) != self._said:
            logger.warning("%s Rows are not searched till then; all else works", exc)
        self._said = str(exc)
        if isinstance(exc, IndexDamaged):
            self._damage = exc
        else:
            self._again_at = time.monotonic() + _AGAIN_SECONDS
        self._let_go()
        self._followed = None
        with self._counting:
            self.index, self.indexed, self.why = None, 0, str(exc)
            self._counting.notify_all()

    def _let_go(self) -> None:
        if self.index is not None:
            self.index.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _may_write(self) -> bool:
        """Whether no other view of the same parts writes the index."""
        self._lock = self._lock or _locked(self._index_path.with_suffix(".lock"))
        return self._lock is not None

    def _index(self, index: Index) -> None:
        index.check()
        standing, now = self.standing, time.monotonic()
        if self._lock and standing.parts == self._followed and now < self._followed_until:
            return
        parts = {part.name: part for part in standing.parts}
        if self._may_write() and parts:  # where there is none, the folder may be away for a while
            _clear(index, parts)
        known = index.known()
        self.unread = {
            name: one
            for name, one in self.unread.items()
            if name in parts and known.get(name) != parts[name].stamp
        }
        missing = [part for part in parts.values() if known.get(part.name) != part.stamp]
        self.indexed = standing.rows - sum(part.rows for part in missing)
        if known != self._known:
            self.generation += 1
        self._known = known
        if self._lock:
            self._followed, self._followed_until = standing.parts, math.inf
            for part in missing:
                if part.name not in self.unread or self.unread[part.name].stamp != part.stamp:
                    self._add(index, part)

    def _add(self, index: Index, part: Part) -> None:
        before, self._adding = self.indexed, True
        try:
            with opened(self._folder, part.name, part.stamp) as file:
                index.add(part, self._counted(part.name, entries(file)))
        except (_Stopped, IndexUnusable):
            raise
        except Changed:
            self.indexed = before
            self._look.set()
        except StorageBlocked as exc:  # it may be read another time
            self.indexed = before
            self._followed_until = time.monotonic() + _AGAIN_SECONDS
            self._leave_out(part, "", exc)
        except Exception as exc:  # of any kind: the other parts are searched
            self.indexed = before
            self._leave_out(part, part.stamp, exc)
        else:
            self.generation += 1
            self.unread = {name: one for name, one in self.unread.items() if name != part.name}
        finally:
            self._adding = False

    def _leave_out(self, part: Part, stamp: str, exc: Exception) -> None:
        why = str(exc)
        if part.name not in self.unread or self.unread[part.name].why != why:
            logger.warning("%s: %s Its rows are not searched", part.name, why)
        self.unread = {**self.unread, part.name: Unread(stamp, part.rows, why)}

    def _counted(self, name: str, batches: Iterator[list[Entry]]) -> Iterator[Entry]:
        with reading(self._folder, name):
            for batch in batches:
                if self._stop.is_set():
                    raise _Stopped
                yield from batch
                self.indexed += len(batch)


def _clear(index: Index, parts: Collection[str]) -> None:
    """Leave out of the index what is gone, and make it small again."""
    if gone := index.known().keys() - set(parts):
        index.remove(gone)
    index.tidy()


def _locked(path: Path) -> IO[bytes] | None:
    """Lock a file; None where another process has it."""
    with suppress(OSError):
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
        else:
            return file
    return None
