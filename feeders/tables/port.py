"""Port: a file of rows, whatever its format."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

Place: TypeAlias = tuple[int, str]  # number and place of a row; the place may be ""


class Row(Struct, frozen=True):
    """A row as its table lists it."""

    number: int  # within the file, from 0
    place: str  # where it begins, as the table spells it; "": the number says all
    value: Any  # of the column asked for; None where it has none, or cannot be read


class BadRow(Struct, frozen=True):
    """What stands for a row that cannot be read; the others can."""

    why: str


class Table(Protocol):
    """A file of rows. Several threads may read one."""

    columns: tuple[str, ...]  # as far as they are known before all is read

    def rows(self, column: str | None, after: Place | None = None) -> Iterator[Row]:
        """List rows in order, strictly after one; the place of that may be missing.

        ShardChanged where there is no such row.
        """
        ...

    def read(
        self, wanted: Sequence[Place], columns: Sequence[str] | None
    ) -> Iterator[dict[str, Any] | BadRow]:
        """Read rows in the order asked, one answer for each; None: all columns.

        Numbers and places may come from strangers. A place that is missing is found by the number.
        """
        ...
