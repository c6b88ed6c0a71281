"""Parts that are small, and what merges them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow.parquet as pq

from caption_flow.dataset.columns import LATER, ColumnSchema
from caption_flow.dataset.merging import Merging, groups, measure
from caption_flow.dataset.parts import PartFolder
from tests.made import caption

AGREED = ColumnSchema(("captions",), {"title": "string"}, {}, tuple(LATER))


def written(folder: PartFolder, *numbers: int, agreed: ColumnSchema = AGREED) -> str:
    """Publish a part of these samples."""
    part = folder.open(agreed)
    part.append([caption(number, columns={"title": f"no. {number}"}) for number in numbers])
    part.prepare()
    part.publish()
    return part.name


def merged(folder: PartFolder, parts: Iterable[str]) -> str:
    """Merge parts into one; answers its name."""
    merging = Merging(folder, list(parts))
    assert merging.write() == []
    merging.publish()
    return merging.name


def rows_of(folder: PartFolder) -> list[Mapping[str, Any]]:
    """Give all rows that count, by their ids."""
    found = [
        row for part in folder.published() for row in pq.read_table(folder.file(part)).to_pylist()
    ]
    return sorted(found, key=lambda row: row["id"])


def grouped(folder: PartFolder, rows: int) -> list[list[str]]:
    """Say which parts would be merged."""
    smalls = [measure(folder, part) for part in folder.published()]
    return [[small.part for small in group] for group in groups(smalls, rows)]
