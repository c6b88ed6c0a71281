"""Data set: the last rows of a finished part, for who looks at what is new."""

from typing import Any

import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.columns import STAGES, ColumnSchema
from caption_flow.dataset.parts import AGREED, PartFolder

MOST_BYTES = 64 << 20  # of a group of rows, unpacked: what is larger is not read for a look
_COLUMNS = (
    *("id", "dataset", "shard", "chunk", "source", "width", "height"),
    *("model", "worker", "contributor", "output_tokens", "captioned_at", "quality_flags", STAGES),
)


class Tail(Struct, frozen=True):
    """The end of a part."""

    outputs: tuple[str, ...]  # names of the columns that stages wrote
    rows: list[dict[str, Any]]  # the newest last, with these and some of ours


def tail(folder: PartFolder, part: str, count: int) -> Tail:
    """Read the last rows of a part, of its last group of rows at most."""
    with folder.reading(part), pq.ParquetFile(folder.file(part)) as file:
        schema, group = file.schema_arrow, file.num_row_groups - 1
        metadata = schema.metadata or {}
        if AGREED not in metadata or group < 0 or _is_large(file, group):
            return Tail((), [])
        outputs = ColumnSchema.decode(metadata[AGREED]).outputs
        wanted = [name for name in (*_COLUMNS, *outputs) if name in schema.names]
        rows = file.read_row_group(group, columns=wanted)
        return Tail(outputs, rows.slice(max(0, rows.num_rows - count)).to_pylist())


def _is_large(file: pq.ParquetFile, group: int) -> bool:
    size: int = file.metadata.row_group(group).total_byte_size
    return size > MOST_BYTES
