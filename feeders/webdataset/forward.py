"""A stream of bytes, to be read and passed over from front to back."""

from collections.abc import Iterator


class Forward:
    """A stream as something that can be read and passed over."""

    def __init__(self, pieces: Iterator[bytes], at: int = 0) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._at = at  # of the first byte that comes

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def seek(self, at: int) -> None:
        """Pass over what lies between."""
        while self._at < at and (piece := self._next(at - self._at)):
            self._at += len(piece)

    def read(self, size: int) -> bytes:
        """Read so many bytes, or fewer at the end."""
        found: list[memoryview] = []
        missing = size
        while missing and (piece := self._next(missing)):
            found.append(piece)
            missing -= len(piece)
        self._at += size - missing
        return b"".join(found)

    def _next(self, most: int) -> memoryview:
        while not self._rest:
            came = next(self._pieces, None)
            if came is None:
                return self._rest
            self._rest = memoryview(came)
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece
