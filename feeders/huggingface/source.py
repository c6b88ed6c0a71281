"""A data set of the Hugging Face kinds: finds out which kind it is, and reads it as that.

In this order: what save_to_disk() left, Parquet and Arrow files, tables of URLs, tars, image files
in folders. Locally and on the hub alike.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from caption_flow.dataset.source import Listed, Raw, Source, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from feeders.files.find import Files
from feeders.files.picked import Picked
from feeders.folder import FolderSource
from feeders.huggingface.cells import Pointed, picture
from feeders.huggingface.choice import is_url
from feeders.huggingface.images import FilesByFolder, Labelled
from feeders.huggingface.rows import RowsSource
from feeders.huggingface.saved import saved_files
from feeders.huggingface.splits import Splits
from feeders.huggingface.survey import IMAGES, SUFFIXES, Survey, subset_of

logger = logging.getLogger(__name__)


class HuggingFaceSource:
    """A data set on the hub or on this host."""

    def __init__(self, options: SourceOptions) -> None:
        for name in options.extra:
            raise ConfigError(f'The huggingface source has no option "{name}".')
        self._source = _Opening(options).source()
        self.dataset = self._source.dataset

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the files, or folders of images, in order."""
        return self._source.shards(start)

    def fingerprint(self, shard: str) -> str:
        """Tell what a file holds now from what it held before."""
        return self._source.fingerprint(shard)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List rows, or image files."""
        return self._source.names(shard, after)

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Read rows, or image files."""
        return self._source.samples(shard, wanted, fingerprint)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the bytes of images, where that is cheap."""
        return self._source.size(shard, wanted)


class _Opening:
    """Looks at what is there, once."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._files = Files(options, SUFFIXES)
        self._subset = subset_of(self._files, options)
        keep = self._subset.split if self._subset else lambda _: "all"
        self._survey = Survey(self._files, lambda name: keep(name) is not None)

    def source(self) -> Source:
        """Read it as what it is."""
        survey = self._survey
        if survey.states:
            return self._rows(self._of_split(saved_files(survey.states)))
        if tables := survey.tables():
            try:
                return self._rows(self._chosen(tables))
            except ConfigError:
                # A text without URLs may well tell something of the tars beside it.
                if survey.rows or not survey.tars:
                    raise
        if survey.tars:
            return self._tars(self._chosen(survey.tars))
        if survey.image is not None:
            return self._images()
        raise self._empty()

    def _empty(self) -> SourceError:
        return SourceError(
            f"{self._options.path} holds no data set: no Parquet or Arrow files, no tables, no "
            "tars and no images. Check the path, and dataset_config if that is given."
        )

    def _rows(self, names: Sequence[str]) -> Source:
        if not names:
            raise self._empty()
        source = RowsSource(self._files, names, self._options)
        choice, value = source.first()
        if choice.kind == "urls" or is_url(value):
            return self._urls(names, choice.image)
        found = picture(value)
        if self._options.images == "reference" and not isinstance(found, Pointed):
            raise ConfigError(
                f"The images of {self._options.path} stand in its tables, where no worker can read "
                'one by itself: they cannot travel as references. Set images to "auto".'
            )
        return source

    def _urls(self, names: Sequence[str], column: str) -> Source:
        from feeders.urls import UrlsSource  # noqa: PLC0415 - loads what few need

        options = replace(self._options, url_column=column)
        return UrlsSource(options, Picked(self._files, names))

    def _tars(self, names: Sequence[str]) -> Source:
        from feeders.webdataset import WebDatasetSource  # noqa: PLC0415 - loads what few need

        return WebDatasetSource(self._options, Picked(self._files, names))

    def _images(self) -> Source:
        file = self._survey.image
        by_reference = file is not None and file.reference() is not None
        if self._options.images == "reference" and not by_reference:
            raise ConfigError(
                f"The images of {self._options.path} are read by this host only, or with its "
                'token: they cannot travel as references. Set images to "auto".'
            )
        known = self._subset.patterns if self._subset else self._survey.images.names
        self._check_split(list(known))
        folder = not by_reference and Path(self._options.path).expanduser().is_dir()
        inner: Source = (
            FolderSource(self._options)
            if folder
            else FilesByFolder(self._files, self._options, IMAGES)
        )
        return Labelled(inner, (self._subset or self._survey.images).split, self._options)

    def _chosen(self, names: Sequence[str]) -> list[str]:
        """Leave out what is of another split, or of none."""
        heard = Splits()
        for name in names:
            heard.hear(name)
        splits = {name: (self._subset or heard).split(name) for name in names}
        if left_out := [name for name, split in splits.items() if not split]:
            logger.warning(
                "Left out %d of %d files, %s the first: others are called for a split, these are "
                "not. Name the files themselves in the path to have them all",
                len(left_out),
                len(splits),
                left_out[0],
            )
        return self._of_split({name: split for name, split in splits.items() if split})

    def _of_split(self, splits: dict[str, str]) -> list[str]:
        self._check_split(sorted(set(splits.values())))
        wanted = self._options.split
        return [name for name, split in splits.items() if wanted in {None, split}]

    def _check_split(self, known: Sequence[str]) -> None:
        if self._options.split is not None and self._options.split not in known:
            raise ConfigError(
                f'{self._options.path} has no split "{self._options.split}". It has: '
                f"{', '.join(known)}."
            )
