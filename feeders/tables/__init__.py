"""Files of rows: which rows there are, and what stands in them; in memory is never a whole one."""

from feeders.tables.opening import PACKED, SUFFIXES, open_table
from feeders.tables.port import BadRow, Place, Row, Table
from feeders.tables.shelf import Opened, Shelf

__all__ = [
    "PACKED",
    "SUFFIXES",
    "BadRow",
    "Opened",
    "Place",
    "Row",
    "Shelf",
    "Table",
    "open_table",
]
