"""Monitor: the newest captions, over several looks: sinks take them off the stream meanwhile."""

from collections.abc import Iterable

from caption_flow.model import Caption, EntryId


class Newest:
    """The newest captions that were seen, as many as are wanted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[EntryId, Caption] = {}

    @property
    def all(self) -> tuple[Caption, ...]:
        """Give them, the newest first."""
        return tuple(self._kept.values())

    def add(self, found: Iterable[Caption]) -> None:
        """Take in what was found at a look."""
        known = self._kept | {caption.entry: caption for caption in found}
        newest = sorted(known, key=_order, reverse=True)[: self._most]
        self._kept = {entry: known[entry] for entry in newest}


def _order(entry: EntryId) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence)
