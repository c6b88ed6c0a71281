"""Data sets that are image files in folders, which may be called for what is on them.

A shard is a folder, and a sample's name that of its file, as with the folder source.
"""

import logging
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from caption_flow.dataset.source import (
    ROOT_SHARD,
    Listed,
    Raw,
    Source,
    SourceOptions,
    sample_id,
)
from feeders.files.find import Files
from feeders.files.port import File, FileGone, FileUnreadable, order
from feeders.huggingface.eager import settled
from feeders.huggingface.splits import names_split
from feeders.huggingface.whole import whole

logger = logging.getLogger(__name__)

LABEL = "label"


class Labelled:
    """Image files of some splits, with the name of their folder as a column."""

    def __init__(
        self, inner: Source, split: Callable[[str], str | None], options: SourceOptions
    ) -> None:
        self.dataset = inner.dataset
        self._inner = inner
        self._split = split  # of a file; None: it is of none
        self._wanted = options.split
        self._labels = options.columns is None or LABEL in options.columns

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give all folders: which hold a file that is wanted is seen when they are listed."""
        return self._inner.shards(start)

    def fingerprint(self, shard: str) -> str:
        """A folder has none."""
        return self._inner.fingerprint(shard)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List the files that are wanted."""
        left_out = 0
        for one in self._inner.names(shard, after):
            split = self._split(sample_id(shard, one.name))
            if split is not None and self._wanted in {None, split}:
                yield one
            left_out += split is None
        if left_out:
            logger.warning(
                "Left out the %d images of the folder %s: they are of no split", left_out, shard
            )

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Read files of one folder."""
        label = shard.rpartition("/")[2]
        labels = {LABEL: label} if self._is_label(label) else {}
        for raw in self._inner.samples(shard, wanted, fingerprint):
            yield replace(raw, columns=labels | raw.columns)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the lengths of files."""
        return self._inner.size(shard, wanted)

    def _is_label(self, folder: str) -> bool:
        return self._labels and folder != ROOT_SHARD and not names_split(folder)


class FilesByFolder:
    """Image files that are far away, or named one by one."""

    def __init__(self, files: Files, options: SourceOptions, suffixes: tuple[str, ...]) -> None:
        self.dataset = files.dataset
        self._files = files
        self._limit = options.max_file_size
        self._refer = options.images != "inline"
        self._folders: dict[str, list[str]] = {}
        for file in files.list():
            folder, _, name = file.name.rpartition("/")
            if name.lower().endswith(suffixes):
                self._folders.setdefault(folder or ROOT_SHARD, []).append(name)

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the folders in order."""
        first = _order(start or ROOT_SHARD)
        return (f for f in sorted(self._folders, key=_order) if _order(f) >= first)

    def fingerprint(self, shard: str) -> str:  # noqa: ARG002 - a folder has none
        """Give none: each file is found by its name."""
        return ""

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List the files of one folder."""
        last = after.name if after else ""
        return (Listed(name) for name in sorted(self._folders.get(shard, ())) if name > last)

    def samples(
        self,
        shard: str,
        wanted: Sequence[Listed],
        fingerprint: str = "",  # noqa: ARG002 - there is none
    ) -> Iterator[Raw]:
        """Refer to files of one folder, or read them."""
        return settled(self._sample(sample_id(shard, listed.name)) for listed in wanted)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the lengths of files, as far as they can be asked for."""
        return sum(self._length(sample_id(shard, listed.name)) for listed in wanted)

    def _sample(self, identity: str) -> Raw | Callable[[], Raw]:
        try:
            file = self._files.get(identity)
        except FileGone as exc:
            return Raw(identity, identity, error=str(exc))
        reference = file.reference() if self._refer else None
        if reference is not None:
            return Raw(identity, file.where, reference=reference)
        return lambda: self._read(identity, file)

    def _read(self, identity: str, file: File) -> Raw:
        try:
            return Raw(identity, file.where, whole(file, self._limit))
        except (FileGone, FileUnreadable) as exc:
            return Raw(identity, file.where, error=str(exc))

    def _length(self, name: str) -> int:
        try:
            return self._files.get(name).facts().size
        except (FileGone, FileUnreadable):
            return 0  # it will be a dead letter


def _order(folder: str) -> tuple[str, ...]:
    return () if folder == ROOT_SHARD else order(folder)
