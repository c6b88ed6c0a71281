"""Export: `lance`: a data set of Lance, which grows by as many rows each time.

What is settled is what was committed; Lance itself knows how much that is, also after a crash
between its commit and our note of it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from caption_flow.errors import ConfigError
from caption_flow.export.draft import Blocked, Draft, publish, refuse_existing, writing
from caption_flow.export.ports import ANY, Layout, Published, Rows, Writer

_DRAFTED = "dataset"
_MOST_BYTES = 256 << 20  # of rows that wait to be committed
_VERSIONS = "_versions"  # the folder by which a data set of Lance is known


class LanceFormat:
    """A folder that is the data set."""

    needs = ANY

    def __init__(self, output: Path, *, overwrite: bool, rows_per_file: int) -> None:
        self.output = output
        self._overwrite = overwrite
        self._rows_per_file = rows_per_file

    @property
    def draft(self) -> Path:
        """Beside the folder."""
        return self.output.with_name(f".{self.output.name}.export")

    def refuse(self) -> None:
        """Refuse where Lance is missing, or something is that is no data set of Lance."""
        _lance()
        refuse_existing([self.output], overwrite=self._overwrite)
        if os.path.lexists(self.output) and not (self.output / _VERSIONS).is_dir():
            raise ConfigError(
                f"{self.output} is no data set of Lance, and --overwrite replaces only such a one. "
                "Name another --output."
            )

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write the data set."""
        return LanceRows(draft, layout.schema, self._rows_per_file)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:  # noqa: ARG002
        """Name it."""
        publish(draft.file(_DRAFTED), self.output)
        return Published()


class LanceRows:
    """Writes rows to a data set, a fragment of so many rows after another."""

    def __init__(self, draft: Draft, schema: pa.Schema, rows_per_file: int) -> None:
        """Go on after the rows that were committed, or begin."""
        self._path = draft.file(_DRAFTED)
        self._schema = schema.remove_metadata()  # ours says what a part is
        self._rows_per_file = rows_per_file
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        begun = draft.progress.settled if draft.progress else 0
        self._committed = self._found(begun)
        self._known = self._committed - begun  # rows that come again

    def write(self, rows: Rows) -> None:
        """Take rows."""
        table = rows.table.replace_schema_metadata()
        known = min(self._known, table.num_rows)
        self._known -= known
        at = known
        while at < table.num_rows:
            some = table.slice(at, self._rows_per_file - self._waiting_rows)
            self._waiting.append(some)
            self._waiting_rows += some.num_rows
            self._waiting_bytes += some.nbytes
            at += some.num_rows
            if self._waiting_rows == self._rows_per_file or self._waiting_bytes > _MOST_BYTES:
                self._commit()

    def settle(self) -> int:
        """Tell how many rows are committed."""
        return self._committed

    def state(self) -> Mapping[str, Any]:
        """Nothing need be known: the data set tells."""
        return {}

    def finish(self) -> Mapping[str, Any]:
        """Commit the rest; there is a data set, even where there are no rows."""
        if self._waiting or not self._is_there():
            self._commit()
        with writing(self._path), _spoken(self._path):
            _tidy(self._path)
        return self.state()

    def close(self) -> None:
        """No file is open."""

    def _is_there(self) -> bool:
        return any((self._path / _VERSIONS).glob("*.manifest"))

    def _found(self, begun: int) -> int:
        """Count the rows that an earlier writer committed, of which so many are known."""
        found = 0
        if self._is_there():
            with _spoken(self._path):
                found = int(_lance().dataset(os.fspath(self._path)).count_rows())
        elif self._path.exists():
            shutil.rmtree(self._path)  # who wrote it was killed before the first commit
        if found < begun:
            raise Blocked(
                f"{self._path} has fewer rows than it had. Delete {self._path.parent} and begin "
                "anew."
            )
        return found

    def _commit(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        with writing(self._path), _spoken(self._path):
            _lance().write_dataset(
                table,
                os.fspath(self._path),
                mode="append" if self._committed else "create",
                max_rows_per_file=self._rows_per_file,
            )
            _sync(self._path)
        self._committed += table.num_rows
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0


@contextmanager
def _spoken(path: Path) -> Iterator[None]:
    """Stand around what Lance does; what it says of a disk or a file is said in our words."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        why = " ".join(str(exc).split())
        raise Blocked(
            f"Lance cannot work with {path} ({why}). Where the disk is to blame, mend that and run "
            f"the same command again; else delete {path.parent} and begin anew."
        ) from exc


def _lance() -> Any:
    try:
        import lance  # noqa: PLC0415 - few exports need it
    except ImportError as exc:
        raise ConfigError(
            'Lance is not installed: pip install "caption-flow[lance]" installs it.'
        ) from exc
    return lance


def _tidy(path: Path) -> None:
    """Delete what writers that were killed left behind, and versions with fewer rows."""
    dataset = _lance().dataset(os.fspath(path))
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    _sync(path)


def _sync(path: Path) -> None:
    """Make all files of a folder durable."""
    for folder, _, names in os.walk(path):
        for one in (*(os.path.join(folder, name) for name in names), folder):  # noqa: PTH118
            descriptor = os.open(one, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
