"""Worker: every sample is captioned once, its caption is its own, and a bad one harms no other."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.config.schema import ImagesConfig, SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.simulated import SimulatedEngine, simulated_caption
from caption_flow.feed.look import look
from caption_flow.model import Chunk, Raw
from caption_flow.queue.connect import Connections
from caption_flow.retry import Backoff
from caption_flow.worker.duty import Duty
from caption_flow.worker.meter import Meter
from caption_flow.worker.tuner import AHEAD_FIRST
from tests.made import jpeg, settings
from tests.roles import (
    AMPLE,
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import (
    BrokenEngine,
    CountingEngine,
    DecodingEngine,
    FailingEngine,
    LateEngine,
    QuietEngine,
    RefusingEngine,
)

IMAGES = [jpeg(n) for n in range(40)]


def simulated(**config: object) -> SimulatedEngine:
    return SimulatedEngine(SimulatedConfig(**config), capacity=8)  # type: ignore[arg-type]


async def test_every_sample_is_captioned_once(roles: Roles):
    await roles.offer(IMAGES)

    await ends((await roles.worker(simulated())).run())

    ids = [caption.sample.id for caption in await roles.captions()]
    assert sorted(ids) == [f"{n:05}.jpg" for n in range(40)]


async def test_two_workers_caption_every_sample_once(roles: Roles):
    await roles.offer(IMAGES)

    workers = [await roles.worker(simulated(latency=(0.001, 0.01))) for _ in range(2)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(worker.run() for worker in workers))

    assert len(await roles.captions()) == 40
    assert sum(worker.settler.completed for worker in workers) == 40


@pytest.mark.parametrize("decode", [False, True])
async def test_a_caption_is_of_its_own_image(roles: Roles, decode: bool):
    await roles.offer(IMAGES)

    await ends((await roles.worker(simulated(decode=decode, latency=(0, 0.02)))).run())

    for caption in await roles.captions():
        [text] = caption.outcomes[0].outputs["captions"]
        digest = hashlib.sha256(IMAGES[int(caption.sample.id[:5])]).hexdigest()
        assert caption.sample.sha256 == digest
        assert digest[:32] in text


def test_the_simulated_caption_tells_its_image():
    assert hashlib.sha256(b"image").hexdigest()[:32] in simulated_caption(b"image", 20)


async def test_each_prompt_gives_a_caption_in_the_order_of_the_prompts(
    connections: Connections, tmp_path: Path
):
    roles = Roles(connections, tmp_path, settings(prompts=("one", "two", "three")))
    await roles.offer(IMAGES[:3])

    await ends((await roles.worker(CountingEngine())).run())

    for caption in await roles.captions():
        texts = caption.outcomes[0].outputs["captions"]
        assert [text.split()[0] for text in texts] == ["one", "two", "three"]
        assert caption.outcomes[0].output_tokens == 6


async def test_the_other_prompts_of_a_failed_sample_leave_the_engine(
    connections: Connections, tmp_path: Path
):
    roles = Roles(connections, tmp_path, settings(prompts=("one", "two"), max_attempts=1))
    await roles.offer(IMAGES[:1])
    engine = LateEngine("one")
    engine.gate.clear()

    await ends((await roles.worker(engine)).run())

    assert (engine.begun, engine.inside) == (["one", "two"], 0)


async def test_a_sample_passes_all_stages_and_carries_what_each_made(
    connections: Connections, tmp_path: Path
):
    stages = [
        Stage(name="see", model="", prompts=("see",), output_field="seen"),
        Stage(name="tell", model="", prompts=("tell",), output_field="told", requires=("see",)),
    ]
    roles = Roles(connections, tmp_path, settings(stages=tuple(stages)))
    await roles.offer(IMAGES[:9])

    await ends((await roles.worker(CountingEngine())).run())

    for caption in await roles.captions():
        size = len(IMAGES[int(caption.sample.id[:5])])
        made = [outcome.outputs for outcome in caption.outcomes]
        assert made == [{"seen": [f"see {size}"]}, {"told": [f"tell {size}"]}]
    assert (await roles.counts()).completed == 9


async def test_an_empty_answer_is_left_out(connections: Connections, tmp_path: Path):
    roles = Roles(connections, tmp_path, settings(prompts=("one", "two")))
    await roles.offer(IMAGES[:1])

    await ends((await roles.worker(QuietEngine({"one"}))).run())

    [caption] = await roles.captions()
    assert caption.outcomes[0].outputs == {"captions": ["about two"]}


async def test_a_sample_that_stays_without_answer_is_a_dead_letter(
    connections: Connections, tmp_path: Path
):
    roles = Roles(connections, tmp_path, settings(prompts=("one", "two")))
    await roles.offer(IMAGES[:1])
    engine = QuietEngine({"one", "two"})

    await ends((await roles.worker(engine)).run())

    letter = (await roles.dead())["00000.jpg"]
    assert letter.failure.reason == "engine"
    assert engine.begun == ["one", "two"] * 3


async def test_a_sample_the_engine_fails_on_is_tried_again(roles: Roles):
    await roles.offer(IMAGES[:4])

    await ends((await roles.worker(FailingEngine([IMAGES[1]], times=2))).run())

    attempts = {c.sample.id: c.outcomes[0].attempt for c in await roles.captions()}
    assert attempts == {"00000.jpg": 1, "00001.jpg": 3, "00002.jpg": 1, "00003.jpg": 1}


async def test_a_sample_the_engine_always_fails_on_is_a_dead_letter_with_its_reason(
    roles: Roles,
):
    await roles.offer(IMAGES[:4])
    engine = FailingEngine([IMAGES[1]])

    worker = await roles.worker(engine)
    await ends(worker.run())

    [letter] = (await roles.dead()).values()
    assert letter.sample.id == "00001.jpg"
    assert (letter.failure.reason, letter.failure.attempt) == ("engine", 3)
    assert "made no sense" in letter.failure.detail
    assert len(engine.begun) == 3 + 3
    assert (worker.settler.completed, worker.settler.failed) == (3, 1)


async def test_a_sample_the_engine_refuses_is_a_dead_letter_without_another_try(roles: Roles):
    await roles.offer(IMAGES[:4])
    engine = RefusingEngine(IMAGES[1])

    await ends((await roles.worker(engine)).run())

    [letter] = (await roles.dead()).values()
    assert (letter.failure.reason, letter.failure.attempt) == ("refused", 1)
    assert len(engine.begun) == 4


async def test_a_sample_that_failed_waits_longer_each_time(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    await roles.offer(IMAGES[:1])
    asked: list[int] = []

    class Noting(Backoff, frozen=True):
        def delay(self, failures: int) -> float:
            asked.append(failures)
            return 0.0

    monkeypatch.setattr("caption_flow.worker.settle.RETRY_BACKOFF", Noting())

    await ends((await roles.worker(FailingEngine([IMAGES[0]]))).run())

    assert asked == [1, 2]


async def test_an_error_nobody_foresaw_is_one_samples_own(roles: Roles):
    await roles.offer(IMAGES[:4])

    await ends((await roles.worker(BrokenEngine(IMAGES[1]))).run())

    [letter] = (await roles.dead()).values()
    assert letter.failure.reason == "error"
    assert "ZeroDivisionError: a mistake" in letter.failure.detail
    assert len(await roles.captions()) == 3


async def test_an_image_that_does_not_decode_is_a_dead_letter_without_another_try(roles: Roles):
    cut = jpeg(99, side=512)[:-500]  # its header is whole, so the feeder takes it
    await roles.offer([IMAGES[0], cut, IMAGES[2]])
    engine = CountingEngine(decodes=True)

    await ends((await roles.worker(engine)).run())

    [letter] = (await roles.dead()).values()
    assert letter.sample.id == "00001.jpg"
    assert (letter.failure.reason, letter.failure.attempt) == ("truncated", 1)
    assert len(engine.begun) == 2


async def test_an_engine_that_decodes_is_told_the_limits_and_says_what_is_wrong(roles: Roles):
    await roles.offer([IMAGES[0], jpeg(99, side=64)])
    duty = Duty.of(replace(roles.told, images=ImagesConfig(max_pixels=1000)), 1)

    await ends((await roles.worker(DecodingEngine(), duty=duty)).run())

    [letter] = (await roles.dead()).values()
    assert letter.sample.id == "00001.jpg"
    assert (letter.failure.reason, letter.failure.attempt) == ("too_many_pixels", 1)
    assert len(await roles.captions()) == 1


async def test_a_sample_whose_image_is_gone_is_a_dead_letter(roles: Roles):
    await roles.offer(IMAGES[:2])
    [first, _] = await roles.client.xrange(roles.job.lane.images)
    await roles.client.xdel(roles.job.lane.images, first[0])

    await ends((await roles.worker(CountingEngine())).run())

    [letter] = (await roles.dead()).values()
    assert letter.failure.reason == "image_gone"


async def test_the_books_balance_when_the_worker_is_done(roles: Roles):
    await roles.offer(IMAGES)
    await ends((await roles.worker(FailingEngine(IMAGES[:5]))).run())

    counts = await roles.counts()

    assert counts.captions_done
    assert (counts.completed, counts.dead, counts.bytes_in_flight) == (35, 5, 0)


async def test_the_engine_never_holds_more_than_its_capacity_and_always_that_much(roles: Roles):
    await roles.offer(IMAGES)
    engine = CountingEngine(capacity=5)
    engine.gate.clear()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: engine.inside == 5)
        for begun in range(10, 41, 5):
            engine.gate.set()
            engine.gate.clear()  # lets those inside go, and nobody after them
            await until(lambda begun=begun: len(engine.begun) == begun)  # type: ignore[misc]
            assert engine.inside == 5
        engine.gate.set()
        await ends(working)

    assert engine.most == 5
    assert len(await roles.captions()) == 40


async def test_engine_that_holds_more_than_it_has_slots_for_has_the_next_one_inside(roles: Roles):
    await roles.offer(IMAGES)
    engine = CountingEngine(capacity=2)
    engine.holds = 6
    engine.gate.clear()
    worker = await roles.worker(engine)
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 3)
        figures = worker.figures()
        engine.gate.set()
        await ends(working)

    assert (figures["running"], figures["slots"], figures["in_flight"]) == (2, 2, 3)
    assert engine.most <= 6


async def test_prompts_of_one_image_count_against_the_capacity_one_by_one(
    connections: Connections, tmp_path: Path
):
    roles = Roles(connections, tmp_path, settings(prompts=("one", "two", "three")))
    await roles.offer(IMAGES[:9])
    engine = CountingEngine(capacity=4)

    await ends((await roles.worker(engine)).run())

    assert engine.most == 4
    assert len(engine.begun) == 27


async def test_what_is_claimed_ahead_is_bounded(roles: Roles):
    await roles.offer(IMAGES)
    engine = CountingEngine(capacity=4)
    engine.gate.clear()
    worker = await roles.worker(engine)
    async with running(worker.run()):
        await until(lambda: worker.figures()["in_hand"] == 4 + AHEAD_FIRST)
        await until(lambda: engine.inside == 4)
        [stream] = await roles.client.xinfo_groups(roles.job.lane.samples("caption"))

        assert stream["pending"] == 4 + AHEAD_FIRST


async def test_a_slot_does_not_wait_while_a_sample_does(roles: Roles):
    await roles.offer(IMAGES)
    meter = Meter(8)
    worker = await roles.worker(simulated(latency=(0.005, 0.005)), meter=meter)

    await ends(worker.run())

    assert worker.settler.completed == 40
    free, idle = meter.shares()
    assert 0 <= idle <= free <= 1


async def test_a_worker_that_exits_when_done_waits_for_chunks_not_offered_yet(roles: Roles):
    await roles.offer(IMAGES[:2])
    feeding = roles.feed_queue()
    late = Chunk("late", "pictures", ".", ("late.jpg",))
    await feeding.plan(await feeding.position(), "end", late, backlog=9, done=True)
    engine = CountingEngine()
    async with running((await roles.worker(engine)).run()) as working:
        await until(lambda: _completed(roles, 2))
        await until(lambda: _reads(roles))
        assert not working.done()

        lease = await feeding.claim_chunk()
        assert lease is not None
        offer = look(Raw("late.jpg", "/late.jpg", jpeg(77)), late, roles.told.images)
        await feeding.offer(lease, [offer], AMPLE)
        await ends(working)

    assert len(engine.begun) == 3


async def _completed(roles: Roles, count: int) -> bool:
    return (await roles.counts()).completed == count


async def _reads(roles: Roles) -> bool:
    return bool((await roles.client.info("clients"))["blocked_clients"])


async def test_a_worker_that_stays_goes_on_after_the_job_is_done(roles: Roles):
    await roles.offer(IMAGES[:2])
    engine = CountingEngine()
    async with running((await roles.worker(engine, exit_when_done=False)).run()) as working:
        await until(lambda: _completed(roles, 2))
        await roles.offer(IMAGES[2:4], first=2)
        await until(lambda: _completed(roles, 4))

        assert not working.done()
