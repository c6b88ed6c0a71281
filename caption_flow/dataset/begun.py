"""Data set: of which shards there are rows in parts. Tells soon what is certainly not captioned.

Reads the column of shards alone, which has few different values, and keeps a name for each shard.
"""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.known import told_apart
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import shared

_ROWS = 65_536  # read at a time, for a part may be of any length


def begun_in(folder: PartFolder, recorded: Collection[str] = ()) -> frozenset[str] | None:
    """Name the shards that finished parts have rows of; None where a part does not tell its own."""
    with shared(folder.path):
        published, pending, missing = told_apart(folder, recorded)
        found: set[str] = set()
        for part in (*published, *pending):
            shards = folder.read(part, _shards)
            if shards is None:
                return None
            found |= shards
    return None if missing else frozenset(found)


def _shards(file: Path) -> set[str] | None:
    try:
        opened = pq.ParquetFile(file, read_dictionary=["shard"])
    except KeyError:  # as in what somebody merged
        return None
    found: set[str] = set()
    with opened:
        for batch in opened.iter_batches(_ROWS, columns=["shard"], use_threads=False):
            column = batch.column("shard")
            if column.null_count or not pa.types.is_dictionary(column.type):
                return None
            found.update(column.dictionary.to_pylist())
    return found
