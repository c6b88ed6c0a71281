"""The rows that several jobs have of one sample, as the columns of that sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from caption_flow.errors import ConfigError, SourceError
from feeders.captions.output import EXTRA, NEEDED, OF_IMAGE, TELLING, Output, unpacked
from feeders.tables.values import jsonable

_IMAGE = ("source", "sha256")  # what differs in both is of another image


class Found(Struct, frozen=True):
    """A row of a sample, and which of the folders it is from."""

    folder: int
    row: dict[str, Any]

    @property
    def age(self) -> tuple[int, str]:
        """Order the rows of one sample, the latest the last."""
        return self.row.get("settings_version") or 0, str(self.row.get("captioned_at") or "")


class Joining:
    """Knows which columns of which folder are carried, and what they are called."""

    def __init__(self, outputs: Sequence[Output], asked: Sequence[str] | None) -> None:
        self._outputs = outputs
        self._asked = asked
        self._labels = _labels(outputs)
        self._check()

    def wanted(self, folder: int) -> list[str]:
        """Name the columns to read of a folder's rows."""
        there = self._outputs[folder].columns.names
        extra = (EXTRA,) if self._asked is None else ()
        names = (*NEEDED, *TELLING, *OF_IMAGE, *extra, *self._carried(folder))
        return [name for name in dict.fromkeys(names) if name in there]

    def latest(self, rows: Sequence[Found]) -> list[Found]:
        """Keep one row of each folder, in the order of the folders."""
        found = {one.folder: one for one in sorted(rows, key=lambda one: one.age)}
        return [found[folder] for folder in sorted(found)]

    def doubt(self, rows: Sequence[Found]) -> str:
        """Say why the rows may be of two images; empty where nothing hints at it."""
        first = rows[0]
        for other in rows[1:]:
            if _differ(first.row, other.row, "source") and not _are_told(first.row, other.row):
                here, there = (self._outputs[one.folder].path for one in (first, other))
                return (
                    f"{here} and {there} both have it, from {first.row['source']} and "
                    f"{other.row['source']}, and not both say its sha256, so these may be two "
                    "images. Make a job for each"
                )
        return ""

    def columns(self, rows: Sequence[Found]) -> dict[str, Any]:
        """Give the columns of a sample; a name that is taken gets that of the job behind it."""
        columns: dict[str, Any] = {}
        for one in rows:
            self._check_same(rows[0], one)
            made = self._outputs[one.folder].columns.made
            for name, value in self._values(one).items():
                there = columns.get(name)
                if there is None:
                    columns[name] = value
                elif value is not None and (name in made or value != there):
                    columns[self._apart(columns, name, one.folder)] = value
        return columns

    def _values(self, one: Found) -> dict[str, Any]:
        json = self._outputs[one.folder].columns.json
        values = {
            name: unpacked(one.row[name]) if name in json else jsonable(one.row[name])
            for name in self._carried(one.folder)
            if not isinstance(one.row[name], bytes)
        }
        extra = unpacked(one.row.get(EXTRA)) if self._asked is None else None
        return (extra | values) if isinstance(extra, dict) else values

    def _carried(self, folder: int) -> list[str]:
        columns = self._outputs[folder].columns
        if self._asked is not None:
            return [name for name in self._asked if name in columns.names]
        return [name for name in columns.names if name not in columns.ours]

    def _apart(self, columns: Mapping[str, Any], name: str, folder: int) -> str:
        apart = f"{name}_{self._labels[folder]}"
        while columns.get(apart) is not None:
            apart += "_"
        return apart

    def _check_same(self, first: Found, other: Found) -> None:
        """Refuse to join captions of two images."""
        if all(_differ(first.row, other.row, name) for name in _IMAGE):
            here, there = (self._outputs[one.folder].path for one in (first, other))
            raise SourceError(
                f"{here} and {there} both have a sample {first.row['id']}, but of different "
                f"images: {first.row['source']} and {other.row['source']}. Their data sets "
                "cannot be one: make a job for each."
            )

    def _check(self) -> None:
        known = dict.fromkeys(name for output in self._outputs for name in output.columns.names)
        unknown = [name for name in self._asked or () if name not in known]
        if unknown:
            raise ConfigError(
                f"dataset.columns names {', '.join(unknown)}, which no column of "
                f"{' and '.join(output.path for output in self._outputs)} is called. There are: "
                f"{', '.join(known)}."
            )


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    return bool(one.get(name)) and bool(other.get(name)) and one[name] != other[name]


def _are_told(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one.get("sha256")) and bool(other.get("sha256"))


def _labels(outputs: Sequence[Output]) -> list[str]:
    labels: list[str] = []
    for output in outputs:
        label, number = output.label, 1
        while label in labels:
            number += 1
            label = f"{output.label}_{number}"
        labels.append(label)
    return labels
