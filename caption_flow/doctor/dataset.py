"""Doctor, the data set: opened as a feeder opens it, counted, and its first images read."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from caption_flow.config.schema import ImagesConfig
from caption_flow.config.sizes import spelt
from caption_flow.dataset.known import Known
from caption_flow.dataset.source import Listed, Source
from caption_flow.doctor.finding import Finding, ok, problem, told, warning
from caption_flow.errors import CaptionFlowError
from caption_flow.feed.look import offers
from caption_flow.feed.selection import Selection
from caption_flow.feed.survey import Survey, survey
from caption_flow.model import Chunk, Offer

CHECK = "data set"
LOOKED_AT = 8  # images that are read
COUNT_SECONDS = 5.0  # for counting; large data sets take minutes
_READABLE = "See docs/sources.md for what each kind reads, and let this user read it."
_DEAD = "docs/dead-letters.md tells each reason; feeding gives up those samples and goes on."


class Examined(Struct, frozen=True):
    """What was found of a data set."""

    findings: tuple[Finding, ...]
    samples: int = 0  # at least; of those that are chosen


def check_dataset(
    opened: Callable[[], Source],
    read_here: Callable[[], Source],
    selection: Selection,
    images: ImagesConfig,
) -> Examined:
    """Open it, count it and read some of it.

    `opened`: as the feeder has it; `read_here`: as a source that reads what workers would fetch.
    """
    try:
        source = opened()
        until = time.monotonic() + COUNT_SECONDS
        found = survey(source, Known(()), selection, go_on=lambda: time.monotonic() < until)
        if not found.samples:
            said = f"{source.dataset} has no sample of the kind that is asked for."
            cure = "Mend the path, dataset.type, or what is chosen (limit, shards, sample)."
            return Examined((problem(CHECK, said, cure),))
        more = time.monotonic() >= until
        looked = list(islice(_first(source, read_here, selection, images), LOOKED_AT))
    except CaptionFlowError as exc:
        return Examined((told(CHECK, "problem", exc, _READABLE),))
    return Examined(tuple(_findings(source, found, looked, more=more)), found.samples)


def _first(
    source: Source, read_here: Callable[[], Source], selection: Selection, images: ImagesConfig
) -> Iterator[Offer]:
    """Look at the first samples as a feeder does, and as a worker at what it would fetch."""
    near: Source | None = None
    for shard in filter(selection.admits_shard, source.shards()):
        for one in islice(source.names(shard, None), LOOKED_AT):
            offer = _look(source, shard, one, images)
            if offer.sample.reference is not None:
                near = near or read_here()
                offer = _look(near, shard, one, images)
            yield offer


def _look(source: Source, shard: str, one: Listed, images: ImagesConfig) -> Offer:
    chunk = Chunk("doctor", source.dataset, shard, (one.name,))
    [[offer]] = offers(source, chunk, [one], images)
    return offer


def _findings(
    source: Source, found: Survey, looked: Sequence[Offer], *, more: bool
) -> Iterator[Finding]:
    bad = [one for one in looked if one.failure is not None]
    if bad:
        first = bad[0]
        why = f"{first.failure.reason}: {first.failure.detail}" if first.failure else ""
        said = (
            f"{len(bad)} of the first {len(looked)} images cannot be read, such as "
            f"{first.sample.id} ({why.rstrip('.')})."
        )
        every = len(bad) == len(looked)
        yield problem(CHECK, said, _READABLE) if every else warning(CHECK, said, _DEAD)
        return
    least = "at least " if more else ""
    size = f" ({spelt(found.bytes)})" if found.bytes else ""
    shards = "1 shard" if found.shards == 1 else f"{found.shards:,} shards"
    yield ok(
        CHECK,
        f"{source.dataset} has {least}{found.samples:,} samples{size} in {least}{shards}; the "
        f"first {len(looked)} images can be read.",
    )
