"""The parts of one earlier job: which there are, and what their columns are."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.dataset.columns import JSON_KIND, LATER, ColumnSchema
from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rows import OURS, column_names
from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import SourceError, StorageBlocked
from feeders.files.find import Files
from feeders.files.port import File, FileUnreadable
from feeders.tables import Opened, Shelf

_BEGIN, _END = "part-", ".parquet"
NEEDED = ("id", "shard", "source")
# What tells the rows of one sample apart, where a part has it.
TELLING = ("sha256", "settings_version", "captioned_at")
OF_IMAGE = ("width", "height", "format", "bytes")  # beside its hash, where a part has it
EXTRA = "extra"
_SHOWN = 5  # folders told in an error
_LOOKED_AT = 16  # rows


class Columns(Struct, frozen=True):
    """What the columns of a job's parts are."""

    names: tuple[str, ...]
    ours: frozenset[str]  # of these, what says how a caption was made
    made: frozenset[str]  # of these, what the job's stages wrote
    json: frozenset[str]  # of these, what stands there as JSON text


class Output:
    """A folder of parts."""

    def __init__(self, path: str, options: SourceOptions) -> None:
        self.path = path
        self._root = Path(path).expanduser()
        self._folder = PartFolder(self._root.parent, self._root.name)
        self._check()
        beneath = replace(options, path=str(self._root), recursive=False, name=None)
        self._files = Files(beneath, (_END,))
        self._shelf = Shelf(self._files)

    @property
    def label(self) -> str:
        """What the job is called."""
        return self._root.resolve().name

    def parts(self) -> list[str]:
        """Name the files of the finished parts, in order; those left out that were merged."""
        try:
            names = self._folder.published()
        except StorageBlocked as exc:
            raise SourceError(f"{self.path} cannot be listed. {exc}") from exc
        if not names and not self._root.is_dir():
            raise SourceError(f"{self.path} is gone. Bring it back with its parts.")
        return [f"{name}{_END}" for name in names]

    def file(self, part: str) -> File:
        """Give the file of a part, for one reader; FileGone when read, if it is not there."""
        return self._files.get(part)

    def open(self, part: str) -> Opened:
        """Open a part; FileGone where it is not there any more."""
        opened = self._shelf.open(part)
        lacking = [name for name in NEEDED if name not in opened.table.columns]
        if lacking:
            raise FileUnreadable(
                f"{opened.file.where} is no part of a job: it has no column {lacking[0]}. "
                'Give the folder of a job\'s parts, or for other tables set dataset.type to "urls" '
                'or "huggingface".'
            )
        return opened

    @cached_property
    def columns(self) -> Columns:
        """Say what the columns are; they are the same in all parts."""
        opened = self.open(self.parts()[0])
        metadata: Mapping[bytes, bytes] = getattr(opened.table, "schema").metadata or {}  # noqa: B009
        return _columns(opened.table.columns, metadata.get(AGREED))

    def first(self) -> list[dict[str, Any]]:
        """Read a few rows of the first parts that have any."""
        found: list[dict[str, Any]] = []
        for part in self.parts():
            table = self.open(part).table
            wanted = [name for name in (*NEEDED, "dataset") if name in table.columns]
            few = [(row.number, "") for row in islice(table.rows("id"), _LOOKED_AT - len(found))]
            found += _sound(table.read(few, wanted))
            if len(found) >= _LOOKED_AT:
                break
        return found

    def _check(self) -> None:
        if not self._root.is_dir():
            raise SourceError(
                f"{self.path} is no folder of this host. dataset_path must name the folder of an "
                "earlier job's parts, DATA_DIR/JOB; several are joined by ::."
            )
        if not self.parts():
            raise SourceError(
                f"{self.path} holds no captions: there is no part-*.parquet in it.{self._meant()}"
            )

    def _meant(self) -> str:
        jobs = sorted(child.name for child in self._root.iterdir() if _holds_parts(child))
        if not jobs:
            return " Give the folder of a job that has captions, DATA_DIR/JOB."
        shown = ", ".join(f"{self.path.rstrip('/')}/{name}" for name in jobs[:_SHOWN])
        return f" Did you mean one of the jobs in it: {shown}?"


def _holds_parts(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob(f"{_BEGIN}*{_END}"), None) is not None


def _sound(rows: Iterator[Any]) -> Iterator[dict[str, Any]]:
    return (row for row in rows if isinstance(row, dict))


def _columns(names: Sequence[str], agreed: bytes | None) -> Columns:
    if agreed is None:  # written anew by somebody else's program
        return Columns(tuple(names), OURS | frozenset(LATER), frozenset(), frozenset())
    schema = ColumnSchema.decode(agreed)
    spelled = column_names(schema)
    json = {name for name, kind in schema.fields.items() if kind == JSON_KIND}
    json |= {spelled[name] for name, kind in schema.columns.items() if kind == JSON_KIND}
    made = frozenset(schema.outputs) | frozenset(schema.fields)
    return Columns(tuple(names), OURS | frozenset(schema.later), made, frozenset(json))


def unpacked(value: Any) -> Any:
    """Read what a column of JSON holds; what is none stays as it is."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, TypeError):
        return value
