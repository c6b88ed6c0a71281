"""Data set: the folder of a job's parts, and how a part comes to be in it.

A part is written under a hidden temporary name that is locked while its writer lives, made
durable (`prepare`), and renamed once the queue has recorded it (`publish`). What the disk refuses
is raised in our words, see disk; every step may then be repeated, but for those of a part that is
not recorded, which is given up.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.credits import rows_by_shard, tally
from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.ids import read_ids
from caption_flow.dataset.locks import is_at, lock, sync
from caption_flow.dataset.rows import LOW_CARDINALITY, arrow_schema, table
from caption_flow.errors import StorageBlocked, StorageUnfit
from caption_flow.model import Caption, EntryId, Tally

SUFFIX = ".parquet"
AGREED = b"caption_flow.columns"  # key of the agreed columns in a file's metadata
ROWS_PER_GROUP = 5000
TRIAL_BYTES = 64 * 1024  # less space than this is none


class PartFolder:
    """The parts of one job: `DATA_DIR/JOB/part-*.parquet`."""

    def __init__(self, data_dir: Path, job: str) -> None:
        self.path = data_dir / job
        self._made = False  # by us; it is not made again: it may be a disk that is not mounted

    def make(self) -> None:
        """Make the folder; raise StorageUnfit where parts cannot be written to it."""
        with on_disk(self.path, first=True):
            self.path.mkdir(parents=True, exist_ok=True)
            self._write_trial(0)
        self._made = True

    def try_out(self, size: int) -> None:
        """Write and delete a file that is somewhat larger, to see whether there is room for it."""
        with on_disk(self.path):
            self._write_trial(size)

    def published(self) -> list[str]:
        """Name the finished parts, oldest name first."""
        names = self._names("part-", SUFFIX)
        return sorted(name.removesuffix(SUFFIX) for name in names)

    def unpublished(self) -> list[str]:
        """Name the parts that stand under their temporary name."""
        names = self._names(".part-", ".tmp")
        return sorted(name[1:].removesuffix(".tmp") for name in names)

    def file(self, part: str) -> Path:
        """Where a finished part stands."""
        return self.path / f"{part}{SUFFIX}"

    def temporary(self, part: str) -> Path:
        """Where a part stands until it is published: hidden from every reader of the folder."""
        return self.path / f".{part}.tmp"

    def open(self, agreed: ColumnSchema) -> "OpenPart":
        """Begin a part under a new name."""
        with on_disk(self.path):
            if not self._made:
                self.path.mkdir(parents=True, exist_ok=True)
            return OpenPart(self, _new_name(), agreed)

    def abandoned(self) -> list["AbandonedPart"]:
        """Take over the temporary parts whose writer is gone; each must be settled."""
        found = []
        with on_disk(self.path), ExitStack() as held:
            for part in self.unpublished():
                file = lock(self.temporary(part))
                if file is not None:
                    found.append(AbandonedPart(self, part, held.enter_context(file)))
            held.pop_all()
        return found

    def publish(self, part: str) -> None:
        """Give a recorded part its final name, durably; a part that has it stays as it is."""
        with on_disk(self.path):
            if not self.is_published(part):
                self.temporary(part).rename(self.file(part))
            sync(self.path)

    def delete(self, part: str) -> None:
        """Delete a temporary part."""
        with on_disk(self.path):
            self.temporary(part).unlink(missing_ok=True)

    def is_published(self, part: str) -> bool:
        """Whether the part stands here under its final name."""
        with on_disk(self.path):
            return self.file(part).exists()

    def is_unpublished(self, part: str) -> bool:
        """Whether the part stands here under its temporary name."""
        with on_disk(self.path):
            return self.temporary(part).exists()

    def exists(self, part: str) -> bool:
        """Whether the part stands here, under either of its names."""
        # In this order: it may be renamed just now.
        return self.is_unpublished(part) or self.is_published(part)

    def ids(self, part: str) -> list[str]:
        """Read the sample ids of a part that is finished, if perhaps not renamed yet."""
        with self.reading(part):
            return self._ids(part)

    def ids_if_prepared(self, part: str) -> list[str] | None:
        """Read the sample ids of a part that others write; None while it is not finished."""
        with on_disk(self.path):
            try:
                return self._ids(part)
            except StorageUnfit:
                return None  # somebody else's
            except (pa.ArrowException, OSError) as exc:
                if getattr(exc, "errno", None) not in {None, errno.ENOENT}:
                    raise
                return None

    def tally(self, part: str) -> Tally:
        """Count what each contributor made of a part that is finished, if perhaps not renamed."""
        with self.reading(part):
            try:
                return tally(self.temporary(part))
            except FileNotFoundError:  # so it is renamed: the usual case
                return tally(self.file(part))

    def shards(self, part: str) -> dict[str, int]:
        """Count the rows of each shard in a part that is finished, if perhaps not renamed."""
        with self.reading(part):
            try:
                return rows_by_shard(self.temporary(part))
            except FileNotFoundError:  # so it is renamed: the usual case
                return rows_by_shard(self.file(part))

    def newest(self, count: int) -> list[tuple[str, list[str]]]:
        """Read a few samples of the newest part: id, and the texts of all its outputs."""
        agreed, published = self.agreed(), self.published()
        if agreed is None or not published:
            return []
        file = pq.ParquetFile(self.file(published[-1]))
        batches = file.iter_batches(count, columns=["id", *agreed.outputs])
        return [
            (row["id"], [text for name in agreed.outputs for text in row[name] or ()])
            for batch in islice(batches, 1)  # a part may have lost all its rows
            for row in batch.to_pylist()
        ]

    def rows(self) -> int:
        """Count the rows of all finished parts."""
        with on_disk(self.path):
            return sum(pq.read_metadata(self.file(part)).num_rows for part in self.published())

    def agreed(self) -> ColumnSchema | None:
        """Read the columns that the finished parts have; None while there is no part."""
        for part in self.published():
            with self.reading(part):
                metadata = pq.read_schema(self.file(part)).metadata or {}
            if AGREED in metadata:
                return ColumnSchema.decode(metadata[AGREED])
        return None

    @contextmanager
    def reading(self, part: str) -> Iterator[None]:
        """Stand around what reads a finished part; what is wrong with its file is told."""
        try:
            with on_disk(self.path):
                yield
        except (pa.ArrowException, OSError) as exc:
            why = " ".join(str(exc).split())
            raise StorageUnfit(
                f"{self.file(part)} cannot be read ({why}). Put a sound copy in its place."
            ) from exc

    def _names(self, begin: str, end: str) -> list[str]:
        with on_disk(self.path):
            try:
                names = os.listdir(self.path)  # noqa: PTH208 - with 100,000 parts twice as fast
            except FileNotFoundError:
                return []
        return [name for name in names if name.startswith(begin) and name.endswith(end)]

    def _ids(self, part: str) -> list[str]:
        try:
            return read_ids(self.temporary(part))
        except FileNotFoundError:  # so it is renamed: the usual case
            return read_ids(self.file(part))

    def _write_trial(self, size: int) -> None:
        # Named and locked like a part: who is killed here leaves what recovery deletes.
        name, file = _begin(self, _new_name())
        path = self.temporary(name)
        try:
            with file:
                for _ in range(0, size + TRIAL_BYTES, TRIAL_BYTES):
                    file.write(os.urandom(TRIAL_BYTES))  # what a disk cannot compress
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)


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
        self.name, self._file = _begin(folder, name)
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
            name, copy = _begin(self._folder, f"{self.name}-again")
            failed.enter_context(copy)
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy)
            copy.flush()
            os.fsync(copy.fileno())
            self._folder.temporary(name).rename(self._folder.temporary(self.name))
            failed.pop_all()
        self._file.close()
        self._file = copy


def _new_name() -> str:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"part-{stamp}-{secrets.token_hex(4)}"


def _begin(folder: PartFolder, name: str) -> tuple[str, IO[bytes]]:
    """Create a temporary file and lock it, until it is closed: how others know that we live.

    Answers its name too: another one, where a sink took the first for abandoned before we had
    the lock. A part of that name would not be recorded any more.
    """
    while True:
        path = folder.temporary(name)
        file = path.open("w+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            file.close()
            raise
        if is_at(file, path):
            return name, file
        file.close()
        name = _new_name()
