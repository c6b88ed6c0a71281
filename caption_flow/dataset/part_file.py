"""Data set: one finished part opened for its rows, wherever it was moved since it was listed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.shape import is_text
from caption_flow.errors import StorageUnfit

_BUFFER = 1 << 18  # bytes of a column that are read at a time, of a row group however large
_TRIES = 3


class Parts(Protocol):
    """Finished parts as they are at one moment."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name them, in their order."""
        ...

    def path(self, name: str) -> Path:
        """Say where a part is read; it may be renamed while it is opened: then ask again."""
        ...


class PartFile(Struct, frozen=True):
    """A part that is open."""

    file: pq.ParquetFile
    path: Path  # where it was when it was opened
    stamp: str


class Footer(Struct, frozen=True):
    """What a part says of itself."""

    schema: pa.Schema
    rows: int
    stamp: str


def footer(parts: Parts, name: str) -> Footer:
    """Read what a part says of itself; StorageUnfit where it is none."""
    with opened(parts, name) as part:
        schema, path = part.file.schema_arrow, part.path
        if schema.names.count("id") != 1 or not _names(schema.field("id").type):
            raise StorageUnfit(
                f"{path} is no part: it has no column id of texts. Move it to another folder."
            )
        if len(set(schema.names)) < len(schema.names):
            raise StorageUnfit(
                f"{path} has several columns of one name. Put a copy with other names in its place."
            )
        return Footer(schema, part.file.metadata.num_rows, part.stamp)


def _names(kind: pa.DataType) -> bool:
    """Whether values may be ids: texts, as they are or as pandas has its categories."""
    return is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


def stamp(path: Path) -> str:
    """Tell a part from all that ever bore its name; it stays when the part is renamed."""
    facts = path.stat()
    return f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}"


@contextmanager
def opened(parts: Parts, name: str) -> Iterator[PartFile]:
    """Open a part; StorageUnfit where it is gone or cannot be read."""
    path = parts.path(name)
    try:
        with on_disk(path.parent), _found(parts, name) as file:
            yield PartFile(file, path, _stamp(parts, name))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        why = " ".join(str(exc).split())
        raise StorageUnfit(
            f"{path} cannot be read ({why}). Put a sound copy in its place."
        ) from exc


def _found(parts: Parts, name: str) -> pq.ParquetFile:
    for _ in range(_TRIES):  # it may be renamed just now
        try:
            return pq.ParquetFile(parts.path(name), buffer_size=_BUFFER)
        except FileNotFoundError:
            continue
    raise _gone(parts, name)


def _stamp(parts: Parts, name: str) -> str:
    for _ in range(_TRIES):
        try:
            return stamp(parts.path(name))
        except FileNotFoundError:
            continue
    raise _gone(parts, name)


def _gone(parts: Parts, name: str) -> StorageUnfit:
    folder = parts.path(name).parent
    return StorageUnfit(f"{name} in {folder} is gone since it was listed. Run this again.")
