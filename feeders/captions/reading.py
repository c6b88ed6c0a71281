"""Rows of samples, read where they were listed, or where they stand by now."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from caption_flow.dataset.source import sample_id
from caption_flow.model import Listed
from feeders.captions import places
from feeders.captions.joining import Found, Joining
from feeders.captions.output import Output
from feeders.captions.places import Place
from feeders.captions.roll import Roll
from feeders.files.port import FileGone
from feeders.tables import BadRow

TOGETHER = 64  # samples whose rows are in memory


class Reader:
    """Reads what jobs said of samples."""

    def __init__(self, outputs: Sequence[Output], roll: Roll, joining: Joining) -> None:
        self._outputs = outputs
        self._roll = roll
        self._joining = joining

    def rows(self, shard: str, wanted: Sequence[Listed]) -> Iterator[list[Found]]:
        """Give the rows of each sample, one of each folder; none where it is in no part."""
        told = {one.name: places.read(one.place) for one in wanted}
        nowhere = [name for name, at in told.items() if not at]
        told |= self._roll.find(shard, nowhere) if nowhere else {}
        for start in range(0, len(wanted), TOGETHER):
            names = [one.name for one in wanted[start : start + TOGETHER]]
            found = self._some(shard, {name: told[name] for name in names})
            yield from (self._joining.latest(found.get(name, [])) for name in names)

    def _some(self, shard: str, told: dict[str, list[Place]]) -> dict[str, list[Found]]:
        found = self._at(shard, told)
        moved = [name for name, at in told.items() if at and len(found.get(name, ())) < len(at)]
        if moved:  # their parts were replaced or merged
            again = self._roll.find(shard, moved)
            found |= {name: [] for name in moved} | self._at(shard, again)
        return found

    def _at(self, shard: str, told: dict[str, list[Place]]) -> dict[str, list[Found]]:
        """Read rows at some places, those that are the samples' own."""
        names: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
        for name, at in told.items():
            for place in at:
                names[place.folder, place.part].append((place.row, name))
        found: dict[str, list[Found]] = {}
        for (folder, part), rows in names.items():
            for name, one in self._in_part(shard, folder, part, sorted(rows)):
                found.setdefault(name, []).append(one)
        return found

    def _in_part(
        self, shard: str, folder: int, part: str, rows: Sequence[tuple[int, str]]
    ) -> Iterator[tuple[str, Found]]:
        if folder >= len(self._outputs):
            return
        try:
            table = self._outputs[folder].open(part).table
            read = table.read([(row, "") for row, _ in rows], self._joining.wanted(folder))
            for (_, name), row in zip(rows, read, strict=True):
                if isinstance(row, BadRow) or row["shard"] != shard:
                    continue
                if row["id"] == sample_id(shard, name):
                    yield name, Found(folder, row)
        except FileGone:
            return
