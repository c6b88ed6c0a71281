"""Reading ahead in a file that is far away, where many small reads would each cost a request.

A read that goes on where an earlier one ended fetches twice as much as that one did, up to a
limit: so reading on costs few requests, and what is fetched in vain is never more than was read.
"""

from collections.abc import Iterator
from threading import Lock

from msgspec import Struct

from caption_flow.model import Reference
from feeders.files.local import LocalFile
from feeders.files.port import Facts, File

LARGEST = 4 << 20  # bytes fetched at a time, unless more are asked for
_KEPT = 4  # runs; a reader of several columns goes on in several places


def near(file: File) -> File:
    """Read ahead in it, if it is far away."""
    return file if isinstance(file, LocalFile) else Ahead(file)


class _Run(Struct, frozen=True):
    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class Ahead:
    """A file of which a few runs of bytes are held, those used last."""

    def __init__(self, file: File) -> None:
        self.name = file.name
        self.where = file.where
        self._file = file
        self._size = 0
        self._runs: list[_Run] = []
        self._lock = Lock()

    def facts(self) -> Facts:
        """Ask anew what the file is."""
        facts = self._file.facts()
        self._size = facts.size
        return facts

    def read(self, start: int, length: int) -> bytes:
        """Read exactly these bytes."""
        run = self._take(start)
        if run is None:
            run = _Run(start, self._file.read(start, length))
        elif run.end < start + length:
            run = self._go_on(run, start, length)
        self._keep(run)
        return run.data[start - run.start : start - run.start + length]

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Read from one byte up to another in pieces."""
        return self._file.stream(start, end)

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        """Say where a worker reads these bytes."""
        return self._file.reference(start, length)

    def _go_on(self, run: _Run, start: int, length: int) -> _Run:
        missing = start + length - run.end
        wanted = max(missing, min(2 * len(run.data), LARGEST))
        wanted = max(missing, min(wanted, self._size - run.end))
        more = self._file.read(run.end, wanted)
        return _Run(start, run.data[start - run.start :] + more)

    def _take(self, start: int) -> _Run | None:
        """Take out the run that holds a byte, or ends before it."""
        with self._lock:
            for run in self._runs:
                if run.start <= start <= run.end:
                    self._runs.remove(run)
                    return run
        return None

    def _keep(self, run: _Run) -> None:
        with self._lock:
            self._runs = [*self._runs, run][-_KEPT:]
