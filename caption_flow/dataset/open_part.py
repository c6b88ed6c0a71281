"""Data set: a part that is written: how it comes to be in the folder of its job.

Its file has a hidden temporary name and is locked while its writer lives. It is made durable
(`prepare`), and renamed once the queue has recorded it (`publish`).
"""

import errno
import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.credits import rows_by_shard, tally
from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.locks import is_at, sync
from caption_flow.dataset.rows import LOW_CARDINALITY, arrow_schema, table
from caption_flow.dataset.temporary import begin
from caption_flow.errors import StorageBlocked
from caption_flow.model import Caption, EntryId, Tally

if TYPE_CHECKING:  # it opens us
    from caption_flow.dataset.parts import PartFolder

AGREED = b"caption_flow.columns"  # key of the agreed columns in a file's metadata
ROWS_PER_GROUP = 5000


class OpenPart:
    """A part being written. Not safe for two threads at once."""

    def __init__(self, folder: "PartFolder", name: str, agreed: ColumnSchema) -> None:
        self.name, self._file = begin(folder.temporary, name)
        self.entries: list[EntryId] = []  # of the rows, in their order
        self.ids: list[str] = []  # of their samples, likewise
        self._folder = folder
        self._agreed = agreed
        self._schema = arrow_schema(agreed).with_metadata({AGREED: agreed.encode()})
        self._buffer: list[Caption] = []
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            use_dictionary=list(LOW_CARDINALITY),
        )

    @property
    def size(self) -> int:
        """Bytes of it that the disk has taken so far."""
        return os.fstat(self._file.fileno()).st_size

    def append(self, captions: Sequence[Caption]) -> None:
        """Add rows; they reach the file a row group at a time."""
        self.entries += [caption.entry for caption in captions]
        self.ids += [caption.sample.id for caption in captions]
        self._buffer += captions
        if len(self._buffer) >= ROWS_PER_GROUP:
            with on_disk(self._folder.path):
                self._flush()

    def prepare(self) -> None:
        """Make the part complete and durable under its temporary name."""
        with on_disk(self._folder.path):
            self._finish()
            os.fsync(self._file.fileno())
            path = self._folder.temporary(self.name)
            if not is_at(self._file, path):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            sync(self._folder.path)

    def tally(self) -> Tally:
        """Count what each contributor made of the rows of the prepared part."""
        with on_disk(self._folder.path):
            return tally(self._folder.temporary(self.name))

    def shards(self) -> dict[str, int]:
        """Count the rows of each shard in the prepared part."""
        with on_disk(self._folder.path):
            return rows_by_shard(self._folder.temporary(self.name))

    def publish(self) -> None:
        """Give the prepared part its final name."""
        with on_disk(self._folder.path):
            if not self._folder.exists(self.name):
                self._restore()
        self._folder.publish(self.name)
        self._file.close()

    def without(self, lost: Collection[EntryId]) -> "OpenPart":
        """Replace this prepared part by one without the rows of some entries."""
        with on_disk(self._folder.path):
            with pq.ParquetFile(self._folder.temporary(self.name)) as file:
                rows = file.read()
            keep = [entry not in lost for entry in self.entries]
            rest = self._folder.open(self._agreed)
            rest.entries = [entry for entry, kept in zip(self.entries, keep, strict=True) if kept]
            rest.ids = [id_ for id_, kept in zip(self.ids, keep, strict=True) if kept]
            try:
                rest._writer.write_table(rows.filter(pa.array(keep)))
            except OSError:
                rest.discard()
                raise
        self.discard()
        return rest

    def discard(self) -> None:
        """Give the part up; its entries stay in the queue."""
        # A disk that refuses even this leaves it to whoever recovers.
        with suppress(StorageBlocked):
            self._folder.delete(self.name)
        self.abandon()

    def abandon(self) -> None:
        """Leave the part to whoever recovers: it may or may not be recorded."""
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        self._writer.write_table(table(self._buffer, self._agreed, self._schema))
        self._buffer = []

    def _finish(self) -> None:
        if self._buffer:
            self._flush()
        self._writer.close()
        self._file.flush()

    def _restore(self) -> None:
        """Write the part once more, from our descriptor: its file was deleted, with its name."""
        # Under a name that is not recorded, or a crash would have half a part published.
        with ExitStack() as failed:
            name, copy = begin(self._folder.temporary, f"{self.name}-again")
            failed.enter_context(copy)
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy)
            copy.flush()
            os.fsync(copy.fileno())
            self._folder.temporary(name).rename(self._folder.temporary(self.name))
            failed.pop_all()
        self._file.close()
        self._file = copy
