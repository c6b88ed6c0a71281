"""Bench, scale: from what a unit costs to what a job of some size takes."""

import math
from collections.abc import Iterator

from msgspec import Struct, structs

MOST_SHARDS = 20_000  # of which each lane keeps books, see queue/shards.py
ROW_BYTES = 320  # of a caption in Parquet, compressed; from the project's own parts
BUSY = 0.6  # share of a core that a Redis may take, so that answers stay quick
GIB = 1 << 30


class Size(Struct, frozen=True):
    """A job, and who works at it."""

    images: float
    workers: int
    contributors: int
    rate: float  # captions a second of one worker
    image_bytes: int
    shard_samples: int
    part_rows: int

    @property
    def captions(self) -> float:
        """Captions a second of all."""
        return self.workers * self.rate


class Units(Struct, frozen=True):
    """What one of each thing costs Redis: bytes, seconds of CPU, shares of a core."""

    sample_bytes: float  # that waits or is held, without its image
    shard_bytes: float
    part_bytes: float
    member_bytes: float
    contributor_bytes: float
    first_look_s: float  # CPU of who looks at the whole job, as `status` does
    look_s: float  # once more
    look_redis_s: float
    few_s: float  # Redis, for a sample that workers fetch themselves, with 8 workers
    many_s: float  # likewise, with all workers
    image_s: float  # Redis, for a sample with its image of 64 KiB, with 8 workers
    waiting_core: float  # Redis, for a worker that has nothing to do but asks
    waiting_claims: float  # a second and worker, in the measurement
    waiting_looks: float

    def document(self) -> dict[str, float]:
        """Give all of them, rounded."""
        return {name: float(f"{value:.4g}") for name, value in structs.asdict(self).items()}

    def lines(self) -> Iterator[str]:
        """Say them, one a line."""
        for name, value in self.document().items():
            if name.endswith("_bytes"):
                yield f"{name.removesuffix('_bytes')}: {value:,.0f} bytes of Redis"
            elif name.endswith("_s"):
                yield f"{name.removesuffix('_s')}: {value * 1e6:,.0f} µs of CPU"
            else:
                yield f"{name}: {value:,.4g}"


def bill(size: Size, units: Units) -> dict[str, float]:
    """Sum up what the job takes."""
    shards = size.images / size.shard_samples
    parts = size.images / size.part_rows
    kept = (
        min(shards, MOST_SHARDS) * units.shard_bytes
        + parts * units.part_bytes
        + size.workers * units.member_bytes
        + size.contributors * units.contributor_bytes
    )
    asking = size.workers * units.waiting_core
    fetched = size.captions * units.many_s + asking
    pushed = size.captions * (units.many_s - units.few_s + units.image_s) + asking
    return {
        "captions_per_second": size.captions,
        "hours": size.images / size.captions / 3600,
        "redis_cores_where_workers_fetch": fetched,
        "redis_masters_where_workers_fetch": math.ceil(fetched / BUSY),
        "redis_cores_where_images_pass": pushed,
        "redis_masters_where_images_pass": math.ceil(pushed / BUSY),
        "image_gbit_per_second_each_way": size.captions * size.image_bytes * 8 / 1e9,
        "redis_gib_of_books": kept / GIB,
        "shards": shards,
        "parts": parts,
        "parts_gib": size.images * ROW_BYTES / GIB,
        "seconds_of_a_look": units.look_s,
    }
