"""Data set: the sample ids of one part, and whether it is a part at all."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.errors import StorageUnfit


def read_ids(file: Path) -> list[str]:
    """Read the sample ids of a finished part; raise StorageUnfit where it is somebody else's."""
    with pq.ParquetFile(file) as opened:
        named = "id" in opened.schema_arrow.names
        column = opened.read(columns=["id"], use_threads=False).column("id") if named else None
    if column is None or not _is_text(column):
        raise StorageUnfit(
            f"{file} is no part: it has no column id with a text in every row. "
            "Move it to another folder."
        )
    ids: list[str] = column.to_pylist()
    return ids


def _is_text(column: Any) -> bool:
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return bool(text) and column.null_count == 0
