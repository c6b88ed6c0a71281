"""Data set: a few rows of the newest parts, for who looks at what is new."""

from itertools import islice
from typing import Any

import pyarrow.parquet as pq
from msgspec import Struct

from caption_flow.dataset.columns import STAGES, ColumnSchema
from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import snapshot

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
    with folder.reading(part), folder.opened(part) as opened, pq.ParquetFile(opened) as file:
        schema, group = file.schema_arrow, file.num_row_groups - 1
        metadata = schema.metadata or {}
        if AGREED not in metadata or group < 0 or _is_large(file, group):
            return Tail((), [])
        outputs = ColumnSchema.decode(metadata[AGREED]).outputs
        wanted = [name for name in (*_COLUMNS, *outputs) if name in schema.names]
        rows = file.read_row_group(group, columns=wanted)
        return Tail(outputs, rows.slice(max(0, rows.num_rows - count)).to_pylist())


def newest(folder: PartFolder, count: int) -> list[tuple[str, list[str]]]:
    """Read a few samples of the newest part: id, and the texts of all its outputs."""
    agreed = folder.agreed()
    with snapshot(folder) as parts:
        if agreed is None or not parts.names:
            return []
        with parts.open(parts.names[-1]) as opened, pq.ParquetFile(opened) as file:
            batches = file.iter_batches(count, columns=["id", *agreed.outputs])
            return [
                (row["id"], [text for name in agreed.outputs for text in row[name] or ()])
                for batch in islice(batches, 1)  # a part may have lost all its rows
                for row in batch.to_pylist()
            ]


def _is_large(file: pq.ParquetFile, group: int) -> bool:
    size: int = file.metadata.row_group(group).total_byte_size
    return size > MOST_BYTES
