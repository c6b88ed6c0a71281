"""Folders to feed from, and what a source makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caption_flow.dataset.source import SourceOptions
from caption_flow.model import Listed, Raw
from feeders.folder import FolderSource


def grow(root: Path, *paths: str) -> Path:
    """Write files, each holding its own path."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return root


def source(root: Path, **options: Any) -> FolderSource:
    """The folder as a source."""
    return FolderSource(SourceOptions(path=str(root), **options))


def names(root: Path, shard: str = ".", after: str | None = None, **options: Any) -> list[str]:
    """The names of one shard."""
    last = Listed(after) if after else None
    return [one.name for one in source(root, **options).names(shard, last)]


def ids(root: Path, **options: Any) -> list[str]:
    """The ids of all samples, in the order in which they are planned and read."""
    made = source(root, **options)
    return [
        raw.id
        for shard in made.shards()
        for raw in made.samples(shard, list(made.names(shard, None)))
    ]


def read(root: Path, shard: str, asked: Sequence[str], **options: Any) -> list[Raw]:
    """Samples of one shard."""
    return list(source(root, **options).samples(shard, list(map(Listed, asked))))


def read_one(root: Path, shard: str, name: str, **options: Any) -> Raw:
    """One sample."""
    [raw] = read(root, shard, [name], **options)
    return raw


def open_files() -> int:
    """How many this process has; the one to count them with included, each time alike."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
