"""A source of one shard whose content may change, as a table or an archive does."""

from collections.abc import Iterator, Sequence

from caption_flow.dataset.source import ShardChanged
from caption_flow.model import Listed, Raw
from tests.made import jpeg

SHARD = "table.csv"


class Table:
    """Rows of numbered pictures; a name is the number of a row, a place the same in words."""

    dataset = "pictures"

    def __init__(self, numbers: Sequence[int]) -> None:
        self.hold(numbers)

    def hold(self, numbers: Sequence[int]) -> None:
        """Let the shard hold these pictures from now on."""
        self._numbers = list(numbers)

    def shards(self, start: str | None = None) -> Iterator[str]:
        yield start or SHARD

    def fingerprint(self, shard: str) -> str:
        return f"{shard}={self._numbers}"

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        del shard
        first = int(after.name) + 1 if after else 0
        yield from (Listed(str(row), f"row {row}") for row in range(first, len(self._numbers)))

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        if fingerprint not in ("", self.fingerprint(shard)):
            raise ShardChanged(f"{shard} has changed.")
        for listed in wanted:
            assert listed.place in ("", f"row {listed.name}")
            number = self._numbers[int(listed.name)]
            yield Raw(f"{shard}/{listed.name}", f"{shard}#{listed.name}", jpeg(number))
