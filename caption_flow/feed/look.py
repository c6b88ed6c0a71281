"""Feed: what a source gave becomes an offer: looked at, shrunk if it must be, fingerprinted."""

import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import msgspec

from caption_flow.codec.nesting import is_deeper
from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import Source, sample_id
from caption_flow.errors import BadImage, SourceError
from caption_flow.image import fit
from caption_flow.model import Chunk, Columns, Failure, Listed, Offer, Raw, Sample

# What one offer carries. Eight images a time is where a larger batch stops paying.
OFFER_SAMPLES = 16
OFFER_BYTES = 1 << 20

# JSON is written and read by recursion: what nests deeper travels as its text.
DEEPEST = 32


def offers(
    source: Source, chunk: Chunk, wanted: Sequence[Listed], images: ImagesConfig
) -> Iterator[list[Offer]]:
    """Read samples of a chunk and yield them in batches fit to be offered, in order."""
    batch: list[Offer] = []
    size = 0
    for raw in _asked(source, chunk, wanted):
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
    bare = Sample(raw.id, chunk.dataset, chunk.shard, chunk.id, raw.source, sampling=chunk.sampling)
    if raw.error:
        return _given_up(bare, raw.reason, raw.error)
    try:
        sample = msgspec.structs.replace(bare, columns=_flat(raw.columns))
        msgspec.json.encode(sample)
    except Exception as exc:
        # Around one sample: what cannot be written would stop who offers it, or who keeps it.
        return _given_up(bare, "not_json", f"its name or columns cannot be written: {exc}")
    if raw.reference is not None:
        return Offer(msgspec.structs.replace(sample, reference=raw.reference))
    try:
        return _with_image(sample, raw.image, images)
    except BadImage as exc:
        return _given_up(sample, exc.reason, exc.detail)
    except Exception as exc:
        # Around one sample: whatever its bytes did to us, its neighbours go on.
        return _given_up(sample, "error", f"{type(exc).__name__}: {exc}")


def killer(chunk: Chunk, name: str, deaths: int) -> Offer:
    """Give up a sample that ends who looks at it, without looking."""
    id_ = sample_id(chunk.shard, name)
    # The source alone knows where it lies, and reading may be what kills.
    bare = Sample(id_, chunk.dataset, chunk.shard, chunk.id, id_, sampling=chunk.sampling)
    told = f"{deaths} feeders died while they looked at it and at nothing else"
    return _given_up(bare, "feeder_died", told)


def _asked(source: Source, chunk: Chunk, wanted: Sequence[Listed]) -> Iterator[Raw]:
    """Read samples; a source that answers with others would have us skip or double some."""
    shard = chunk.shard
    ids = (sample_id(shard, listed.name) for listed in wanted)
    for id_, raw in zip_longest(ids, source.samples(shard, wanted, chunk.fingerprint)):
        if raw is None or raw.id != id_:
            given = "nothing" if raw is None else raw.id
            raise SourceError(
                f"Asked for {id_}, the source of {shard} gave {given}. "
                "It must give the samples asked for, in that order: mend the source."
            )
        yield raw


def _flat(columns: Columns) -> Columns:
    return {
        name: msgspec.json.encode(value).decode() if is_deeper(value, DEEPEST) else value
        for name, value in columns.items()
    }


def _given_up(sample: Sample, reason: str, detail: str) -> Offer:
    return Offer(sample, failure=Failure(reason, detail, time.time()))


def _with_image(sample: Sample, data: bytes, images: ImagesConfig) -> Offer:
    limits = {"max_bytes": images.max_bytes, "max_pixels": images.max_pixels}
    image, picture = fit(data, max_side=images.max_side, **limits)
    return Offer(sample.showing(picture), image=image)
