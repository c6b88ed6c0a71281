"""Where all rows of a shard stand, for samples whose place is not known or not true any more.

Takes 20 bytes for each row. Hashes stand in for names: a row that is read is known by its id.
"""

from array import array
from collections.abc import Iterable

import numpy as np

from caption_flow.dataset.known import digest
from feeders.captions.places import Place

_HASH_BYTES = 8


class Index:
    """The places of the samples of one shard."""

    def __init__(self, rows: Iterable[tuple[str, Place]]) -> None:
        self._files: dict[tuple[int, str], int] = {}  # folders and parts, numbered
        hashes, files, numbers = array("Q"), array("L"), array("Q")
        for name, place in rows:
            hashes.append(_hash(name))
            files.append(self._files.setdefault((place.folder, place.part), len(self._files)))
            numbers.append(place.row)
        order = np.argsort(np.frombuffer(hashes, "u8"), kind="stable")
        self._hashes = np.frombuffer(hashes, "u8")[order]
        self._at = np.frombuffer(files, f"u{files.itemsize}").astype("u4")[order]
        self._rows = np.frombuffer(numbers, "u8")[order]
        self._names = list(self._files)

    def find(self, names: Iterable[str]) -> dict[str, list[Place]]:
        """Give all places where a row of each may stand; those that have none are left out."""
        found = {name: self._places(_hash(name)) for name in names}
        return {name: places for name, places in found.items() if places}

    def _places(self, hashed: int) -> list[Place]:
        wanted = np.uint64(hashed)
        begin, end = (np.searchsorted(self._hashes, wanted, side) for side in ("left", "right"))
        return [self._place(at) for at in range(int(begin), int(end))]

    def _place(self, at: int) -> Place:
        folder, part = self._names[int(self._at[at])]
        return Place(folder, part, int(self._rows[at]))


def _hash(name: str) -> int:
    return int.from_bytes(digest(name)[:_HASH_BYTES], "big")
