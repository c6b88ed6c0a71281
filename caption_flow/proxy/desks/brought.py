"""Proxy: what a feeder brings is what was planned, within its bounds, or is refused. No I/O.

Images are not opened here: that is for those who caption them, each for itself.
"""

import hashlib
import re
import time
from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from caption_flow.codec import records
from caption_flow.codec.nesting import is_deeper
from caption_flow.codec.records import UnreadableRecord
from caption_flow.config.broadcast import Broadcast
from caption_flow.errors import CaptionFlowError
from caption_flow.model import Chunk, Failure, Offer, Reference, Sample, sample_id
from caption_flow.proxy.desks.judge import MOST_SIDE, REASON, shown
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.feeding import MOST_NAME, MOST_NAMES

MOST_ID = 2 * MOST_NAME + 1  # characters of a shard and a name
MOST_PLACE = 64 << 10  # characters of where a source finds a sample, or of a URL
DEEPEST = 64  # of columns; feeders of ours write none that nest deeper than half of that

_FORMAT = re.compile(r"[a-z0-9]{0,20}")


def chunk(record: bytes) -> Chunk:
    """Read a chunk that is to be planned; raises Breach."""
    try:
        found = records.chunk_from("of a feeder", {b"chunk": record})
    except UnreadableRecord as exc:
        raise Breach(Close.MALFORMED, "A chunk cannot be read.") from exc
    for wrong in _wrong_chunk(found):
        raise Breach(Close.FORBIDDEN, f"A chunk has {wrong}.")
    return found


def offer(record: bytes, image: bytes, failure: bytes, planned: Chunk, name: str) -> Offer:
    """Read the offer of one sample of a chunk; raises Breach."""
    try:
        sample = records.sample_from("of a feeder", {b"sample": record})
    except UnreadableRecord as exc:
        raise Breach(Close.MALFORMED, "A sample cannot be read.") from exc
    why = _failure(failure) if failure else None
    for wrong in _wrong_sample(sample, image, planned, name, given_up=why is not None):
        raise Breach(Close.FORBIDDEN, f"A sample has {wrong}.")
    return Offer(sample, image, why)


def settings(document: bytes) -> Broadcast:
    """Read settings; CaptionFlowError where nobody could work by them."""
    found = Broadcast.decode(document)
    names = [stage.name for stage in found.stages]
    if not names or len(set(names)) < len(names):
        raise CaptionFlowError("The settings have no stages, or two of one name.")
    return found


def _failure(record: bytes) -> Failure:
    try:
        told = msgspec.json.decode(record, type=Failure)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise Breach(Close.MALFORMED, "A failure cannot be read.") from exc
    if not REASON.fullmatch(told.reason):
        raise Breach(Close.MALFORMED, "The reason of a failure is not one word.")
    return Failure(told.reason, shown(told.detail), time.time())


def _wrong_chunk(found: Chunk) -> Iterator[str]:
    if not 0 < found.count <= MOST_NAMES:
        yield "no samples, or too many"
    if len(set(found.names)) < found.count:
        yield "a sample twice"
    if found.places and len(found.places) != found.count:
        yield "more or fewer places than samples"
    if found.shard.startswith(("/", "\\")) or not all(map(_is_name, (found.shard, *found.names))):
        yield "a name that leads elsewhere, or is too long"
    words = (found.id, found.dataset, found.fingerprint)
    if not all(len(word) <= MOST_ID and "\0" not in word for word in words):
        yield "a word that is too long"
    if any(len(place) > MOST_PLACE for place in found.places):
        yield "a place that is too long"
    if found.sampling is not UNSET:
        yield "sampling of its own"


def _is_name(name: str) -> bool:
    """Whether no source could be led out of its data set by it."""
    steps = re.split(r"[/\\]", name)
    return 0 < len(name) <= MOST_NAME and "\0" not in name and ".." not in steps


def _wrong_sample(
    sample: Sample, image: bytes, planned: Chunk, name: str, *, given_up: bool
) -> Iterator[str]:
    if sample.id != sample_id(planned.shard, name):
        yield "another id than was planned here"
    whose = (sample.dataset, sample.shard, sample.chunk, sample.sampling)
    if whose != (planned.dataset, planned.shard, planned.id, planned.sampling):
        yield "another chunk than it is offered for"
    if len(sample.source) > MOST_PLACE or "\0" in sample.source:
        yield "a source that is too long"
    if is_deeper(sample.columns, DEEPEST):
        yield "columns that nest too deep"
    if sample.reference is not UNSET:
        yield from _wrong_reference(sample.reference, image)
    elif not given_up:
        yield from _wrong_facts(sample, image)
    if given_up and image:
        yield "an image, though it was given up"


def _wrong_reference(reference: Reference, image: bytes) -> Iterator[str]:
    if image:
        yield "an image beside a reference"
    url = reference.url
    if len(url) > MOST_PLACE or not (reference.hub or url.startswith(("http://", "https://"))):
        yield "a reference that is no URL"
    if any(n is not None and not 0 <= n < 2**63 for n in (reference.start, reference.length)):
        yield "a reference to bytes that cannot be"


def _wrong_facts(sample: Sample, image: bytes) -> Iterator[str]:
    if not image:
        yield "no image"
    if sample.bytes != len(image) or sample.sha256 != hashlib.sha256(image).hexdigest():
        yield "another image than it says"
    if not (0 <= sample.width <= MOST_SIDE and 0 <= sample.height <= MOST_SIDE):
        yield "sides of no image"
    if not _FORMAT.fullmatch(sample.format):
        yield "an image of a strange format"
