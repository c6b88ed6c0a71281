"""Some of the files of a data set, as if there were no others."""

from collections.abc import Iterator, Sequence

from feeders.files.find import Finder
from feeders.files.port import File, FileGone, order


class Picked:
    """The files of these names."""

    def __init__(self, files: Finder, names: Sequence[str]) -> None:
        self.dataset = files.dataset
        self._files = files
        self._names = sorted(names, key=order)
        self._known = frozenset(names)

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give them in order, from a name on."""
        first = order(start) if start else ()
        return (self._files.get(name) for name in self._names if order(name) >= first)

    def get(self, name: str) -> File:
        """Give one of them."""
        if name not in self._known:
            raise FileGone(f"The data set has no file {name}, or not any more.")
        return self._files.get(name)
