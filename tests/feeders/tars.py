"""Tars to feed from, and what the source makes of them."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import webdataset

from caption_flow.dataset.source import SourceOptions
from caption_flow.model import Listed, Raw
from feeders.webdataset import WebDatasetSource

Entry = tuple[str, bytes]  # name and content


def write(path: Path, samples: Iterable[dict[str, Any]]) -> Path:
    """Write a tar as the webdataset package does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as sink:
        for sample in samples:
            sink.write(sample)
    return path


def pictures(count: int, size: int = 1000, **columns: Any) -> list[dict[str, Any]]:
    """Samples with bytes in the images' place."""
    return [
        {"__key__": f"{n:05d}", "jpg": n.to_bytes(4, "big") * (size // 4), **columns}
        for n in range(count)
    ]


def pack(path: Path, entries: Iterable[Entry], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar with members of any names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form, errors="surrogateescape") as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def source(path: Path | str, cache: Path | None = None, **options: Any) -> WebDatasetSource:
    """Tars as a source; its cache lies beside them, hidden, unless told."""
    if cache is None and isinstance(path, Path):
        cache = (path if path.is_dir() else path.parent) / ".cache"
    return WebDatasetSource(SourceOptions(path=str(path), cache_dir=str(cache), **options))


def everything(made: WebDatasetSource) -> list[Raw]:
    """All samples, planned and read."""
    return [
        raw
        for shard in made.shards()
        if (plan := list(made.names(shard, None)))
        for raw in made.samples(shard, plan, made.fingerprint(shard))
    ]


def read(path: Path, **options: Any) -> list[Raw]:
    """All samples of a path."""
    return everything(source(path, **options))


def listed(path: Path, **options: Any) -> list[Listed]:
    """The samples of one tar."""
    made = source(path, **options)
    return list(made.names(path.name, None))


def names(found: Sequence[Listed]) -> list[str]:
    """Their names."""
    return [one.name for one in found]
