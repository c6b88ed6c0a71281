"""Data set: the newest settings that a row of a finished part was made with.

Asked where Redis knows no settings: a version must not come again for others.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import snapshot

_COLUMN = "settings_version"


def newest_version(folder: PartFolder) -> int:
    """Find the highest version that the footers of the parts tell; 0 where none does.

    StorageUnfit where the folder cannot be read from the start: nobody should wait for that.
    """
    with on_disk(folder.path, first=True), suppress(FileNotFoundError):
        os.scandir(folder.path).close()
    with snapshot(folder) as parts:
        return max((v for part in parts.names for v in _highest(folder, part)), default=0)


def _highest(folder: PartFolder, part: str) -> Iterator[int]:
    """Yield the highest version of each row group."""
    with on_disk(folder.path):
        try:
            with folder.opened(part) as file:
                footer = pq.read_metadata(file)
        except pa.ArrowException:
            return  # whoever plans needs its rows, and names it
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            told = column.statistics if column.path_in_schema == _COLUMN else None
            if told is not None and told.has_min_max:
                yield told.max
