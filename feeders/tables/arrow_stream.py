"""Tables: an Arrow stream, which is what `datasets` saves.

Nothing in it says where its batches are, so the headers of all messages are read once, without
their bodies.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from msgspec import Struct

from feeders.files.port import File
from feeders.tables.messages import (
    BATCH,
    DICTIONARY,
    PREFIX,
    SCHEMA,
    Header,
    HeaderError,
    header_length,
    read_header,
)

_AHEAD = 4096  # bytes read for a header: mostly all of it
_LARGEST = 1 << 30  # bytes of a batch


class _Message(Struct, frozen=True):
    start: int  # in the file
    length: int  # with its header


class ArrowStream:
    """Where the messages of a stream are, and one batch at a time."""

    def __init__(self, file: File, size: int) -> None:
        self._file = file
        self._size = size
        self._before: list[_Message] = []  # the schema, and dictionaries
        self._batches: list[_Message] = []
        self.rows: list[int] = []  # of each batch
        for message, header in self._messages():
            if header.kind in {SCHEMA, DICTIONARY}:
                self._before.append(message)
            elif header.kind == BATCH:
                self._batches.append(message)
                self.rows.append(header.rows)
        if not self._before:
            raise HeaderError("it has no schema")
        self.schema = pa.ipc.read_schema(pa.py_buffer(self._bytes(self._before[0])))

    def batch(self, index: int, columns: Sequence[str]) -> pa.RecordBatch:
        """Read a batch and give those columns of it that are asked for."""
        message = self._batches[index]
        if message.length > _LARGEST:
            raise ValueError(
                f"a batch has {message.length:,} bytes, and the limit is {_LARGEST:,}: "
                "write it in smaller ones"
            )
        needed = [earlier for earlier in self._before if earlier.start < message.start]
        if len(needed) > 1:
            return self._with_dictionaries(needed, message, columns)
        # Its columns are views of what was read, not copies of it, unless they are packed.
        read = pa.ipc.read_record_batch(pa.py_buffer(self._bytes(message)), self.schema)
        return read.select(list(columns))

    def _with_dictionaries(
        self, needed: Sequence[_Message], message: _Message, columns: Sequence[str]
    ) -> pa.RecordBatch:
        """Let Arrow read a stream of this batch alone, and what it needs to be understood."""
        stream = b"".join(map(self._bytes, (*needed, message)))
        wanted = [self.schema.get_field_index(column) for column in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        return pa.ipc.open_stream(pa.py_buffer(stream), options=options).read_next_batch()

    def _messages(self) -> Iterator[tuple[_Message, Header]]:
        at = 0
        while self._size - at >= PREFIX:
            ahead = self._file.read(at, min(_AHEAD, self._size - at))
            length = header_length(ahead[:PREFIX])
            if length == 0:
                return
            self._check(at + PREFIX + length)
            if len(ahead) < PREFIX + length:
                ahead = self._file.read(at, PREFIX + length)
            header = read_header(ahead[PREFIX : PREFIX + length])
            message = _Message(at, PREFIX + length + header.body)
            at += message.length
            self._check(at)
            yield message, header
        self._check(at, exactly=True)

    def _check(self, end: int, *, exactly: bool = False) -> None:
        if end > self._size or (exactly and end != self._size):
            raise HeaderError("it ends in the middle of a message")

    def _bytes(self, message: _Message) -> bytes:
        return self._file.read(message.start, message.length)
