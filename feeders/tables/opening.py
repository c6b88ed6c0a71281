"""Tables: which reader is for which file."""

from caption_flow.errors import SourceError
from feeders.files.port import File
from feeders.tables.arrow import ArrowTable
from feeders.tables.delimited import Delimited
from feeders.tables.json_lines import JsonLines
from feeders.tables.line_table import LineTable
from feeders.tables.parquet import ParquetTable
from feeders.tables.plain import PlainLines
from feeders.tables.port import Table

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
SUFFIXES = (".parquet", ".arrow", *TEXTS)
# Refused in words, where they would be passed over without one.
PACKED = tuple(text + packed for text in TEXTS for packed in _COMPRESSED)


def open_table(file: File) -> Table:
    """Open a table by how its name ends."""
    name = file.name.lower()
    if name.endswith(".parquet"):
        return ParquetTable(file)
    if name.endswith(".arrow"):
        return ArrowTable(file)
    if name.endswith(".csv"):
        return LineTable(file, Delimited(file, ","))
    if name.endswith(".tsv"):
        return LineTable(file, Delimited(file, "\t"))
    if name.endswith((".jsonl", ".ndjson")):
        return LineTable(file, JsonLines(file))
    if name.endswith(".txt"):
        return LineTable(file, PlainLines(file))
    raise SourceError(_unknown(file, name))


def _unknown(file: File, name: str) -> str:
    if name.endswith(_COMPRESSED):
        return (
            f"{file.where} is compressed as a whole, so that no row can be found in it again. "
            "Unpack it, or write it as Parquet, which is compressed by itself."
        )
    return f"{file.where} is no table: its name ends with none of {', '.join(SUFFIXES)}."
