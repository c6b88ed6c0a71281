"""Sides: which size of image gives the model as much as there is."""

import pytest
from msgspec.structs import replace

from caption_flow.bench.asked import Asked
from caption_flow.bench.sides import sides
from caption_flow.config.schema import ImagesConfig, SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.errors import EngineDead, EngineFailed, EngineRefused
from caption_flow.image import decode
from caption_flow.model import Offer, Sample
from caption_flow.preview.told import Exchange
from tests.made import jpeg

SIDE = 1024  # of the image
LIMITS = ImagesConfig()


@pytest.fixture
def asked() -> Asked:
    image = jpeg(1, side=SIDE)
    sample = Sample("a", "d", ".", "c", "a.jpg", width=SIDE, height=SIDE, sha256="aa")
    pixels = decode(image, max_pixels=LIMITS.max_pixels, max_side=None)
    said = Exchange(None, "What?", "A.", "stop", 1, 1, 0.1)
    return Asked(Offer(sample, image), ((Stage("caption", "", ("What?",)), (said,)),), pixels)


class Tiling(SimulatedEngine):
    """Sees an image in as many tokens as it has tiles of 64 pixels, 144 at most."""

    least = 0  # pixels of a side; smaller images are refused
    refusal: Exception = EngineRefused("It is too small.")

    async def caption(self, request: Request) -> Output:
        assert request.image is not None
        width, height = request.image.size
        if min(width, height) < self.least:
            raise self.refusal
        tiles = min(144, (width // 64) * (height // 64))
        return replace(await super().caption(request), prompt_tokens=tiles)


@pytest.fixture
def engine() -> Tiling:
    engine = Tiling(SimulatedConfig(), capacity=4)
    engine.decodes = True
    return engine


async def test_smallest_size_of_as_many_tokens_is_enough(engine: Tiling, asked: Asked):
    found = await sides(engine, [asked], LIMITS)

    assert found is not None
    assert (found.now.side, found.now.tokens) == (SIDE, 144)
    assert (found.enough.side, found.enough.tokens) == (768, 144)


@pytest.mark.parametrize("refusal", [EngineRefused("Too small."), EngineFailed("Not now.")])
async def test_sizes_that_the_model_refuses_are_not_compared(
    engine: Tiling, asked: Asked, refusal: Exception
):
    engine.least, engine.refusal = 300, refusal

    found = await sides(engine, [asked], LIMITS)

    assert found is not None
    assert found.enough.side == 768


async def test_nothing_is_found_where_the_model_refuses_all(engine: Tiling, asked: Asked):
    engine.least = SIDE + 1

    assert await sides(engine, [asked], LIMITS) is None


async def test_engine_that_dies_of_a_size_is_dead(engine: Tiling, asked: Asked):
    engine.least, engine.refusal = 300, EngineDead("It has died.")

    with pytest.raises(EngineDead):
        await sides(engine, [asked], LIMITS)
