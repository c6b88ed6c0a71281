"""Parts of an earlier job, and what a source makes of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import infer
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import SourceOptions, sample_id
from caption_flow.image import fit
from caption_flow.model import Caption, Raw, Sample
from feeders.captions import CaptionsSource
from tests.made import jpeg, outcome


def sample(root: str, shard: str, name: str, **facts: Any) -> Sample:
    """A sample as a folder of this root would have fed it."""
    id_ = sample_id(shard, name)
    return Sample(id_, "pets", shard, f"{shard}:0", f"{root}/{id_}", sha256=id_, **facts)


def write(
    job: Path, samples: Sequence[Sample], *, output: str = "captions", per_part: int = 3
) -> Path:
    """Write the parts of a job that captioned these, each as "OUTPUT of ID"."""
    parts = PartFolder(job.parent, job.name)
    agreed = infer([output], [one.columns for one in samples])
    for start in range(0, len(samples), per_part):
        part = parts.open(agreed)
        part.append(
            [
                Caption("1-0", one, (outcome({output: [f"{output} of {one.id}"]}),))
                for one in samples[start : start + per_part]
            ]
        )
        part.prepare()
        part.publish()
    return job


def photos(root: Path, *paths: str) -> list[Sample]:
    """Draw images in a folder; the samples of it, with what is known of these."""
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg(number))
    steps = [path.rpartition("/") for path in paths]
    bare = [sample(str(root), shard or ".", name) for shard, _, name in steps]
    return [seen(one, (root / path).read_bytes()) for one, path in zip(bare, paths, strict=True)]


def seen(one: Sample, image: bytes, max_side: int = 2048) -> Sample:
    """A sample as it is once its image was looked at."""
    _, picture = fit(image, max_side=max_side, max_bytes=8 << 20, max_pixels=1 << 30)
    return one.showing(picture)


def merge(job: Path) -> None:
    """Make one part of all, in another order of rows."""
    old = sorted(job.glob("part-*.parquet"))
    rows = pa.concat_tables([pq.read_table(part, partitioning=None) for part in reversed(old)])
    for part in old:
        part.unlink()
    pq.write_table(rows, job / "part-merged.parquet", row_group_size=2)


def source(*jobs: Path | str, **options: Any) -> CaptionsSource:
    return CaptionsSource(SourceOptions("::".join(map(str, jobs)), **options))


def read(made: CaptionsSource) -> Iterator[Raw]:
    """All samples, in the order in which they are planned and read."""
    for shard in made.shards():
        yield from made.samples(shard, list(made.names(shard, None)), made.fingerprint(shard))


def columns(made: CaptionsSource) -> Mapping[str, dict[str, Any]]:
    return {raw.id: raw.columns for raw in read(made)}
