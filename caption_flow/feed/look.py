"""Feed: what a source gave becomes an offer: looked at, shrunk if it must be, fingerprinted."""

import hashlib
import time
from collections.abc import Iterator, Sequence

from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import Source
from caption_flow.errors import BadImage
from caption_flow.image import inspect, shrink
from caption_flow.model import Chunk, Failure, Offer, Raw, Sample

# What one offer carries. Eight images a time is where a larger batch stops paying.
OFFER_SAMPLES = 16
OFFER_BYTES = 1 << 20


def offers(
    source: Source, chunk: Chunk, names: Sequence[str], images: ImagesConfig
) -> Iterator[list[Offer]]:
    """Read samples of a chunk and yield them in batches fit to be offered, in order."""
    batch: list[Offer] = []
    size = 0
    for raw in source.samples(chunk.shard, names):
        offer = look(raw, chunk, images)
        if batch and (len(batch) >= OFFER_SAMPLES or size + len(offer.image) > OFFER_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(offer)
        size += len(offer.image)
    if batch:
        yield batch


def look(raw: Raw, chunk: Chunk, images: ImagesConfig) -> Offer:
    """Make an offer of one sample; a bad image becomes an offer that says why."""
    sample = Sample(raw.id, chunk.dataset, chunk.shard, chunk.id, raw.source, columns=raw.columns)
    if raw.error:
        return _given_up(sample, "unreadable", raw.error)
    try:
        return _with_image(sample, raw.image, images)
    except BadImage as exc:
        return _given_up(sample, exc.reason, exc.detail)


def _given_up(sample: Sample, reason: str, detail: str) -> Offer:
    return Offer(sample, failure=Failure(reason, detail, time.time()))


def _with_image(sample: Sample, data: bytes, images: ImagesConfig) -> Offer:
    facts = inspect(data, max_pixels=images.max_pixels)
    fed = shrink(
        data,
        facts,
        max_side=images.max_side,
        max_bytes=images.max_bytes,
        max_pixels=images.max_pixels,
    )
    if fed is not data:
        facts = inspect(fed, max_pixels=images.max_pixels)
    described = Sample(
        id=sample.id,
        dataset=sample.dataset,
        shard=sample.shard,
        chunk=sample.chunk,
        source=sample.source,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        bytes=len(fed),
        sha256=hashlib.sha256(fed).hexdigest(),
        columns=sample.columns,
    )
    return Offer(described, image=fed)
