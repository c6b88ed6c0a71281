"""The members of a tar, by its headers. Tars come from strangers and may be damaged or hostile.

A tar is read front to back. What Python's tarfile does not bound is bounded here: how much of
long names is held in memory, sizes below zero, headers without end.
"""

import logging
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

from caption_flow.errors import CaptionFlowError
from feeders.files.port import File
from feeders.spelling import to_text
from feeders.webdataset.places import Member

logger = logging.getLogger(__name__)

BLOCK = tarfile.BLOCKSIZE
MOST_HEADER = 1 << 20  # bytes of one header's long names
_NAME, _SIZE, _BINARY = slice(0, 100), slice(124, 136), 0x80  # in a header
_LONG = 90  # characters of a name that a header may not have room for
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class BadTarError(Exception):
    """A shard that is no tar, or none that can be read; the message says why and what to do."""


class _EndMissingError(Exception):
    """A tar that ends where a header should begin."""


class Reader(Protocol):
    """Bytes that can be read and passed over."""

    def read(self, size: int) -> bytes:
        """Read so many bytes, or fewer at the end."""
        ...

    def seek(self, at: int) -> object:
        """Go on to a byte farther on."""
        ...

    def tell(self) -> int:
        """Give the position."""
        ...


class _Bounded:
    """What tarfile reads headers from, and no more of them than is sane."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._block = b""  # read already, and given once more

    def go_to(self, at: int) -> bytes:
        """Go on to a header, and look at its first block."""
        self._reader.seek(at)
        self._block = self._reader.read(BLOCK)
        return self._block

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise BadTarError(f"a header says that it has {size:,} bytes")
        block, self._block = self._block[:size], self._block[size:]
        return block + self._reader.read(size - len(block))

    def tell(self) -> int:
        return self._reader.tell() - len(self._block)


class _Headers:
    """As much of a TarFile as a TarInfo needs to read itself."""

    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self, reader: Reader, where: str) -> None:
        self._where = where
        self.fileobj = _Bounded(reader)
        self.pax_headers: dict[str, Any] = {}
        self.offset = 0  # of the next header; tarfile sets it

    def next(self) -> tarfile.TarInfo | None:
        """Read one member's headers; None at the end that every tar has."""
        at = self.offset
        block = self.fileobj.go_to(at)
        if len(block) < BLOCK:
            raise _EndMissingError("it is no tar" if at == 0 else "its end is missing")
        if not any(block):
            self._warn_of_more(at)
            return None
        info = tarfile.TarInfo.fromtarfile(cast("tarfile.TarFile", self))
        if info.size < 0 or self.offset <= at:
            raise BadTarError("a header says that its member ends before it begins")
        return info

    def _warn_of_more(self, at: int) -> None:
        """Look behind the padding of a tar that ends here: another may begin there."""
        behind = -(-(at + BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        if any(self.fileobj.go_to(behind)):
            logger.warning(
                "%s holds another tar behind its end, at byte %d, whose samples are left out: make "
                "a file of each",
                self._where,
                behind,
            )


def members(reader: Reader, size: int, where: str) -> Iterator[Member]:
    """Give the files in a tar in their order, the one that a cut goes through included.

    BadTarError where it is no tar. Damage later on ends it, with a warning.
    """
    headers, at = _Headers(reader, where), 0
    while (info := _next(headers, at, where)) is not None:
        at = headers.offset
        if info.issparse():
            logger.warning("%s#%s is a sparse file, and passed over", where, to_text(info.name))
        elif info.isreg():
            # What is cut off may claim any size; that it is cut off is enough to know.
            yield Member(to_text(info.name), info.offset_data, min(info.size, size))
            if info.offset_data + info.size > size:
                logger.warning("%s is truncated: it ends within %s", where, to_text(info.name))
                return


def _next(headers: _Headers, at: int, where: str) -> tarfile.TarInfo | None:
    try:
        return headers.next()
    except (CaptionFlowError, OSError, MemoryError):
        raise
    except _EndMissingError as exc:
        if at == 0:
            raise BadTarError(str(exc)) from exc
        logger.warning("%s is truncated: its end is missing, at byte %d", where, at)
    except Exception as exc:
        # One shard's: nothing that stands in it may stop the others.
        if at == 0:
            raise BadTarError(f"it is no tar, or damaged at its beginning ({exc})") from exc
        told = "%s is damaged at byte %d (%s); what comes after it is passed over"
        logger.warning(told, where, at, exc)
    return None


def is_header(block: bytes, names: Sequence[str], size: int) -> bool:
    """Whether this may be the header of a file of this size and one of these names.

    Long names, and those that are not ASCII, stand elsewhere in some formats and are not compared.
    """
    told = block[_SIZE]
    try:
        fits = bool(told[0] & _BINARY) or int(told.rstrip(b" \0"), 8) == size
    except (IndexError, ValueError):
        return False
    if any(len(name) > _LONG or not name.isascii() for name in names):
        return fits
    found = block[_NAME].partition(b"\0")[0].decode("ascii", "replace")
    return fits and _base(found) in map(_base, names)


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower()


def check_beginning(file: File, size: int) -> None:
    """Tell a compressed tar by its first bytes."""
    head = file.read(0, min(size, BLOCK))
    for magic, kind in _COMPRESSED.items():
        if head.startswith(magic):
            raise BadTarError(
                f"it is compressed ({kind}), and samples cannot be read from its middle. Unpack it "
                "to a plain .tar: images gain nothing from it"
            )
