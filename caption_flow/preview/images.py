"""Preview: the images that were named, read as the feeder of a folder reads them."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from caption_flow.config import DatasetConfig, ImagesConfig
from caption_flow.dataset.source import Listed, Raw, Source, SourceOptions, open_source
from caption_flow.errors import SourceError
from caption_flow.feed.look import look
from caption_flow.model import ROOT_SHARD, Chunk, Columns, Offer

_ASIDE = Chunk("try", "", ROOT_SHARD, ())  # of images that are in no job


def named_images(
    paths: Sequence[Path], dataset: DatasetConfig, columns: Columns, *, most: int
) -> list[Raw]:
    """Read the images at these paths, of a folder the first `most`, each once.

    `columns` go over their own. One that cannot be read says why.
    """
    read = {raw.source: raw for path in paths for raw in _read(path, dataset, most)}
    return [replace(raw, id=id_, columns=raw.columns | columns) for id_, raw in read.items()]


def looked_at(images: Sequence[Raw], limits: ImagesConfig) -> list[Offer]:
    """Do what a feeder does with the images that it reads."""
    return [look(raw, _ASIDE, limits) for raw in images]


def _read(path: Path, dataset: DatasetConfig, most: int) -> Iterator[Raw]:
    try:
        if path.is_dir():
            yield from _first(path, dataset, most)
        else:
            yield from _one(path, dataset)
    except SourceError as exc:
        yield _unread(path, str(exc))
    except OSError as exc:
        yield _unread(path, f"it cannot be read: {exc.strerror}")


def _one(path: Path, dataset: DatasetConfig) -> Iterator[Raw]:
    path.stat()
    # Whoever names a link means what it leads to.
    lies = path.resolve() if path.is_symlink() else path
    source = _source(lies.parent, dataset, follow=True)
    [raw] = source.samples(ROOT_SHARD, [Listed(_spelt(Path(lies.name)))])
    yield replace(raw, source=_spelt(path))


def _first(folder: Path, dataset: DatasetConfig, most: int) -> Iterator[Raw]:
    source = _source(folder, dataset, follow=dataset.follow_symlinks)
    listed = ((shard, one) for shard in source.shards() for one in source.names(shard, None))
    found = False
    for shard, one in islice(listed, most):
        found = True
        yield from source.samples(shard, [one])
    if not found:
        raise SourceError("the folder holds no images")


def _source(folder: Path, dataset: DatasetConfig, *, follow: bool) -> Source:
    options = SourceOptions(
        path=str(folder),
        recursive=dataset.recursive,
        follow_symlinks=follow,
        max_file_size=dataset.max_file_size,
        sidecars=dataset.sidecars,
    )
    return open_source("folder", options)


def _unread(path: Path, why: str) -> Raw:
    return Raw(_spelt(path), _spelt(path), error=why)


def _spelt(path: Path) -> str:
    """Spell a path in text that can be written anywhere."""
    return os.fsencode(path).decode(errors="replace")
