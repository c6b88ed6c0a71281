"""Data set: which samples have their caption in a part already. The parts are the truth."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import SourceError

DIGEST_BYTES = 16  # two of a billion ids collide with a chance of 1e-21


class Known:
    """A set of sample ids in 16 bytes each, filled once and then asked."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._digests = _sorted(joined_digests(ids))

    @classmethod
    def joined(cls, digests: bytes | bytearray) -> "Known":
        """Make a set of digests, one after another."""
        return cls.of(_sorted(digests))

    @classmethod
    def of(cls, digests: Any) -> "Known":
        """Make a set of digests that are sorted already."""
        known = cls(())
        known._digests = digests
        return known

    def with_more(self, ids: Iterable[str]) -> "Known":
        """Make a set of these and more ids."""
        more = Known(ids)
        return Known.of(np.union1d(self._digests, more._digests)) if len(self) else more

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, id_: str) -> bool:
        return not self.unknown([id_])

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Keep, in order, the ids that are not in the set."""
        if not len(self._digests):
            return list(ids)
        digests = np.array([digest(id_) for id_ in ids], dtype=f"S{DIGEST_BYTES}")
        order = np.argsort(digests)
        # Looked for in order, they find in the cache what the one before has read.
        places = np.searchsorted(self._digests, digests[order])
        places[places == len(self._digests)] = 0
        known = np.empty(len(ids), dtype=bool)
        known[order] = self._digests[places] == digests[order]
        return [id_ for id_, found in zip(ids, known, strict=True) if not found]


def known_in(
    folder: PartFolder, recorded: Collection[str] = (), given_up: Iterable[str] = ()
) -> Known:
    """Know the samples of all finished parts, those recorded but not renamed yet among them."""
    finished = (id_ for part in finished_parts(folder, recorded) for id_ in folder.ids(part))
    return Known(chain(finished, given_up))


def finished_parts(folder: PartFolder, recorded: Collection[str] = ()) -> list[str]:
    """Name the finished parts, those recorded but not renamed yet among them."""
    published = folder.published()
    pending = sorted(set(recorded) - set(published))
    missing = [part for part in pending if not folder.exists(part)]
    if missing:
        raise SourceError(
            f"{folder.path} lacks {len(missing)} finished parts, such as {missing[0]}. "
            "Set storage.data_dir to the folder that the sinks write to, since what is "
            "captioned already cannot be told from what is new without it."
        )
    return [*published, *pending]


def joined_digests(ids: Iterable[str]) -> bytearray:
    """Write the digests of ids one after another."""
    joined = bytearray()  # grows in place: a list of digests would take four times as much
    for id_ in ids:
        joined += digest(id_)
    return joined


def _sorted(joined: bytes | bytearray) -> Any:
    # S, not V: numpy sorts and compares byte strings, and equal lengths make that exact.
    return np.sort(np.frombuffer(joined, dtype=f"S{DIGEST_BYTES}"))


def digest(id_: str) -> bytes:
    """Shorten an id to what no other has."""
    # surrogatepass: a source may name its samples by what is no UTF-8, and they must be found.
    raw = id_.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=DIGEST_BYTES).digest()
