"""Which columns a table has, and which are asked of it."""

from collections.abc import Sequence

from caption_flow.errors import SourceError
from feeders.files.port import File, FileUnreadable


def named_once(file: File, names: Sequence[str]) -> tuple[str, ...]:
    """Refuse names of which nobody could tell which column they mean."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileUnreadable(
            f"{file.where} has several columns named {', '.join(twice)}. Rename all but one."
        )
    return tuple(names)


def expect(file: File, asked: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse to be asked for a column that is not there."""
    for column in asked:
        if column not in columns:
            known = ", ".join(columns) or "none"
            raise SourceError(f'{file.where} has no column "{column}". It has: {known}.')
