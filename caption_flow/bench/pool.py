"""Bench: the images it is done with: a few of the data set, read as a feeder reads them."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.config.schema import ImagesConfig
from caption_flow.dataset.source import Source
from caption_flow.feed.look import look
from caption_flow.feed.selection import Selection
from caption_flow.model import Chunk, Listed, Offer, Raw, sample_id

MOST_IMAGES = 64  # in memory, decoded too: more of them make no other figure
MOST_BYTES = 512 << 20  # of them, encoded
_MOST_BAD = 1000  # after so many without one that is good nothing is looked for any more


class Bad(Struct, frozen=True):
    """An image that no run could caption."""

    image: str
    reason: str
    detail: str


class Pool(Struct, frozen=True):
    """Images that are read."""

    raws: tuple[Raw, ...]  # as they lie there
    offers: tuple[Offer, ...]  # of the same images, as they are fed
    bad: tuple[Bad, ...]  # met on the way


def read_pool(
    source: Source, selection: Selection, limits: ImagesConfig, going: Callable[[], bool]
) -> Pool:
    """Read the first images of a data set that can be taken, for as long as anybody wants them."""
    raws: list[Raw] = []
    offers: list[Offer] = []
    bad: list[Bad] = []
    size = 0
    for shard, listed in chosen(source, selection):
        if not going():
            break
        for raw in source.samples(shard, [listed], source.fingerprint(shard)):
            offer = look(raw, Chunk("bench", source.dataset, shard, ()), limits)
            if offer.failure is not None:
                why = offer.failure
                bad.append(Bad(raw.source, why.reason, why.detail))
            else:
                raws.append(raw)
                offers.append(offer)
                size += len(raw.image)
        if len(offers) == MOST_IMAGES or size > MOST_BYTES or len(bad) == _MOST_BAD:
            break
    return Pool(tuple(raws), tuple(offers), tuple(bad))


def chosen(source: Source, selection: Selection) -> Iterator[tuple[str, Listed]]:
    """List the samples that a run would caption, each with its shard."""
    seen = 0
    for shard in filter(selection.admits_shard, source.shards()):
        for listed in source.names(shard, None):
            if selection.left(seen) == 0:
                return
            if selection.admits(sample_id(shard, listed.name)):
                seen += 1
                yield shard, listed


def without(pool: Pool, failed: Sequence[Bad]) -> Pool:
    """Leave out images that the model refused."""
    names = {one.image for one in failed}
    kept = [
        pair for pair in zip(pool.raws, pool.offers, strict=True) if pair[0].source not in names
    ]
    return replace(
        pool,
        raws=tuple(raw for raw, _ in kept),
        offers=tuple(offer for _, offer in kept),
        bad=(*pool.bad, *failed),
    )
