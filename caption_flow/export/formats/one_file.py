"""Export: formats that are one file, to which rows are added: where it is cut when it goes on."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from caption_flow.export.draft import Blocked, writing
from caption_flow.export.ports import Progress, Rows

_BUFFER = 1 << 20  # bytes


class Lines(Protocol):
    """Makes bytes of rows."""

    def head(self) -> bytes:
        """What stands before all rows."""
        ...

    def lines(self, rows: Rows) -> bytes:
        """Write rows."""
        ...


class OneFile:
    """Writes rows to one file."""

    def __init__(self, path: Path, lines: Lines, begun: Progress | None) -> None:
        """Go on where an earlier writer settled, or begin."""
        self._lines = lines
        self._rows = begun.settled if begun else 0
        with writing(path):
            self._file: IO[bytes] = path.open("r+b" if begun else "wb", buffering=_BUFFER)
            if begun is None:
                self._file.write(lines.head())
            else:
                self._cut(path, int(begun.state["bytes"]))

    def write(self, rows: Rows) -> None:
        """Take rows."""
        with writing(Path(self._file.name)):
            self._file.write(self._lines.lines(rows))
        self._rows += len(rows)

    def settle(self) -> int:
        """Write for good all that was taken."""
        with writing(Path(self._file.name)):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._rows

    def state(self) -> Mapping[str, Any]:
        """Tell where the file ends."""
        return {"bytes": self._file.tell()}

    def finish(self) -> Mapping[str, Any]:
        """Write the rest for good."""
        self.settle()
        return self.state()

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # of what a full disk did not take, as was told
            self._file.close()

    def _cut(self, path: Path, size: int) -> None:
        if self._file.seek(0, os.SEEK_END) < size:
            raise Blocked(f"{path} is shorter than it was. Delete {path.parent} and begin anew.")
        self._file.truncate(size)
        self._file.seek(size)
