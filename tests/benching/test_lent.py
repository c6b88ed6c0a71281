"""Lent engines: loaded once, and shown what comes again as if it were new."""

import pytest

from caption_flow.bench.lent import Lent
from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.simulated import SimulatedEngine


class Engine(SimulatedEngine):
    """Counts how often it was started and stopped."""

    starts = stops = 0

    async def start(self) -> None:
        self.starts += 1

    async def stop(self) -> None:
        self.stops += 1


def request(sample: str) -> Request:
    return Request(sample, sample, Stage("caption", "", ("What?",)), "What?", b"pixels")


@pytest.fixture
def engine() -> Engine:
    return Engine(SimulatedConfig(), capacity=4)


async def test_engine_is_started_again_only_by_who_lost_it(engine: Engine):
    lent = Lent(engine, repeated=False)

    await lent.start()
    await lent.stop()
    assert (engine.starts, engine.stops) == (0, 0)
    await lent.start()
    assert engine.starts == 1


@pytest.mark.parametrize("repeated", [True, False])
async def test_same_image_of_another_sample_is_new_where_images_are_repeated(
    engine: Engine, repeated: bool
):
    lent = Lent(engine, repeated=repeated)

    first, again, other = [(await lent.caption(request(s))).text for s in ("a", "a", "b")]

    assert first == again
    assert (first != other) == repeated
