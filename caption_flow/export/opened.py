"""Export: finished captions for Python, without a command and without files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
from pyarrow.fs import PyFileSystem

from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.reader import Reader
from caption_flow.dataset.snapshot import snapshot
from caption_flow.errors import CaptionFlowError, ConfigError, StorageUnfit
from caption_flow.export.part_files import PartFiles
from caption_flow.export.where import Condition, unknown_column

if TYPE_CHECKING:
    import datasets
    import pandas as pd


# What libraries raise where rows or options do not fit them, or the disk does not.
_OF_LIBRARIES = (pa.ArrowException, OSError, LookupError, TypeError, ValueError)


class Captions:
    """The rows of a job's finished parts as they were when this was opened, each sample once.

    Parts that are merged meanwhile stay readable until `close`, or until nobody has this any more;
    it is a context, too. Columns are those of docs/dataset.md. Where a sample has several rows,
    that of the latest settings is given. `where` is a condition as `caption-flow export --where`
    has it.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the folder of the parts; raises StorageUnfit where there are none, or bad ones."""
        folder = Path(path).resolve()
        with ExitStack() as opened:
            parts = opened.enter_context(snapshot(PartFolder(folder.parent, folder.name)))
            if not parts.names:
                raise StorageUnfit(
                    f"{path} has no part-*.parquet. Name the folder of a job's captions, "
                    "as in caption_data/photos."
                )
            self._parts = parts
            self._reader = Reader(parts)
            self._open = opened.pop_all()

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._reader.schema

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that stages wrote captions to, each a list of texts."""
        return self._reader.shape.outputs

    def __len__(self) -> int:
        """Count the samples."""
        return self._reader.rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give each row as a dict, in the order of the parts, a few at a time in memory."""
        for batch in self.batches():
            yield from batch.to_pylist()

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        where: str | None = None,
        size: int = ROWS_PER_GROUP,
    ) -> Iterator[pa.RecordBatch]:
        """Give the rows in batches of up to `size`; raises ConfigError for unknown columns."""
        names = self._named(columns)
        condition = Condition(where, self.schema) if where else None
        if size < 1:
            raise ConfigError(f"size={size}: a batch has at least one row.")
        return self._batches(names, condition, size)

    def _named(self, columns: Sequence[str] | None) -> list[str]:
        names = self.schema.names if columns is None else list(columns)
        for name in names:
            if name not in self.schema.names:
                raise ConfigError(unknown_column(name, self.schema.names))
        return list(names)

    def _batches(
        self, names: list[str], condition: Condition | None, size: int
    ) -> Iterator[pa.RecordBatch]:
        needed = [*names, *(condition.columns.difference(names) if condition else ())]
        for batch in self._reader.batches(needed, size=size):
            rows = batch.rows
            if condition is not None:
                rows = rows.filter(condition.holds(rows)).select(names)
            if rows.num_rows:
                yield rows

    def to_table(
        self, columns: Sequence[str] | None = None, *, where: str | None = None
    ) -> pa.Table:
        """Give the rows as one Arrow table, in memory."""
        batches = self.batches(columns, where=where)
        fields = [self.schema.field(name) for name in self._named(columns)]
        return pa.Table.from_batches(batches, pa.schema(fields, self.schema.metadata))

    def to_arrow(self) -> pa_dataset.Dataset:
        """Give a pyarrow data set, which reads the files when it is scanned.

        Parts that are merged meanwhile stay readable for it as for this. Those of which rows are
        left out, as another has them too, are in memory instead.
        """
        whole = [name for name in self._parts.names if not self._reader.lacks(name)]
        files = pa_dataset.dataset(
            [str(self._parts.folder.file(name)) for name in whole],
            schema=self.schema,
            format="parquet",
            filesystem=PyFileSystem(PartFiles(self._parts, self._open)),
        )
        if len(whole) == len(self._parts.names):
            return files
        lacking = [name for name in self._parts.names if self._reader.lacks(name)]
        rest = [batch.rows for batch in self._reader.batches(parts=lacking)]
        return pa_dataset.dataset([files, pa_dataset.dataset(rest, schema=self.schema)])

    def to_pandas(
        self, columns: Sequence[str] | None = None, *, where: str | None = None
    ) -> "pd.DataFrame":
        """Give the rows as a pandas DataFrame, in memory; needs pandas."""
        return self.to_table(columns, where=where).to_pandas()

    def to_datasets(self, **options: Any) -> "datasets.Dataset":
        """Give the rows as a `datasets.Dataset`, which keeps a copy in its cache; needs `datasets`.

        `options` go to `datasets.Dataset.from_parquet`, as `cache_dir` and `columns` may. Raises
        CaptionFlowError where the library does not take them, or these rows.
        """
        import datasets  # noqa: PLC0415 - not everybody has it

        paths = [str(self._parts.path(name)) for name in self._parts.names]
        chosen = self._named(options.get("columns"))
        try:
            # What a part lacks is filled in where all columns are read, but cannot be chosen.
            if not self._alike(paths):
                options.pop("columns", None)
                options.setdefault("features", datasets.Features.from_arrow_schema(self.schema))
            made = datasets.Dataset.from_parquet(paths, **options).select_columns(chosen)
        except (*_OF_LIBRARIES, datasets.exceptions.DatasetsError) as exc:
            why = " ".join(str(exc.__cause__ or exc).split())
            raise CaptionFlowError(
                f"datasets does not take these rows, or the options given ({why}). "
                "batches() and to_pandas() have all rows, too."
            ) from exc
        if not self._reader.repeated:
            return made
        if len(made) != self._reader.stored:  # as with `filters`
            raise ConfigError(
                "Options that leave out rows do not go with samples that have several. "
                "Filter the data set that this gives without them."
            )
        return made.select(self._reader.kept())

    def _alike(self, paths: Sequence[str]) -> bool:
        """Whether all parts have the columns that are given."""
        return all(pq.read_schema(path).equals(self.schema) for path in paths)

    def close(self) -> None:
        """Let go of the parts."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
