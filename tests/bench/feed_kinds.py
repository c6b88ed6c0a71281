"""Bench: the same images as a data set of each kind, and how the field's own reader reads it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from msgspec import Struct

from caption_flow.dataset.source import Source, SourceOptions, open_source
from tests.bench.images import jpeg_folder

PER_SHARD = 1000  # samples
ROW_GROUP = 100  # rows, as data sets of images have them


class Kind(Struct, frozen=True):
    """A kind of data set: how it is made, and how others read it."""

    type: str
    make: Callable[[Path, Path, int], None]  # of the images in a folder, so many a shard
    read: Callable[[Path], Iterator[bytes]]

    def made(self, cache: Path, count: int, size: int) -> Path:
        """Give the data set, made unless it is there."""
        folder = jpeg_folder(cache, count, size)
        place = cache / f"{self.type}-{count}-{size}"
        done = place.with_suffix(".done")
        if not done.exists():
            place.mkdir(parents=True, exist_ok=True)
            self.make(folder, place, PER_SHARD)
            done.touch()
        return place

    def source(self, place: Path) -> Source:
        """Open it as a feeder does."""
        return open_source(self.type, SourceOptions(path=str(place), name="bench"))


def _images(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.jpg"))


def _as_folder(folder: Path, place: Path, _: int) -> None:
    for image in _images(folder):
        target = place / image.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        os.link(image, target)


def _as_tars(folder: Path, place: Path, per_shard: int) -> None:
    with webdataset.ShardWriter(f"{place}/%05d.tar", maxcount=per_shard, verbose=0) as writer:
        for image in _images(folder):
            columns = {"number": int(image.stem)}
            writer.write({"__key__": image.stem, "jpg": image.read_bytes(), "json": columns})


def _as_parquet(folder: Path, place: Path, per_shard: int) -> None:
    images = _images(folder)
    for first in range(0, len(images), per_shard):
        some = images[first : first + per_shard]
        cells = [{"bytes": image.read_bytes(), "path": image.name} for image in some]
        table = pa.table({"image": cells, "number": [int(image.stem) for image in some]})
        file = place / f"train-{first // per_shard:05}-of-{len(images) // per_shard:05}.parquet"
        pq.write_table(table, file, row_group_size=ROW_GROUP)


def _read_folder(place: Path) -> Iterator[bytes]:
    for entry in os.scandir(place):
        if entry.is_dir():
            yield from _read_folder(Path(entry.path))
        else:
            yield Path(entry.path).read_bytes()


def _read_tars(place: Path) -> Iterator[bytes]:
    shards = sorted(map(str, place.glob("*.tar")))
    for sample in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False):
        yield sample["jpg"]


def _read_parquet(place: Path) -> Iterator[bytes]:
    for file in sorted(place.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(batch_size=ROW_GROUP):
            for row in batch.to_pylist():
                yield row["image"]["bytes"]


KINDS = (
    Kind("folder", _as_folder, _read_folder),
    Kind("webdataset", _as_tars, _read_tars),
    Kind("huggingface", _as_parquet, _read_parquet),
)
