"""Data set: rows that can be read from any mark on, in whatever order."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.reader import Batch, Mark
from caption_flow.dataset.shape import Shape


class Readable(Protocol):
    """Gives the same rows in the same order each time."""

    schema: pa.Schema
    shape: Shape
    shards: tuple[str, ...]  # in their order, where rows come shard by shard

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        start: Mark | None = None,
        size: int = ROWS_PER_GROUP,
    ) -> Iterator[Batch]:
        """Read all rows from a mark on, and of these some columns."""
        ...
