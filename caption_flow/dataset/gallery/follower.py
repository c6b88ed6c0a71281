"""Gallery: a thread that follows what happens to the parts: it counts and indexes them."""

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from caption_flow.dataset.gallery.catalogue import Catalogue, Part, Standing
from caption_flow.dataset.gallery.entries import entries
from caption_flow.dataset.gallery.index import Entry, Index, IndexUnusable
from caption_flow.dataset.gallery.rows import Changed, opened, reading
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import CaptionFlowError

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0  # between two looks at the folder
_SHARE = 0.05  # of its time that a large folder may be looked at
_WAIT_SECONDS = 6.0  # before whoever asks is told that what he asks for is not there yet


class _Stopped(Exception):
    """We end."""


class Follower:
    """Keeps a standing of the parts and an index of their rows up to date."""

    def __init__(self, folder: PartFolder, index: Path) -> None:
        self.standing = Standing()
        self.index: Index | None = None
        self.indexed = 0  # rows of the parts that are there
        self.generation = 0  # another after each change of the index
        self.why = ""  # there is no index
        self.trouble = ""  # with the folder, for now
        self._folder = folder
        self._index_path = index
        self._catalogue = Catalogue(folder, self._show)
        self._lock: IO[bytes] | None = None  # who has it writes the index
        self._adding = False  # a part, whose rows are found when all are in
        self._followed: tuple[Part, ...] | None = None  # parts as they were indexed last
        self._bad: dict[str, str] = {}  # stamps of parts that could not be indexed
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

    def look_again(self) -> None:
        """Look at the folder soon: something has changed."""
        self._look.set()

    @property
    def busy(self) -> bool:
        """Whether rows are missing in the index that will be there."""
        missing = self._adding or self.indexed < self.standing.rows
        return self.index is not None and missing

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
            if self.index is not None:
                self.index.close()
            if self._lock is not None:
                self._lock.close()

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
        try:
            if self.index is None and not self.why:
                self._open_index(Index(self._index_path))
            if self.index is not None:
                self._index(self.index)
        except IndexUnusable as exc:
            logger.warning("%s Rows are not searched; all else works", exc)
            index, self.index = self.index, None
            if index is not None:
                index.close()
            with self._counting:
                self.why = str(exc)
                self._counting.notify_all()

    def _open_index(self, index: Index) -> None:
        with self._counting:
            self.index = index
            self._counting.notify_all()

    def _index(self, index: Index) -> None:
        standing = self.standing
        if self._lock and standing.parts == self._followed:
            return
        parts = {part.name: part for part in standing.parts}
        self._lock = self._lock or _locked(self._index_path.with_suffix(".lock"))
        if self._lock and (gone := index.known().keys() - parts.keys()):
            index.remove(gone)
            index.tidy()
            self.generation += 1
        known = index.known()
        missing = [part for part in parts.values() if known.get(part.name) != part.stamp]
        self.indexed = standing.rows - sum(part.rows for part in missing)
        if not self._lock:  # another view of the same parts writes it
            self.generation += 1
            return
        for part in missing:
            if self._bad.get(part.name) != part.stamp:
                self._add(index, part)
        self._followed = standing.parts

    def _add(self, index: Index, part: Part) -> None:
        before, self._adding = self.indexed, True
        try:
            with opened(self._folder, part.name, part.stamp) as file:
                index.add(part, self._counted(part.name, entries(file)))
        except Changed:
            self.indexed = before
            self._look.set()
        except IndexUnusable:
            raise
        except CaptionFlowError as exc:
            self.indexed = before
            self._bad[part.name] = part.stamp
            logger.warning("%s Its rows are not searched", exc)
        else:
            self.generation += 1
        finally:
            self._adding = False

    def _counted(self, name: str, batches: Iterator[list[Entry]]) -> Iterator[Entry]:
        with reading(self._folder, name):
            for batch in batches:
                if self._stop.is_set():
                    raise _Stopped
                yield from batch
                self.indexed += len(batch)


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
