"""Source: what earlier jobs captioned, to be captioned once more.

The data set is one or more folders of parts. Shards and names are those of the earlier jobs, so
each sample has the id it had; its columns are what its rows say, captions among them. The images
are read where they were then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from caption_flow.dataset.earlier import folders
from caption_flow.dataset.source import SourceOptions, sample_id, sample_name
from caption_flow.errors import ConfigError
from caption_flow.model import Columns, Listed, Picture, Raw
from feeders.captions.images import Images, Known
from feeders.captions.joining import Found, Joining
from feeders.captions.output import Output
from feeders.captions.reading import Reader
from feeders.captions.roll import Roll


class CaptionsSource:
    """The samples of one or more folders of parts, each once."""

    def __init__(self, options: SourceOptions) -> None:
        self._outputs = [Output(path, options) for path in folders(options.path)]
        self._joining = Joining(self._outputs, options.columns)
        self._roll = Roll(self._outputs)
        self._reader = Reader(self._outputs, self._roll, self._joining)
        self._images = Images(options, len(self._outputs))
        named = [self._look(number) for number in range(len(self._outputs))]
        self.dataset = options.name or next(filter(None, named), "dataset")

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the shards of the earlier jobs."""
        return self._roll.shards(start)

    def fingerprint(self, shard: str) -> str:
        """Tell what the data set that was captioned holds now, where one is named."""
        original = self._images.original
        return original.fingerprint(shard) if original else ""

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List the captioned samples of a shard, by their names."""
        return self._roll.names(shard, after.name if after else None)

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Give images with what was said of them."""
        rows = zip(wanted, self._reader.rows(shard, wanted), strict=True)
        samples = (self._sample(sample_id(shard, one.name), one.name, found) for one, found in rows)
        return self._images.of(shard, samples, fingerprint)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Ask the data set that was captioned, where one is named."""
        original = self._images.original
        return original.size(shard, [Listed(one.name) for one in wanted]) if original else None

    def _sample(self, id_: str, name: str, found: Sequence[Found]) -> Known | Raw:
        if not found:
            return Raw(id_, id_, error="no part has a row of it any more", reason="changed")
        columns = self._joining.columns(found)
        if why := self._joining.doubt(found):
            return Raw(id_, found[0].row["source"], error=why)
        return _known(found[0].folder, name, found[0].row, columns)

    def _look(self, number: int) -> str:
        """See that images can be had at all; answers what the captioned data set is called."""
        output = self._outputs[number]
        rows = output.first()
        shards = [row["shard"] for row in rows]
        known = [_known(number, sample_name(row["shard"], row["id"]) or "", row) for row in rows]
        firsts = list(zip(shards, known, strict=True))
        self._images.admit(firsts)
        why = ""
        for row, (shard, one) in zip(rows, firsts, strict=True):
            keeper = self._images.keeper(shard, one)
            if not isinstance(keeper, str):
                return str(row.get("dataset") or "")
            why = why or keeper
        if why:
            raise ConfigError(f"No image of {output.path} can be read: {why}")
        return ""


def _known(folder: int, name: str, row: Mapping[str, Any], columns: Columns | None = None) -> Known:
    return Known(row["id"], name, folder, row["source"] or "", columns or {}, _picture(row))


def _picture(row: Mapping[str, Any]) -> Picture:
    return Picture(
        row.get("width") or 0,
        row.get("height") or 0,
        row.get("format") or "",
        row.get("bytes") or 0,
        row.get("sha256") or "",
    )
