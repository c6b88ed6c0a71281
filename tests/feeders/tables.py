"""Tables on disk, as several programs write them, and files to read them through."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.source import ShardChanged
from caption_flow.model import Reference
from feeders.files.port import Facts
from feeders.tables import Place, Table, open_table


class Disk:
    """A file of this host that notes what is read of it."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.where = str(path)
        self.had = 0  # bytes
        self._path = path

    def facts(self) -> Facts:
        found = self._path.stat()
        return Facts(found.st_size, f"{found.st_size}-{found.st_mtime_ns}")

    def read(self, start: int, length: int) -> bytes:
        with self._path.open("rb") as opened:
            data = os.pread(opened.fileno(), length, start)
        self.had += len(data)
        if len(data) != length:
            raise ShardChanged(f"{self.where} ends before.")
        return data

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        size = self.facts().size
        end = size if end is None else min(end, size)
        for at in range(start, end, 1 << 16):
            yield self.read(at, min(1 << 16, end - at))

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        del start, length


def table(path: Path) -> Table:
    return open_table(Disk(path))


def listed(opened: Table, column: str | None = None, after: Place | None = None) -> list[Place]:
    return [(row.number, row.place) for row in opened.rows(column, after)]


def column(opened: Table, name: str, after: Place | None = None) -> list[Any]:
    return [row.value for row in opened.rows(name, after)]


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


Rows = Sequence[dict[str, Any]]


def by_arrow(path: Path, rows: Rows, group: int = 7) -> Path:
    made = pa.Table.from_pylist(list(rows))
    if path.suffix == ".parquet":
        pq.write_table(made, path, row_group_size=group)
    return path


def by_arrow_stream(path: Path, rows: Rows, group: int = 7) -> Path:
    made = pa.Table.from_pylist(list(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made, max_chunksize=group)
    return path


def by_arrow_file(path: Path, rows: Rows, group: int = 7) -> Path:
    made = pa.Table.from_pylist(list(rows))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, made.schema, options=options) as writer,
    ):
        writer.write_table(made, max_chunksize=group)
    return path


def by_csv(path: Path, rows: Rows) -> Path:
    dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), dialect=dialect)
        writer.writeheader()
        writer.writerows(rows)
    return path


def by_pandas(path: Path, rows: Rows) -> Path:
    frame = pandas.DataFrame(list(rows))
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    return path


def by_polars(path: Path, rows: Rows) -> Path:
    frame = polars.DataFrame(list(rows))
    write = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".arrow": frame.write_ipc,
        ".ndjson": frame.write_ndjson,
    }
    write[path.suffix](path)
    return path


def by_datasets(path: Path, rows: Rows) -> Path:
    import datasets  # noqa: PLC0415 - slow

    datasets.Dataset.from_list(list(rows)).save_to_disk(path.parent / "saved")
    return path.parent / "saved" / "data-00000-of-00001.arrow"
