"""Physical lines of a file with the byte each begins at, and none longer than a limit in memory."""

import io
from collections.abc import Iterator
from functools import partial

from feeders.files.port import File, FileUnreadable

LONGEST = 1 << 20  # bytes of a line, and of a row of several lines
_MARK = b"\xef\xbb\xbf"  # of UTF-8
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BUFFER = 1 << 16


class Lines:
    """Lines from one byte on, each with the newline it ends in."""

    def __init__(self, file: File, start: int, end: int | None = None) -> None:
        self._blocks = file.stream(start, end)
        raw = io.BufferedReader(_Joined(self._blocks), _BUFFER)
        self._some = partial(raw.readline, LONGEST + 1)
        self.at = start  # the byte after the last line that was given

    def __iter__(self) -> Iterator[bytes]:
        for line in iter(self._some, b""):
            self.at += len(line)
            if len(line) > LONGEST:
                self._pass_the_rest(line)
            yield line

    def close(self) -> None:
        """Let go of what the lines come from."""
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()

    def _pass_the_rest(self, line: bytes) -> None:
        """Go on to the end of a line of which one byte more than the limit was read."""
        while line and not line.endswith(b"\n"):
            line = self._some()
            self.at += len(line)


class _Joined(io.RawIOBase):
    """Blocks one after the other, as Python's own kind of file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Give the rest of the last block, or the next."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        length = min(len(buffer), len(self._rest))
        buffer[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length


def first_byte(file: File) -> int:
    """Find where the text begins, after the mark that some programs put before it."""
    size = file.facts().size
    start = file.read(0, min(size, len(_MARK)))
    if start.startswith(_UTF_16):
        raise FileUnreadable(f"{file.where} is UTF-16. Convert it to UTF-8.")
    return len(_MARK) if start == _MARK else 0
