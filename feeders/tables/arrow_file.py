"""Tables: an Arrow file: messages, and a footer that says where they are."""

import struct
from collections.abc import Sequence

import pyarrow as pa

from feeders.files.port import AsIO, File
from feeders.tables.messages import PREFIX, HeaderError, read_footer, read_header

MAGIC = b"ARROW1"
_TAIL = 4 + len(MAGIC)  # bytes after the footer
_LARGEST = 256 << 20  # bytes of a footer


class ArrowFile:
    """The batches of a file, one at a time."""

    def __init__(self, file: File, size: int) -> None:
        self._file = file
        self._size = size
        with pa.ipc.open_file(AsIO(file, size)) as opened:
            self.schema = opened.schema
        self.rows = [self._rows(*block) for block in read_footer(self._footer())]

    def batch(self, index: int, columns: Sequence[str]) -> pa.RecordBatch:
        """Read those columns of a batch that are asked for."""
        wanted = [self.schema.get_field_index(column) for column in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        with pa.ipc.open_file(AsIO(self._file, self._size), options=options) as opened:
            return opened.get_batch(index)

    def _footer(self) -> bytes:
        (length,) = struct.unpack_from("<i", self._file.read(self._size - _TAIL, _TAIL))
        if not 0 < length <= min(_LARGEST, self._size - _TAIL):
            raise HeaderError(f"its footer claims {length:,} bytes")
        return self._file.read(self._size - _TAIL - length, length)

    def _rows(self, start: int, length: int) -> int:
        if not (start > 0 and length > PREFIX and start + length <= self._size):
            raise HeaderError("its footer is damaged: it points out of the file")
        return read_header(self._file.read(start, length)[PREFIX:]).rows
