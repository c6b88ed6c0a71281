"""Data set: the folder of a job's parts: those that are finished, merged, written, abandoned.

A part is hidden and locked while its writer lives, see open_part, and renamed once the queue has
recorded it. What the disk refuses is raised in our words, see disk; every step may then be
repeated, but for those of a part that is not recorded, which is given up.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.credits import rows_by_shard, tally
from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.ids import read_ids
from caption_flow.dataset.locks import lock, sync
from caption_flow.dataset.merged import Look, Lookout, merged_name, read_replaced
from caption_flow.dataset.open_part import AGREED, OpenPart
from caption_flow.dataset.snapshot import shared
from caption_flow.dataset.temporary import begin, new_name
from caption_flow.errors import StorageBlocked, StorageUnfit
from caption_flow.model import Tally

T = TypeVar("T")

_FILE_END = ".parquet"
TRIAL_BYTES = 64 * 1024  # less space than this is none


class PartFolder:
    """The parts of one job: `DATA_DIR/JOB/part-*.parquet`."""

    def __init__(self, data_dir: Path, job: str) -> None:
        self.path = data_dir / job
        self._made = False  # by us; it is not made again: it may be a disk that is not mounted
        self._lookout = Lookout(self._finished, self.file)

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
        """Name the finished parts, oldest name first; those left out that were merged."""
        return sorted(self.look().published)

    def look(self) -> Look:
        """Find the finished parts, and those that were merged into them."""
        with on_disk(self.path):
            seen = self._lookout.look()
        if seen is None:
            raise StorageBlocked(
                f"{self.path} lists merged parts that are not there. See to its disk; nothing is "
                "lost."
            )
        return seen

    def unpublished(self) -> list[str]:
        """Name the parts that stand under their temporary name."""
        names = self._names(".part-", ".tmp")
        return sorted(name[1:].removesuffix(".tmp") for name in names)

    def file(self, part: str) -> Path:
        """Where a finished part stands."""
        return self.path / f"{part}{_FILE_END}"

    def temporary(self, part: str) -> Path:
        """Where a part stands until it is published: hidden from every reader of the folder."""
        return self.path / f".{part}.tmp"

    def retired_parts(self) -> list[str]:
        """Name the parts that were merged, and whose rows may still be read by some."""
        return sorted(name[1:].removesuffix(".merged") for name in self._names(".part-", ".merged"))

    def retired(self, part: str) -> Path:
        """Where a part stands that was merged, for those who listed it before."""
        return self.path / f".{part}.merged"

    def open(self, agreed: ColumnSchema) -> OpenPart:
        """Begin a part under a new name."""
        with on_disk(self.path):
            if not self._made:
                self.path.mkdir(parents=True, exist_ok=True)
            return OpenPart(self, new_name(), agreed)

    def begin_merged(self, newest: str) -> tuple[str, IO[bytes]]:
        """Begin a part that others are merged into; answers its name, and its file, locked.

        It is called after the newest of them, so that the parts keep their order.
        """
        with on_disk(self.path):
            return begin(self.temporary, merged_name(newest))

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

    def replaced_by(self, part: str) -> dict[str, str] | None:
        """Name the parts that a merged one replaces, each with its revision; None without it."""
        with on_disk(self.path), suppress(FileNotFoundError):
            return self._use(part, read_replaced)
        return None

    def opened(self, part: str) -> IO[bytes]:
        """Open a finished part, or what is kept of one that was merged since it was listed."""
        with on_disk(self.path):
            return self._use_finished(part, lambda file: file.open("rb"))

    def read(self, part: str, read: Callable[[Path], T]) -> T:
        """Read something of a part that is finished, if perhaps not renamed yet."""
        with self.reading(part):
            return self._use(part, read)

    def ids(self, part: str) -> list[str]:
        """Read the sample ids of a part that is finished, if perhaps not renamed yet."""
        return self.read(part, read_ids)

    def ids_if_prepared(self, part: str) -> list[str] | None:
        """Read the sample ids of a part that others write; None while it is not finished."""
        with on_disk(self.path):
            try:
                return self._use(part, read_ids)
            except StorageUnfit:
                return None  # somebody else's
            except (pa.ArrowException, OSError) as exc:
                if getattr(exc, "errno", None) not in {None, errno.ENOENT}:
                    raise
                return None

    def tally(self, part: str) -> Tally:
        """Count what each contributor made of a part that is finished, if perhaps not renamed."""
        return self.read(part, tally)

    def shards(self, part: str) -> dict[str, int]:
        """Count the rows of each shard in a part that is finished, if perhaps not renamed."""
        return self.read(part, rows_by_shard)

    def rows(self) -> int:
        """Count the rows of all finished parts."""
        with on_disk(self.path), shared(self.path):
            return sum(map(self._rows, self.published()))

    def rows_of(self, part: str) -> int | None:
        """Count the rows of a finished part; None where it cannot be read."""
        with on_disk(self.path):
            try:
                return self._rows(part)
            except pa.ArrowException:
                return None

    def agreed(self) -> ColumnSchema | None:
        """Read the columns that the finished parts have; None while there is no part."""
        with shared(self.path):
            for part in self.published():
                with self.reading(part):
                    metadata = self._use_finished(part, pq.read_schema).metadata or {}
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

    def _finished(self, end: str = "") -> set[str]:
        return {name.removesuffix(_FILE_END) for name in self._names("part-", f"{end}{_FILE_END}")}

    def _names(self, begin: str, end: str) -> list[str]:
        with on_disk(self.path):
            try:
                names = os.listdir(self.path)  # noqa: PTH208 - with 100,000 parts twice as fast
            except FileNotFoundError:
                return []
        return [name for name in names if name.startswith(begin) and name.endswith(end)]

    def _rows(self, part: str) -> int:
        rows: int = self._use_finished(part, pq.read_metadata).num_rows
        return rows

    def _use(self, part: str, read: Callable[[Path], T]) -> T:
        """Read the file of a part that is finished, if perhaps not renamed yet."""
        # In this order: it may be renamed just now.
        with suppress(FileNotFoundError):
            return read(self.temporary(part))
        return self._use_finished(part, read)

    def _use_finished(self, part: str, read: Callable[[Path], T]) -> T:
        """Read the file of a finished part, or what is kept of one that was merged since."""
        with suppress(FileNotFoundError):
            return read(self.file(part))
        return read(self.retired(part))

    def _write_trial(self, size: int) -> None:
        # Named and locked like a part: who is killed here leaves what recovery deletes.
        name, file = begin(self.temporary, new_name())
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
