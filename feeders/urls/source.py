"""Source: tables of URLs, of which each row is a sample.

A shard is a table; a sample is called by the number of its row and its URL. The workers fetch the
images, or, if they are to be inline, this source does.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from caption_flow.dataset.source import SourceOptions, sample_id
from caption_flow.errors import ConfigError, SourceError
from caption_flow.fetch import BlockingClient, FetchFailed
from caption_flow.fetch.urls import Url
from caption_flow.model import Listed, Raw, Reference
from feeders.files.find import Files, Finder
from feeders.tables import PACKED, SUFFIXES, BadRow, Opened, Shelf, Table
from feeders.tables.columns import expect
from feeders.tables.values import carried
from feeders.urls import naming
from feeders.urls.fetching import with_images

_USUAL = ("url", "URL", "image_url", "link")  # columns of URLs, where none is named
_DEFAULT = SourceOptions(path="").url_column


class UrlsSource:
    """The images that the rows of some tables name by URLs."""

    def __init__(self, options: SourceOptions, files: Finder | None = None) -> None:
        for name in options.extra:
            raise ConfigError(f'The source of URLs has no option "{name}".')
        self._options = options
        self._files = files or Files(options, (*SUFFIXES, *PACKED))
        self._shelf = Shelf(self._files)
        self._opening = Lock()  # chunks are read at once, and must not have a client each
        self.dataset = self._files.dataset

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the tables by their names."""
        return (file.name for file in self._files.list(start))

    def fingerprint(self, shard: str) -> str:
        """Tell a table that was written anew."""
        return self._files.get(shard).facts().fingerprint

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """Name the rows of a table."""
        opened = self._shelf.open(shard)
        table = opened.table
        if not table.columns and next(table.rows(None), None) is None:
            return iter(())  # lines of JSON have no header that would name columns
        column = self._url_column(shard, table)
        expect(opened.file, self._columns(column) or (), table.columns)
        last = naming.place_of(after) if after else None
        return map(naming.listed, table.rows(column, last))

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Give rows with the URLs of their images, or with the images."""
        opened = self._shelf.open(shard, fingerprint)
        raws = self._raws(shard, opened, wanted)
        if self._options.images != "inline":
            return raws
        with self._opening:
            client = self._client
        return with_images(raws, client, self._options.max_file_size)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:  # noqa: ARG002
        """Nobody knows before the servers are asked."""
        return None

    @cached_property
    def _client(self) -> BlockingClient:
        return BlockingClient(self._options.download, self._options.allow_networks)

    def _raws(self, shard: str, opened: Opened, wanted: Sequence[Listed]) -> Iterator[Raw]:
        column = self._url_column(shard, opened.table)
        places = [naming.place_of(sample) or (-1, "") for sample in wanted]
        rows = opened.table.read(places, self._columns(column))
        for sample, (number, _), row in zip(wanted, places, rows, strict=True):
            where = f"{opened.file.where}#{number}"
            identity = sample_id(shard, sample.name)
            if isinstance(row, BadRow):
                opened.check()
                yield Raw(identity, where, error=row.why, reason="bad_row")
            else:
                yield self._raw(Raw(identity, where), sample, row, column, opened)

    def _raw(
        self, bare: Raw, sample: Listed, row: dict[str, Any], column: str, opened: Opened
    ) -> Raw:
        url = naming.as_text(row.pop(column, None))
        if not naming.is_named(sample, url):
            opened.check()
            return Raw(bare.id, bare.source, error="its row holds another URL", reason="changed")
        try:
            Url.parse(url)
        except FetchFailed as exc:
            # Its own text may be a secret, or endless: who has the table finds it by the row.
            return Raw(bare.id, bare.source, error=exc.detail, reason=exc.reason)
        reference = None if self._options.images == "inline" else Reference(url)
        return Raw(bare.id, url, columns=carried(row), reference=reference)

    def _columns(self, url: str) -> list[str] | None:
        """Say which columns to read: all, or those that are asked for and that of URLs."""
        asked = self._options.columns
        return None if asked is None else list(dict.fromkeys((url, *asked)))

    def _url_column(self, shard: str, table: Table) -> str:
        asked = self._options.url_column
        if asked in table.columns:
            return asked
        usual = [name for name in _USUAL if name in table.columns]
        if len(usual) == 1 and (asked == _DEFAULT or shard.lower().endswith(".txt")):
            return usual[0]
        raise SourceError(
            f'{shard} has no column "{asked}". Name the column of URLs with dataset_url_column; '
            f"there are: {', '.join(table.columns) or 'none'}."
        )
