"""Rows by their numbers, where a file says how many it has."""

from collections.abc import Iterator

from caption_flow.dataset.source import ShardChanged
from feeders.files.port import File
from feeders.tables.port import Place, Row


def first_row(file: File, after: Place | None, count: int) -> int:
    """Number the row after one of `count`; ShardChanged where there is no such row."""
    first = after[0] + 1 if after else 0
    if not 0 <= first <= count:
        raise ShardChanged(f"{file.where} has no row {first - 1} any more.")
    return first


def bare_rows(first: int, count: int) -> Iterator[Row]:
    """List rows of which nothing but their number is asked."""
    return (Row(number, "", None) for number in range(first, count))
