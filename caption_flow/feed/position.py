"""Feed: how far the source is planned, as it stands in the queue."""

import msgspec
from msgspec import Struct


class Position(Struct, frozen=True):
    """The last sample planned. By name, so that files that come or go do not shift it."""

    generation: int = 1  # how many times the source is being planned from its start
    shard: str = ""  # empty: no shard has been begun
    after: str = ""  # name of the shard's last planned sample
    ordinal: int = 0  # how many samples of the shard are planned
    done: bool = False  # the source has no more
    word: str = ""  # random, of this plan: after a flush the generations are counted from 1 again

    def at(self, shard: str, after: str = "", ordinal: int = 0) -> "Position":
        """Go on, in the same plan."""
        return msgspec.structs.replace(self, shard=shard, after=after, ordinal=ordinal)

    def encode(self) -> str:
        """Write as JSON, the same text for the same position."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Position":
        """Read what `encode` wrote; an empty text is the very start."""
        return msgspec.json.decode(text.encode(), type=cls) if text else cls()
