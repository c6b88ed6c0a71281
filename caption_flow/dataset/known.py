"""Data set: which samples have their caption in a part already. The parts are the truth."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import shared
from caption_flow.errors import SourceError

DIGEST_BYTES = 16  # two of a billion ids collide with a chance of 1e-21
KEPT_BYTES = 10  # of them: that one of a billion is taken for another of a billion, of 1e-6
KEPT = f"S{KEPT_BYTES}"  # S, not V: numpy sorts and compares these, exactly as all are as long


class Known:
    """A set of sample ids in 10 bytes each, filled once and then asked."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._digests = np.frombuffer(_joined(ids, KEPT_BYTES), dtype=KEPT)
        self._digests.sort()  # in place: there may be many

    @classmethod
    def joined(cls, digests: bytes | bytearray) -> "Known":
        """Make a set of digests, one after another."""
        whole = np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES)
        kept = np.ascontiguousarray(whole[:, :KEPT_BYTES]).view(KEPT).ravel()
        kept.sort()
        return cls.of(kept)

    @classmethod
    def of(cls, digests: Any) -> "Known":
        """Make a set of digests that are sorted already, whatever follows each."""
        known = cls(())
        known._digests = digests
        return known

    def with_more(self, ids: Iterable[str]) -> "Known":
        """Make a set of these and more ids."""
        more = Known(ids)
        if not len(self):
            return more
        places = np.searchsorted(self._digests, more._digests)
        places[places == len(self._digests)] = 0
        new = more._digests[self._digests[places] != more._digests]
        if not len(new):
            return self
        return Known.of(np.insert(self._digests, np.searchsorted(self._digests, new), new))

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, id_: str) -> bool:
        return not self.unknown([id_])

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Keep, in order, the ids that are not in the set."""
        if not len(self._digests):
            return list(ids)
        digests = np.array([digest(id_)[:KEPT_BYTES] for id_ in ids], dtype=KEPT)
        order = np.argsort(digests)
        # Looked for in order, they find in the cache what the one before has read.
        places = np.searchsorted(self._digests, digests[order])
        places[places == len(self._digests)] = 0
        known = np.empty(len(ids), dtype=bool)
        known[order] = self._digests[places].astype(KEPT) == digests[order]
        return [id_ for id_, found in zip(ids, known, strict=True) if not found]


def known_in(
    folder: PartFolder,
    recorded: Collection[str] = (),
    given_up: Iterable[str] = (),
    *,
    passed: Collection[str] = (),
) -> Known:
    """Know the samples of all finished parts, those recorded but not renamed yet among them.

    Nobody asks for those of the parts in `passed`.
    """
    with shared(folder.path):
        parts = [part for part in finished_parts(folder, recorded) if part not in passed]
        return Known(chain((id_ for part in parts for id_ in folder.ids(part)), given_up))


def finished_parts(folder: PartFolder, recorded: Collection[str] = ()) -> list[str]:
    """Name the finished parts, those recorded but not renamed yet among them.

    Those are left out that were merged into others: these have their rows.
    """
    published, pending, missing = told_apart(folder, recorded)
    if missing:
        raise SourceError(
            f"{folder.path} lacks {len(missing)} finished parts, such as {missing[0]}. "
            "Set storage.data_dir to the folder that the sinks write to, since what is "
            "captioned already cannot be told from what is new without it."
        )
    return [*published, *pending]


def told_apart(
    folder: PartFolder, recorded: Collection[str]
) -> tuple[list[str], list[str], list[str]]:
    """Name the finished parts, those that are recorded but not renamed yet, and those missing."""
    look = folder.look()
    others = sorted(set(recorded) - look.published - look.superseded.keys())
    missing = [part for part in others if not folder.exists(part)]
    return sorted(look.published), sorted(set(others).difference(missing)), missing


def joined_digests(ids: Iterable[str]) -> bytearray:
    """Write the digests of ids one after another."""
    return _joined(ids, DIGEST_BYTES)


def _joined(ids: Iterable[str], kept: int) -> bytearray:
    joined = bytearray()  # grows in place: a list of digests would take four times as much
    for id_ in ids:
        joined += digest(id_)[:kept]
    return joined


def digest(id_: str) -> bytes:
    """Shorten an id to what no other has."""
    # surrogatepass: a source may name its samples by what is no UTF-8, and they must be found.
    raw = id_.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=DIGEST_BYTES).digest()
