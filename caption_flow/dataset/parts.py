"""Data set: the folder of a job's parts, and how a part comes to be in it.

A part is written under a hidden temporary name that is locked while its writer lives, made
durable (`prepare`), and renamed once the queue has recorded it (`publish`).
"""

import fcntl
import os
import secrets
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.rows import LOW_CARDINALITY, arrow_schema, table
from caption_flow.model import Caption, EntryId

SUFFIX = ".parquet"
AGREED = b"caption_flow.columns"  # key of the agreed columns in a file's metadata
ROWS_PER_GROUP = 5000


class PartFolder:
    """The parts of one job: `DATA_DIR/JOB/part-*.parquet`."""

    def __init__(self, data_dir: Path, job: str) -> None:
        self.path = data_dir / job

    def published(self) -> list[str]:
        """Name the finished parts, oldest name first."""
        return sorted(p.stem for p in self.path.glob(f"part-*{SUFFIX}"))

    def recent(self, seconds: float) -> list[str]:
        """Name the parts that were published in the last so many seconds."""
        since = time.time() - seconds
        # ctime: when it got its name; the rows may have been written long before.
        return [part for part in self.published() if self.file(part).stat().st_ctime >= since]

    def file(self, part: str) -> Path:
        """Where a finished part stands."""
        return self.path / f"{part}{SUFFIX}"

    def temporary(self, part: str) -> Path:
        """Where a part stands until it is published: hidden from every reader of the folder."""
        return self.path / f".{part}.tmp"

    def open(self, agreed: ColumnSchema) -> "OpenPart":
        """Begin a part under a new name."""
        self.path.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return OpenPart(self, f"part-{stamp}-{secrets.token_hex(4)}", agreed)

    def abandoned(self) -> list["AbandonedPart"]:
        """Take over the temporary parts whose writer is gone; each must be settled."""
        found = []
        for path in sorted(self.path.glob(".part-*.tmp")):
            file = _lock(path)
            if file is not None:
                found.append(AbandonedPart(self, path.name[1 : -len(".tmp")], file))
        return found

    def publish(self, part: str) -> None:
        """Give a recorded part its final name, durably; a part that has it stays as it is."""
        if self.temporary(part).exists():
            self.temporary(part).rename(self.file(part))
        _sync(self.path)

    def delete(self, part: str) -> None:
        """Delete a temporary part."""
        self.temporary(part).unlink(missing_ok=True)

    def exists(self, part: str) -> bool:
        """Whether the part stands here, under either of its names."""
        return self.file(part).exists() or self.temporary(part).exists()

    def ids(self, part: str) -> list[str]:
        """Read the sample ids of a part that is finished, if perhaps not renamed yet."""
        try:
            table_ = pq.read_table(self.temporary(part), columns=["id"], partitioning=None)
        except FileNotFoundError:  # so it is renamed: the usual case
            table_ = pq.read_table(self.file(part), columns=["id"], partitioning=None)
        ids: list[str] = table_.column("id").to_pylist()
        return ids

    def newest(self, count: int) -> list[tuple[str, list[str]]]:
        """Read a few samples of the newest part: id, and the texts of all its outputs."""
        agreed, published = self.agreed(), self.published()
        if agreed is None or not published:
            return []
        file = pq.ParquetFile(self.file(published[-1]))
        batch = next(file.iter_batches(count, columns=["id", *agreed.outputs]))
        return [
            (row["id"], [text for name in agreed.outputs for text in row[name] or ()])
            for row in batch.to_pylist()
        ]

    def agreed(self) -> ColumnSchema | None:
        """Read the columns that the finished parts have; None while there is no part."""
        for part in self.published():
            metadata = pq.read_schema(self.file(part)).metadata or {}
            if AGREED in metadata:
                return ColumnSchema.decode(metadata[AGREED])
        return None


class AbandonedPart:
    """A temporary part whose writer died. We hold its lock, so nobody else settles it."""

    def __init__(self, folder: PartFolder, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._folder = folder
        self._file = file

    def settle(self, *, recorded: bool) -> None:
        """Publish the part if the queue has recorded it; else its rows are still in the queue."""
        if recorded:
            self._folder.publish(self.name)
        else:
            self._folder.delete(self.name)
        self.close()

    def close(self) -> None:
        """Let go of the part, settled or not."""
        self._file.close()


class OpenPart:
    """A part being written. Not safe for two threads at once."""

    def __init__(self, folder: PartFolder, name: str, agreed: ColumnSchema) -> None:
        self.name = name
        self.entries: list[EntryId] = []  # of the rows, in their order
        self.ids: list[str] = []  # of their samples, likewise
        self._folder = folder
        self._agreed = agreed
        self._schema = arrow_schema(agreed).with_metadata({AGREED: agreed.encode()})
        self._buffer: list[Caption] = []
        self._open()

    def append(self, captions: Sequence[Caption]) -> None:
        """Add rows; they reach the file a row group at a time."""
        self.entries += [caption.entry for caption in captions]
        self.ids += [caption.sample.id for caption in captions]
        self._buffer += captions
        if len(self._buffer) >= ROWS_PER_GROUP:
            self._flush()

    def prepare(self) -> None:
        """Make the part complete and durable under its temporary name."""
        if self._buffer:
            self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        _sync(self._folder.path)

    def publish(self) -> None:
        """Give the prepared part its final name."""
        self._folder.publish(self.name)
        self._file.close()

    def without(self, lost: Collection[EntryId]) -> "OpenPart":
        """Replace this prepared part by one without the rows of some entries."""
        rows = pq.read_table(self._folder.temporary(self.name), schema=self._schema)
        keep = [entry not in lost for entry in self.entries]
        rest = self._folder.open(self._agreed)
        rest.entries = [entry for entry, kept in zip(self.entries, keep, strict=True) if kept]
        rest.ids = [id_ for id_, kept in zip(self.ids, keep, strict=True) if kept]
        rest._writer.write_table(rows.filter(pa.array(keep)))
        self.discard()
        return rest

    def discard(self) -> None:
        """Give the part up; its entries stay in the queue."""
        self._writer.close()
        self._folder.delete(self.name)
        self._file.close()

    def abandon(self) -> None:
        """Leave the part to whoever recovers: it may or may not be recorded."""
        self._writer.close()
        self._file.close()

    def _open(self) -> None:
        self._file = self._create()
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            use_dictionary=list(LOW_CARDINALITY),
        )

    def _create(self) -> IO[bytes]:
        path = self._folder.temporary(self.name)
        while True:
            file = path.open("wb")
            # Held until the file is renamed: how others know that its writer lives.
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                return file
            file.close()  # another sink took it for abandoned before we had the lock

    def _flush(self) -> None:
        self._writer.write_table(table(self._buffer, self._agreed, self._schema))
        self._buffer = []


def _lock(path: Path) -> IO[bytes] | None:
    """Lock a file whose writer is gone; None while it lives, or when somebody was quicker."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if _is_at(file, path):
        return file
    file.close()
    return None


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
