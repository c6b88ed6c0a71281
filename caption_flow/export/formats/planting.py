"""Export: a tree of files is put into a folder in which others may be, each under its final name.

Whole folders at once where there is nothing yet. A file that is there and says the same counts as
put; one that says something else stays, unless it is to be overwritten, and is told of.
"""

import os
from pathlib import Path

from caption_flow.dataset.locks import sync
from caption_flow.export.draft import writing

_PIECE = 1 << 20  # bytes that are compared at a time


class Planting:
    """Puts a tree into a folder; what a crash left of one is put by the next."""

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self.kept = 0  # files that were there and say something else
        self.example: Path | None = None  # the first of them by its name

    def plant(self, tree: Path, folder: Path) -> None:
        """Move all files of a tree; none is there where that was done, and the rest deleted."""
        if not tree.exists():
            return
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with os.scandir(tree) as found:
                for entry in found:
                    self._put(Path(entry.path), folder / entry.name)
            sync(folder)

    def _put(self, drafted: Path, final: Path) -> None:
        if not os.path.lexists(final):
            drafted.rename(final)
        elif drafted.is_dir() and final.is_dir():
            self.plant(drafted, final)
        elif drafted.is_file() and final.is_file() and self._overwrite:
            drafted.replace(final)
        elif not _same(drafted, final):
            self.kept += 1
            self.example = min(filter(None, (self.example, final)))


def _same(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()) or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as ours, other.open("rb") as theirs:
        while piece := ours.read(_PIECE):
            if theirs.read(_PIECE) != piece:
                return False
    return True
