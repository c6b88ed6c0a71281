"""Export: a tar of samples, the same bytes for the same samples, and known as ours."""

import os
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_BLOCK = 512  # bytes
_RECORD = 10_240  # bytes, of which a tar is a multiple
_BUFFER = 1 << 20  # bytes
_OWNER = "caption-flow"  # of each member: by which an export knows what it may replace


class Tar:
    """A tar that is written, member by member."""

    def __init__(self, path: Path) -> None:
        self.size = 0  # bytes
        self.samples = 0
        self._file = path.open("wb", buffering=_BUFFER)

    def add(self, key: str, members: Iterable[tuple[str, bytes]]) -> None:
        """Add a sample: the extensions of its members, and what is in them."""
        for extension, data in members:
            self._write(header(f"{key}.{extension}", len(data)))
            self._write(data)
            self._write(bytes(-len(data) % _BLOCK))
        self.samples += 1

    def finish(self) -> None:
        """Make it complete and durable."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self.size % _RECORD))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Leave it as it is."""
        with suppress(OSError):
            self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)


def room(members: Iterable[tuple[str, bytes]]) -> int:
    """Say how many bytes a sample takes in a tar, about."""
    return sum(_BLOCK + len(data) + -len(data) % _BLOCK for _, data in members)


def is_ours(path: Path) -> bool:
    """Whether a tar was written here; not so one with the images of somebody else."""
    try:
        with tarfile.open(path) as tar:
            first = tar.next()
    except (OSError, tarfile.TarError):
        return False
    return first is not None and first.uname == _OWNER


def header(name: str, size: int) -> bytes:
    """Make the header of a member; as `tarfile` does, which takes five times as long."""
    raw = name.encode()
    if len(raw) > _NAME or len(raw) != len(name) or size >= _LARGEST:
        return _any_header(name, size)
    digits = b"%011o" % size
    total = _PLAIN_SUM + sum(raw) + sum(digits)
    return b"".join(
        (
            *(raw.ljust(_NAME, b"\0"), _PLAIN[_NAME:124]),
            *(digits, _PLAIN[135:148]),
            *(b"%06o" % total, _PLAIN[154:]),
        )
    )


def _any_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    info.uname = info.gname = _OWNER
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


_NAME = 100  # bytes of a name that stands in the header itself
_LARGEST = 8**11  # bytes of a member, as its header says them
_PLAIN = _any_header("", 0)
# Of all but name, size and the sum itself, for which there are blanks.
_PLAIN_SUM = sum(_PLAIN[:124]) + sum(_PLAIN[135:148]) + 8 * ord(" ") + sum(_PLAIN[156:])
