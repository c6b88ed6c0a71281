"""Ceiling: an engine by itself, full from the first moment to the last that is measured."""

import asyncio

import pytest

from caption_flow.bench.asked import Asked
from caption_flow.bench.ceiling import loads, measured
from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.errors import BadImage, EngineDead, EngineFailed
from caption_flow.model import Offer, Sample
from caption_flow.preview.told import Exchange

STAGE = Stage("caption", "", ("What?",))
OFFER = Offer(Sample("a", "d", ".", "c", "a.jpg", sha256="aa"), b"pixels")
LATENCY = 0.05


def asked(prompts: int = 1) -> Asked:
    said = Exchange(None, "What?", "A.", "stop", 1, 1, 0.1)
    return Asked(OFFER, ((STAGE, (said,) * prompts),))


class Engine(SimulatedEngine):
    """Remembers what it was asked, and how many requests were inside at once."""

    def __init__(self) -> None:
        config = SimulatedConfig(latency=(LATENCY, LATENCY), tokens=(10, 10))
        super().__init__(config, capacity=8)
        self.requests: list[Request] = []
        self.inside = self.most = 0
        self.failure: Exception | None = None

    async def caption(self, request: Request) -> Output:
        self.requests.append(request)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            output = await super().caption(request)
            if self.failure is not None:
                raise self.failure
            return output
        finally:
            self.inside -= 1


async def test_pace_is_what_the_engine_makes_with_so_many_inside():
    engine = Engine()

    pace = await measured(engine, [asked()], load=8, seconds=0.4)

    assert engine.most == 8
    assert 0.5 * 8 / LATENCY < pace.rate <= 1.01 * 8 / LATENCY
    assert pace.output_tokens == 10 * pace.captions
    assert engine.inside == 0


async def test_several_prompts_on_an_image_are_one_caption_and_no_more_requests_at_once():
    engine = Engine()

    pace = await measured(engine, [asked(prompts=2)], load=4, seconds=0.3)

    assert engine.most == 4
    assert pace.output_tokens == 20 * pace.captions


async def test_image_that_comes_again_is_new_to_the_engine_but_for_its_prompts():
    engine = Engine()

    await measured(engine, [asked(prompts=2)], load=2, seconds=0.2)

    images = [request.data for request in engine.requests]
    assert len(set(images)) >= len(images) / 2 > 2
    assert engine.requests[0].sha256 == engine.requests[1].sha256 != engine.requests[-1].sha256
    assert len({request.id for request in engine.requests}) == len(engine.requests)


@pytest.mark.parametrize("failure", [EngineFailed("It is full."), EngineDead("It has died.")])
async def test_engine_that_fails_has_no_pace(failure: Exception):
    engine = Engine()
    engine.failure = failure

    with pytest.raises(type(failure), match=str(failure)):
        await measured(engine, [asked()], load=2, seconds=5.0)


class OneByOne(Engine):
    """Ends requests that began together soon after each other."""

    async def caption(self, request: Request) -> Output:
        place = len(self.requests) % 8
        output = await super().caption(request)
        await asyncio.sleep(place * LATENCY / 100)
        return output


async def test_round_that_takes_longer_than_all_was_to_take_counts_as_a_whole():
    """Else the first of those that end together would be all that such a time has brought."""
    engine = OneByOne()

    pace = await measured(engine, [asked()], load=8, seconds=LATENCY / 10)

    assert pace.captions % 8 == 0
    assert pace.rate > 0.5 * 8 / LATENCY


class OneOfTwo(Engine):
    """Fails at once with the first prompt on each image, and takes its time for the second."""

    async def caption(self, request: Request) -> Output:
        if request.id.endswith("-0"):
            raise self.failure or EngineFailed("It is full.")
        return await super().caption(request)


async def test_nothing_is_left_in_an_engine_whose_visits_failed():
    engine = OneOfTwo()

    with pytest.raises(EngineFailed, match="It is full"):
        await measured(engine, [asked(prompts=2)], load=4, seconds=5.0)

    assert engine.requests
    assert engine.inside == 0


async def test_image_that_is_bad_for_an_engine_is_a_visit_without_a_caption():
    engine = OneOfTwo()
    engine.failure = BadImage("too_large", "It is too large.")

    with pytest.raises(EngineFailed, match=r"fails too often to be measured: .*too large"):
        await measured(engine, [asked(prompts=2)], load=4, seconds=5.0)


def test_loads_are_what_is_configured_and_others_around_it_as_far_as_the_engine_takes_them():
    assert loads(64, None) == [64, 32, 128]
    assert loads(64, 96) == [64, 32, 96]
    assert loads(1, 1) == [1]
