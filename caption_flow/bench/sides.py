"""Bench: are images larger than the model takes in?

Some models see an image in as many tokens as its size asks for, up to a most. Where a smaller one
gives the same number of tokens, and a still smaller one fewer, the pixels above are thrown away
after they were sent and decoded. A model that sees all sizes in one number of tokens tells nothing.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.bench.asked import Asked
from caption_flow.config.sampling import Sampling
from caption_flow.config.schema import ImagesConfig
from caption_flow.engine.port import Engine
from caption_flow.errors import BadImage, EngineFailed, EngineRefused
from caption_flow.image import decode, fit

logger = logging.getLogger(__name__)

PROBED = 4  # images: the largest of those that are there
_STEPS = (1.0, 0.75, 0.5, 0.25)  # of the longer side
_ROUND = 64  # pixels


class Side(Struct, frozen=True):
    """Images at one size."""

    side: int  # pixels of the longest
    bytes: int  # of an image, encoded
    decoding: float  # seconds of CPU for one
    tokens: int  # of its prompt


class Sides(Struct, frozen=True):
    """What the largest images are, and what the model takes in of them."""

    now: Side
    enough: Side


async def sides(engine: Engine, images: Sequence[Asked], limits: ImagesConfig) -> Sides | None:
    """Find the smallest size that gives a model as much as there is; None where none is found."""
    largest = sorted(images, key=lambda one: -max(one.offer.sample.width, one.offer.sample.height))
    probed = [one for one in largest[:PROBED] if any(stage.image for stage, _ in one.stages)]
    if not (engine.decodes and probed):
        return None
    longest = max(max(one.offer.sample.width, one.offer.sample.height) for one in probed)
    sizes = [round(longest * step / _ROUND) * _ROUND if step < 1 else longest for step in _STEPS]
    seen = [side async for side in _taken(engine, probed, limits, filter(None, sizes))]
    same = [side for side in seen if side.tokens == seen[0].tokens]
    falls = any(after.tokens < before.tokens for before, after in pairwise(seen))
    return Sides(seen[0], same[-1]) if falls and len(same) > 1 else None


async def _taken(
    engine: Engine, images: Sequence[Asked], limits: ImagesConfig, sizes: Iterable[int]
) -> AsyncIterator[Side]:
    """Show images at each size, as long as the model takes them."""
    try:
        for size in sizes:
            yield await _seen(engine, images, limits, size)
    except (BadImage, EngineFailed, EngineRefused) as exc:
        # As models do with what is less than a patch wide: there is nothing to know below it.
        logger.debug("No look at smaller images: %s", exc)


async def _seen(engine: Engine, images: Sequence[Asked], limits: ImagesConfig, size: int) -> Side:
    length = tokens = 0
    seconds = 0.0
    for number, image in enumerate(images):
        data, _ = fit(
            image.offer.image,
            max_side=size,
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
        )
        begun = time.thread_time()
        pixels = decode(data, max_pixels=limits.max_pixels, max_side=size)
        seconds += time.thread_time() - begun
        length += len(data)
        [request, *_] = next(
            requests for requests in image.visit(number) if requests[0].image is not None
        )
        shown = replace(
            request,
            id=f"probe-{size}-{number}",
            stage=replace(request.stage, sampling=Sampling(max_tokens=1), structured_outputs=None),
            image=pixels,
            data=data,
            sha256=f"{request.sha256}-{size}",
        )
        tokens += (await engine.caption(shown)).prompt_tokens
    return Side(size, length // len(images), seconds / len(images), tokens // len(images))
