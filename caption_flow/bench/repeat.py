"""Bench: a data set that is long enough, made of the few images that are there."""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.bench.pool import Pool
from caption_flow.config import DatasetConfig
from caption_flow.model import Raw

_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
_SHARD = 1000  # images in a folder
MOST_NAMES = 1000  # of one file; ext4 has 65,000, others fewer


class Enough(Struct, frozen=True):
    """How many samples are wanted, and where images may be written for that."""

    folder: Path
    wanted: int
    going: Callable[[], bool]  # false: nobody wants it any more

    def of(
        self, dataset: DatasetConfig, there: Iterable[object], pool: Pool
    ) -> tuple[DatasetConfig, bool]:
        """Take the first that are there; else the few again and again, and say so."""
        if sum(1 for _ in islice(there, self.wanted) if self.going()) == self.wanted:
            return replace(dataset, limit=self.wanted), False
        return self.repeated(pool), True

    def repeated(self, pool: Pool) -> DatasetConfig:
        """Write images with their columns again and again under other names.

        On the disk each of them lies once, or as often as its names ask for.
        """
        self.folder.mkdir()
        written: dict[int, Path] = {}  # the image that has names left, by its number in the pool
        for number in range(self.wanted):
            if not self.going():
                break
            place = self.folder / f"{number // _SHARD:05}" / f"{number:08}"
            place.parent.mkdir(exist_ok=True)
            again, image = divmod(number, len(pool.raws))
            if again % MOST_NAMES == 0:
                form = pool.offers[image].sample.format
                written[image] = _write(place, pool.raws[image], form)
            else:
                _link(place, written[image])
        return DatasetConfig(type="folder", dataset_path=str(self.folder), sidecars=("json",))


def _write(place: Path, raw: Raw, form: str) -> Path:
    image = place.with_suffix(f".{_SUFFIXES.get(form, form)}")
    image.write_bytes(raw.image)
    if raw.columns:
        place.with_suffix(".json").write_text(json.dumps(raw.columns), encoding="utf-8")
    return image


def _link(place: Path, image: Path) -> None:
    place.with_suffix(image.suffix).hardlink_to(image)
    columns = image.with_suffix(".json")
    if columns.exists():
        place.with_suffix(".json").hardlink_to(columns)
