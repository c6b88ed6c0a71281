"""Data set: a finished part loses some of its rows. Its file is replaced by another in one step.

The other rows are written beside the part, under a hidden name that is locked while its writer
lives, and take the part's name once the queue knows what is to become of those that are left out.
The file names the rewriting it is of, its *revision*, so that whoever finds one half done can tell
whether the step was taken.
"""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.credits import made_by, rows_by_shard, tally
from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.locks import begun, lock, sync
from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rows import LOW_CARDINALITY
from caption_flow.model import Tally, sample_name

# "replaced": the part has its rows; "undone": it has not, and never will; "held": its writer
# lives; "absent": there is no such part here.
Found: TypeAlias = Literal["replaced", "undone", "held", "absent"]

_REVISION = b"caption_flow.revision"  # key in a file's metadata
_SUFFIX = ".rewrite"


class Taken(Struct, frozen=True):
    """A row that is left out, by what its sample is fed again with."""

    id: str
    dataset: str
    shard: str


class Rewriting:
    """The rest of a part, while it is written. Nobody else rewrites the part meanwhile."""

    def __init__(self, folder: PartFolder, part: str, file: IO[bytes], token: str) -> None:
        self.part = part
        self.token = token
        self.rows = 0  # that are kept
        self._folder = folder
        self._file = file

    def write(self, contributor: str, since: float) -> list[Taken]:
        """Write the rows that the contributor had no hand in since then; answers the others."""
        taken: list[Taken] = []
        with self._folder.reading(self.part), pq.ParquetFile(self._path) as old:
            schema = old.schema_arrow
            metadata = (schema.metadata or {}) | {_REVISION: self.token.encode()}
            with pq.ParquetWriter(
                self._file,
                schema.with_metadata(metadata),
                compression="zstd",
                use_dictionary=list(LOW_CARDINALITY),
            ) as new:
                for batch in old.iter_batches(ROWS_PER_GROUP, use_threads=False):
                    theirs = _theirs(batch, contributor, since)
                    taken += _taken(batch.filter(theirs))
                    kept = batch.filter(pc.invert(theirs))
                    self.rows += kept.num_rows
                    if kept.num_rows:
                        new.write_batch(kept)
        return taken

    def prepare(self) -> tuple[Tally, dict[str, int]]:
        """Make what was written durable; answers who made it, and the rows of each shard."""
        with on_disk(self._folder.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            sync(self._folder.path)
            written = _hidden(self._folder, self.part)
            return tally(written), rows_by_shard(written)

    def replace(self) -> bool:
        """Put what was written in the place of the part, durably; False where either is gone."""
        with on_disk(self._folder.path):
            if not self._folder.is_published(self.part):  # but merged since
                self.discard()
                return False
            _replace(self._folder, self.part)
            return _revision(self._path) == self.token

    def discard(self) -> None:
        """Give the rewriting up."""
        with on_disk(self._folder.path):
            _hidden(self._folder, self.part).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the rewriting to whoever finds it, if it is not done."""
        with suppress(OSError):
            self._file.close()

    @property
    def _path(self) -> Path:
        return self._folder.file(self.part)


def begin(folder: PartFolder, part: str, token: str) -> Rewriting | None:
    """Begin to rewrite a finished part; None while another does."""
    path = _hidden(folder, part)
    with on_disk(folder.path):
        file = begun(path)
        if file is None:
            return None
        with ExitStack() as failed:
            failed.enter_context(file)
            file.truncate(0)
            file.seek(0)
            failed.pop_all()
        return Rewriting(folder, part, file, token)


def find(folder: PartFolder, part: str, token: str) -> Found:
    """Tell how far a rewriting came; one whose writer is gone is brought to its end."""
    path = _hidden(folder, part)
    with on_disk(folder.path):
        if merged := folder.look().superseded.get(part):
            return _find_merged(folder, part, token, merged)
        if path.exists():
            file = lock(path)
            if file is None:
                return "held" if path.exists() else find(folder, part, token)
            with file:
                if _revision(path) == token:
                    _replace(folder, part)
                else:
                    path.unlink()
        if not folder.is_published(part):
            return "absent"
        return "replaced" if _revision(folder.file(part)) == token else "undone"


def _find_merged(folder: PartFolder, part: str, token: str, merged: str) -> Found:
    """Tell it of a part that was merged since: its rows went as they were then."""
    clear(folder, part)
    last = (folder.replaced_by(merged) or {}).get(part)
    return "replaced" if last == token else "undone"


def revision(folder: PartFolder, part: str) -> str:
    """Name the last rewriting of a finished part; empty where there was none."""
    with on_disk(folder.path):
        return _revision(folder.file(part))


def count(folder: PartFolder, part: str, contributor: str, since: float) -> int:
    """Count the rows of a part that the contributor had a hand in since then."""
    with folder.reading(part), pq.ParquetFile(folder.file(part)) as file:
        batches = file.iter_batches(ROWS_PER_GROUP, use_threads=False)
        return sum(pc.sum(_theirs(batch, contributor, since)).as_py() or 0 for batch in batches)


def leftovers(folder: PartFolder) -> list[str]:
    """Name the parts that somebody is rewriting, or was when he died."""
    with on_disk(folder.path):
        found = folder.path.glob(f".part-*{_SUFFIX}")
        return sorted(path.name[1:].removesuffix(_SUFFIX) for path in found)


def clear(folder: PartFolder, part: str) -> None:
    """Delete what is left of a rewriting that the queue knows nothing of, if its writer is gone."""
    with on_disk(folder.path):
        file = lock(_hidden(folder, part))
        if file is not None:
            with file:
                _hidden(folder, part).unlink(missing_ok=True)


def _theirs(batch: pa.RecordBatch, contributor: str, since: float) -> Any:
    theirs = made_by(batch, contributor, since)
    # What no shard can name cannot be fed again, and stays.
    pairs = zip(batch.column("id").to_pylist(), batch.column("shard").to_pylist(), strict=True)
    return pc.and_(theirs, pa.array([sample_name(shard, id_) is not None for id_, shard in pairs]))


def _taken(batch: pa.RecordBatch) -> list[Taken]:
    rows = batch.select(["id", "dataset", "shard"]).to_pylist()
    return [Taken(**row) for row in rows]


def _hidden(folder: PartFolder, part: str) -> Path:
    return folder.path / f".{part}{_SUFFIX}"


def _replace(folder: PartFolder, part: str) -> None:
    with suppress(FileNotFoundError):  # another has
        _hidden(folder, part).rename(folder.file(part))
    sync(folder.path)


def _revision(file: Path) -> str:
    try:
        return revision_in(pq.read_schema(file))
    except pa.ArrowException:  # torn
        return ""


def revision_in(schema: pa.Schema) -> str:
    """Read of a part's schema which rewriting was its last; empty where there was none."""
    return str((schema.metadata or {}).get(_REVISION, b"").decode())
