"""Columns from the members of a sample that are no image.

A .json member gives its members, a .cls member a number, any other text the column of its
extension. One that cannot be read costs the sample its columns, never its caption.
"""

from caption_flow.model import Columns
from feeders import sidecars
from feeders.sidecars import SidecarError

_LARGEST = 2**63 - 1  # what a column of numbers holds


def add(columns: Columns, member: str, extension: str, data: bytes) -> None:
    """Add the columns of one member, or say in one why it has none."""
    try:
        columns |= _read(extension, data)
    except SidecarError as exc:
        note(columns, f"{member}: {exc}")


def note(columns: Columns, problem: str) -> None:
    """Say in a column what became of the others."""
    before = columns.get(sidecars.ERROR_COLUMN)
    columns[sidecars.ERROR_COLUMN] = f"{before}; {problem}" if before else problem


def _read(extension: str, data: bytes) -> Columns:
    if extension == "json":
        return sidecars.READERS["json"](data)
    text = sidecars.READERS["txt"](data)["text"]
    return {extension: _number(text) if extension == "cls" else text}


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError as exc:
        raise SidecarError("is no whole number") from exc
    if abs(number) > _LARGEST:
        raise SidecarError("is too large a number")
    return number
