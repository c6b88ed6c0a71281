"""Export: a Parquet data set of files of one size, as the hub and its readers like it."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.export.draft import Draft, writing
from caption_flow.export.ports import Rows

ROWS_PER_GROUP = 10_000


class ParquetFiles:
    """Writes rows to files of so many rows each; what is settled is whole files."""

    def __init__(self, draft: Draft, schema: pa.Schema, rows_per_file: int) -> None:
        """Go on after the files that an earlier writer finished, or begin."""
        begun = draft.progress
        self._draft = draft
        self._schema = schema.remove_metadata()  # ours says what a part is
        self._rows_per_file = rows_per_file
        self._files = int(begun.state["files"]) if begun else 0  # that are finished
        self._settled = begun.settled if begun else 0
        self._open: _File | None = None

    def write(self, rows: Rows) -> None:
        """Take rows."""
        table = pa.Table.from_batches([rows.table.replace_schema_metadata()])
        while table.num_rows:
            with writing(self._path):
                file = self._file()
                some = table.slice(0, self._rows_per_file - file.rows)
                file.add(some)
                if file.rows == self._rows_per_file:
                    self._finish_file(file)
            table = table.slice(some.num_rows)

    def settle(self) -> int:
        """Tell how many rows are in finished files."""
        return self._settled

    def state(self) -> Mapping[str, Any]:
        """Tell how many files are finished."""
        return {"files": self._files}

    def finish(self) -> Mapping[str, Any]:
        """Finish the last file; there is one, even where there are no rows."""
        if self._open is not None or not self._files:
            with writing(self._path):
                self._finish_file(self._file())
        return self.state()

    def close(self) -> None:
        """Let go of the open file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _path(self) -> Path:
        return drafted(self._draft, self._files)

    def _file(self) -> "_File":
        if self._open is None:
            self._open = _File(self._path, self._schema)
        return self._open

    def _finish_file(self, file: "_File") -> None:
        file.finish()
        self._open = None
        self._files += 1
        self._settled += file.rows


class _File:
    """One file, in groups of so many rows, however they come: the same rows make the same file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._file = path.open("wb")
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._waiting = schema.empty_table()

    def add(self, rows: pa.Table) -> None:
        """Take rows; they are written a group at a time."""
        self.rows += rows.num_rows
        waiting = pa.concat_tables([self._waiting, rows])
        while waiting.num_rows >= ROWS_PER_GROUP:
            self._write(waiting.slice(0, ROWS_PER_GROUP))
            waiting = waiting.slice(ROWS_PER_GROUP)
        self._waiting = waiting

    def finish(self) -> None:
        """Make the file complete and durable."""
        if self._waiting.num_rows:
            self._write(self._waiting)
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Leave the file as it is."""
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks())


def drafted(draft: Draft, number: int) -> Path:
    """Where a file is drafted."""
    return draft.file(f"{number:05}.parquet")


def finals(folder: Path, files: int) -> list[Path]:
    """Name the finished files, as the hub does for a split."""
    return [folder / f"train-{number:05}-of-{files:05}.parquet" for number in range(files)]
