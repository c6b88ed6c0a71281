"""The simulated engine: true about the bytes, the same each time, and open about what it is."""

import asyncio
import hashlib

import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated import SimulatedEngine, simulated_caption
from caption_flow.errors import EngineDead
from caption_flow.structured import parse

STAGE = Stage(name="caption", model="", prompts=("Describe it.",))


def request(data: bytes = b"image", prompt: str = "Describe it.", id_: str = "1-0:1:0") -> Request:
    return Request(id_, "a.jpg", STAGE, prompt, data, None)


async def output(config: SimulatedConfig | None = None, **made: str | bytes) -> Output:
    engine = SimulatedEngine(config or SimulatedConfig(), capacity=4)
    await engine.start()
    try:
        return await engine.caption(request(**made))  # type: ignore[arg-type]
    finally:
        await engine.stop()


async def test_slot_takes_on_what_waits_inside_when_its_caption_is_due(
    monkeypatch: pytest.MonkeyPatch,
):
    """However late that is fetched: the slots of an engine wait for no event loop."""
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))

    monkeypatch.setattr("caption_flow.engine.simulated.time.monotonic", lambda: now)
    monkeypatch.setattr("caption_flow.engine.simulated.asyncio.sleep", sleep)
    engine = SimulatedEngine(SimulatedConfig(latency=(2, 2)), capacity=1, holds=3)
    await engine.caption(request())
    await engine.caption(request())
    now = 101.0
    await engine.caption(request())
    now = 110.0
    await engine.caption(request())

    assert slept == [2, 4, 5, 2]


async def test_a_caption_names_the_digest_of_its_image():
    assert hashlib.sha256(b"image").hexdigest()[:32] in (await output()).text


async def test_a_caption_is_the_same_each_time_the_sample_comes():
    assert await output(id_="1-0:1:0") == await output(id_="99-7:3:2")


async def test_captions_of_two_images_differ():
    assert (await output(data=b"one")).text != (await output(data=b"other")).text


async def test_the_length_is_within_the_range():
    config = SimulatedConfig(tokens=(5, 9))
    lengths = {(await output(config, data=bytes([n]))).output_tokens for n in range(200)}

    assert lengths == {5, 6, 7, 8, 9}


async def test_a_caption_has_as_many_words_as_it_says():
    made = await output(SimulatedConfig(tokens=(12, 12)))

    assert len(made.text.split()) == made.output_tokens == 12


async def test_a_seed_makes_other_lengths():
    lengths = [
        [
            (await output(SimulatedConfig(seed=seed), data=bytes([n]))).output_tokens
            for n in range(9)
        ]
        for seed in (0, 1)
    ]

    assert lengths[0] != lengths[1]


async def test_a_latency_is_waited_for():
    config = SimulatedConfig(latency=(0.02, 0.02))
    loop = asyncio.get_running_loop()
    begun = loop.time()

    await output(config)

    assert loop.time() - begun >= 0.02


def test_it_calls_itself_simulated():
    engine = SimulatedEngine(SimulatedConfig(), capacity=4)

    assert (engine.name, engine.model) == ("simulated", "simulated")


@pytest.mark.parametrize("decode", [True, False])
def test_it_asks_for_pixels_where_it_should_act_as_a_model(decode: bool):
    assert SimulatedEngine(SimulatedConfig(decode=decode), capacity=1).decodes is decode


def test_a_caption_of_no_length_is_a_caption():
    assert simulated_caption(b"image", 0).startswith("simulated caption ")


async def test_an_image_it_dies_of_takes_all_inside_with_it_until_it_is_started_again():
    killer = hashlib.sha256(b"killer").hexdigest()
    engine = SimulatedEngine(SimulatedConfig(latency=(60, 60), dies_of=(killer,)), capacity=8)
    neighbour = asyncio.ensure_future(engine.caption(request(data=b"good")))
    await asyncio.sleep(0)

    with pytest.raises(EngineDead):
        await engine.caption(request(data=b"killer"))
    with pytest.raises(EngineDead):
        await neighbour
    with pytest.raises(EngineDead):
        await engine.caption(request(data=b"good"))

    await engine.start()
    living = asyncio.ensure_future(engine.caption(request(data=b"good")))
    done, _ = await asyncio.wait({living}, timeout=0.01)
    living.cancel()
    assert not done


async def test_all_inside_at_a_death_hear_of_it_however_soon_it_is_started_again():
    killer = hashlib.sha256(b"killer").hexdigest()
    engine = SimulatedEngine(SimulatedConfig(latency=(60, 60), dies_of=(killer,)), capacity=8)
    inside = [engine.caption(request(data=data)) for data in (b"good", b"killer")]
    hearing = asyncio.gather(*inside, return_exceptions=True)
    await asyncio.sleep(0)
    await engine.start()

    assert [type(answer) for answer in await hearing] == [EngineDead, EngineDead]


async def test_answers_have_the_form_of_their_stage():
    form = StructuredOutputs(json={"type": "object", "properties": {"sure": {"type": "boolean"}}})
    stage = Stage("see", "", ("See.",), structured_outputs=form)
    engine = SimulatedEngine(SimulatedConfig(), capacity=1)

    output = await engine.caption(Request("1", "a.jpg", stage, "See.", b"image"))

    assert parse(form, output.text)["sure"] in {True, False}
