"""Source: tars of samples, as WebDataset and img2dataset write them.

A shard is a tar, on this host, behind HTTP or on the hub; a sample is a run of its members with
one key, which is its name. A sample's place says where its members stand, so that a feeder reads
those and nothing else of the tar.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Listed, Raw
from feeders.files.find import Files, Finder
from feeders.files.local import LocalFile
from feeders.files.port import AsIO, Facts, File, FileGone, FileUnreadable
from feeders.webdataset import grouping, tar
from feeders.webdataset.forward import Forward
from feeders.webdataset.grouping import Choice
from feeders.webdataset.index import Index, Shelf, cache_folder, name_of
from feeders.webdataset.listing import Listings
from feeders.webdataset.places import Member
from feeders.webdataset.reading import Reading, image_bytes
from feeders.webdataset.spool import Spool
from feeders.webdataset.tar import BadTarError

logger = logging.getLogger(__name__)

# Compressed ones are found to be told of: passed over in silence they would be missed.
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_PADDING = 1 << 20  # bytes after the last member that are worth reading to have all of a tar


class WebDatasetSource:
    """The samples in the tars that a path stands for.

    A tar that cannot be read is passed over with an error in the log; where it is the first of
    all, the path must be wrong, and that ends the feeder.
    """

    def __init__(self, options: SourceOptions, files: Finder | None = None) -> None:
        for name in options.extra:
            raise ConfigError(f'The webdataset source has no option "{name}".')
        self._options = options
        self._files = files or Files(options, SUFFIXES)
        self._choice = Choice(options)
        folder = cache_folder(options.cache_dir)
        self._shelf = Shelf(folder / "indexes")
        self._spool = Spool(folder / "copies")
        self._listings = Listings(options)
        self.dataset = self._files.dataset
        _check_images(options, next(self._files.list(), None))

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the tars by their paths, sorted."""
        return (file.name for file in self._files.list(start))

    def fingerprint(self, shard: str) -> str:
        """Tell a tar by what its keeper says of it; empty where it cannot be had."""
        try:
            return self._files.get(shard).facts().fingerprint
        except (FileGone, FileUnreadable):
            return ""  # listing its names says so, and passes it over

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List the samples of a tar in their order."""
        try:
            file = self._files.get(shard)
            found = iter(self._index(file, file.facts()))
        except (BadTarError, FileGone, FileUnreadable) as exc:
            self._pass_over(shard, exc)
            return
        if after is not None and not any(one.name == after.name for one in found):
            raise ShardChanged(f"{file.where} has no sample {after.name} any more.")
        yield from found

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Read samples of one tar, from the first to the last and little between."""
        try:
            file = self._files.get(shard)
            facts = file.facts()
            if fingerprint and facts.fingerprint != fingerprint:
                raise ShardChanged(f"{file.where} has changed since it was planned.")
            placed = self._placed(file, facts, wanted)
        except (BadTarError, FileUnreadable) as exc:
            raise ShardChanged(f"{shard} cannot be read any more: {exc}") from exc
        if facts.sure and not isinstance(file, LocalFile):
            file = self._spool.find(_copy(file, facts), file, facts.size)
        return iter(Reading(self._options, self._choice, file, facts.size, placed))

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the lengths of images, as their places say them."""
        try:
            file = self._files.get(shard)
            placed = self._placed(file, file.facts(), wanted)
        except (BadTarError, FileGone, FileUnreadable):
            return None
        return sum(image_bytes(one) for one in placed)

    def _placed(self, file: File, facts: Facts, wanted: Sequence[Listed]) -> list[Listed]:
        """Find the places of those that come without."""
        missing = {one.name for one in wanted if not one.place}
        if not missing:
            return list(wanted)
        places = self._index(file, facts).find(missing)
        return [one if one.place else Listed(one.name, places.get(one.name, "")) for one in wanted]

    def _index(self, file: File, facts: Facts) -> Index:
        if not facts.sure:
            return Index.of(self._read(file, facts))
        version = (facts.fingerprint, facts.mark, str(facts.size))
        name = name_of(file.where, *version, self._choice.spelled)
        return self._shelf.get(name, lambda: self._read(file, facts))

    def _read(self, file: File, facts: Facts) -> Iterator[Listed]:
        size, where = facts.size, file.where
        tar.check_beginning(file, size)
        members: Iterable[Member] | None
        if isinstance(file, LocalFile):
            members = tar.members(AsIO(file, size), size, where)
        elif (members := self._listings.find(file, size)) is None:
            members = self._stream(file, facts)
        return grouping.samples(members, self._choice, where)

    def _stream(self, file: File, facts: Facts) -> Iterator[Member]:
        """Read a remote tar to its end, and keep it where its images are to be read as well."""
        pieces = file.stream(0, facts.size)
        if facts.sure and self._options.images != "reference":
            pieces = self._spool.keeping(_copy(file, facts), facts.size, pieces)
        forward = Forward(pieces)
        yield from tar.members(forward, facts.size, file.where)
        if facts.size - forward.tell() <= _PADDING:
            forward.seek(facts.size + 1)

    def _pass_over(self, shard: str, why: Exception) -> None:
        first = next(self._files.list(), None)
        if first is None or first.name == shard:
            raise SourceError(f"The first shard, {shard}, cannot be read: {why}") from why
        logger.error("Passing over the shard %s: %s", shard, why)


def _copy(file: File, facts: Facts) -> str:
    return name_of(file.where, facts.fingerprint, str(facts.size))


def _check_images(options: SourceOptions, file: File | None) -> None:
    """Refuse references to files that no worker reaches."""
    if file is not None and options.images == "reference" and file.reference() is None:
        raise ConfigError(
            f"Workers cannot read {file.where} themselves: it lies on this host, or takes a "
            'password. Set images to "inline" or "auto".'
        )
