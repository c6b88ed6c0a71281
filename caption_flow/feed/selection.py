"""Feed: which samples of a data set are wanted.

Says the same of the same sample each time and everywhere, so that feeding once more adds nothing
and feeding more adds the difference.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from hashlib import blake2b

import msgspec
from msgspec import Struct

_DRAWS = 1 << 64


class Selection(Struct, frozen=True, omit_defaults=True):
    """Some of the samples of a data set; nothing said, all of them."""

    limit: int | None = None  # so many, from the start on
    shards: tuple[str, ...] = ()  # those whose name matches one of these patterns
    share: float = 1.0  # of the samples, drawn by their ids: a larger share has all of a smaller

    def admits_shard(self, shard: str) -> bool:
        """Tell whether a shard is wanted at all."""
        return not self.shards or any(fnmatchcase(shard, pattern) for pattern in self.shards)

    def admits(self, id_: str) -> bool:
        """Tell whether a sample of a wanted shard is drawn."""
        if self.share >= 1.0:
            return True
        drawn = int.from_bytes(
            blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        )
        return drawn < self.share * _DRAWS

    def covers(self, other: "Selection") -> bool:
        """Whether it certainly admits whatever the other does."""
        if self.limit is not None:
            return msgspec.structs.replace(other, limit=self.limit) == self and (
                other.limit is not None and other.limit <= self.limit
            )
        return self.shards in ((), other.shards) and self.share >= other.share

    def left(self, selected: int) -> int | None:
        """Count what may still be taken after so many; None where there is no limit."""
        return None if self.limit is None else max(0, self.limit - selected)

    def drawn(self, ids: Iterable[str], selected: int) -> list[bool]:
        """Say of each of the next samples of a wanted shard whether it is wanted."""
        left = self.left(selected)
        wanted = []
        for id_ in ids:
            takes = left != 0 and self.admits(id_)
            left = left - 1 if takes and left is not None else left
            wanted.append(takes)
        return wanted


EVERYTHING = Selection()
