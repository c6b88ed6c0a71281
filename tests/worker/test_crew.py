"""Crew: the engines of one process, and what becomes of them when the settings change."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.errors import ConfigError
from caption_flow.worker.served import served
from tests.made import PATIENCE, settings
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import MortalEngine
from tests.worker.hosts import (
    IMAGES,
    KLINGON,
    LIST,
    SEE,
    TELL,
    Host,
    TellingEngine,
    looking,
    publish,
)

__all__ = ["looking"]


async def test_stages_of_one_model_share_an_engine_and_each_model_has_one(roles: Roles):
    await publish(roles, SEE, LIST, TELL)
    await roles.offer(IMAGES)
    host = Host(roles)

    await ends(host.run())

    assert host.diary == ["start large", "start small", "stop large", "stop small"]
    captions = await roles.captions()
    assert len(captions) == 30
    for caption in captions:
        assert [(o.stage, o.model) for o in caption.outcomes] == [
            ("see", "large"),
            ("list", "large"),
            ("tell", "small"),
        ]
        assert {outcome.worker for outcome in caption.outcomes} == {"host"}
    figures = host.crew.figures()
    assert (figures["captions"], figures["images"], figures["failed"]) == (60, 30, 0)
    assert figures["samples"] == 30


async def test_each_worker_of_a_process_is_a_consumer_of_its_own(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await host.captioned(10)
        one, other = await _consumers(roles, "see"), await _consumers(roles, "tell")

    assert (one, other) == ({"host.1"}, {"host.2"})


async def _consumers(roles: Roles, stage: str) -> set[str]:
    rows = await roles.client.xinfo_consumers(roles.job.lane.samples(stage), "workers")
    return {row["name"].decode() for row in rows}


async def test_a_process_serves_the_stages_that_are_named(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    seeing, telling = Host(roles, stages=("see",)), Host(roles, stages=("tell",))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(seeing.run("one"), telling.run("other"))

    assert seeing.diary == ["start large", "stop large"]
    assert telling.diary == ["start small", "stop small"]
    assert (seeing.crew.figures()["images"], telling.crew.figures()["images"]) == (30, 0)
    workers = {tuple(o.worker for o in c.outcomes) for c in await roles.captions()}
    assert workers == {("one", "other")}


def held(model: str, diary: list[str]) -> TellingEngine:
    """Make an engine that waits for its gate, if it is the large one."""
    engine = TellingEngine(model, diary)
    if model == "large":
        engine.gate.clear()
    return engine


async def figures_with(roles: Roles, images: Sequence[bytes], inside: int) -> dict[str, float]:
    """Give what a crew counts while so many of the images are in its first engine."""
    await roles.offer(images)
    host = Host(roles, held)
    async with running(host.run()) as working:
        await until(lambda: host.engines and host.engines[0].inside == inside)
        figures = host.crew.figures()
        host.engines[0].gate.set()
        await ends(working)
    return figures


async def test_stages_of_several_engines_are_told_apart(roles: Roles):
    await publish(roles, SEE, LIST, TELL)

    figures = await figures_with(roles, IMAGES, 4)

    assert (figures["running:see"], figures["running:list"], figures["running:tell"]) == (4, 4, 0)
    assert (figures["slots:tell"], figures["slots"]) == (4, 8)
    assert figures["free_lately:tell"] > figures["free_lately:see"]


async def test_figures_of_stages_fit_through_a_proxy(roles: Roles):
    """Which ends a connection that tells more of them, or of longer names."""
    many = [replace(TELL, name=f"{n:02}", output_field=f"told{n}") for n in range(40)]
    await publish(roles, SEE, *many, replace(TELL, name=100 * "t"))

    figures = await figures_with(roles, IMAGES[:1], 1)

    assert len(figures) <= 100
    assert max(map(len, figures)) <= 100
    assert "slots:see" in figures


async def test_stages_of_one_engine_are_told_together(roles: Roles):
    await publish(roles, SEE, LIST)
    await roles.offer(IMAGES)
    host = Host(roles)

    await ends(host.run())

    assert not [name for name in host.crew.figures() if ":" in name]


def test_a_stage_that_the_job_has_not_is_refused_with_the_nearest():
    told = settings(stages=(SEE, TELL))

    with pytest.raises(ConfigError, match=r'^stages: .* no stage "tel"; did you mean "tell"\?$'):
        served(told, ["tel"], {})
    with pytest.raises(ConfigError, match=r'no stage "fly"\. It has see, tell\.$'):
        served(told, ["fly"], {})


def test_one_model_of_a_host_is_not_for_stages_of_two():
    told = settings(engine="vllm", stages=(SEE, TELL))

    with pytest.raises(ConfigError, match=r"^vllm\.model .*large, small.*--stage"):
        served(told, [], {"model": "/models/large"})
    assert len(served(told, ["see"], {"model": "/models/large"})) == 1


@pytest.mark.parametrize(
    ("engine", "arguments", "overrides", "shares"),
    [
        ("vllm", {}, {}, [2, 2]),
        ("vllm", {"gpu_memory_utilization": 0.3}, {}, [1, 2]),
        ("vllm", {}, {"gpu_memory_utilization": 0.3}, [1, 1]),
        ("simulated", {}, {}, [1, 1]),
    ],
)
def test_engines_without_a_memory_share_of_their_own_divide_the_device(
    engine: str, arguments: dict[str, Any], overrides: dict[str, Any], shares: list[int]
):
    told = settings(engine=engine, stages=(replace(SEE, engine_args=arguments), TELL))

    assert [each.share for each in served(told, [], overrides)] == shares


async def test_check_that_cannot_be_made_is_told_before_the_engine_is_loaded(roles: Roles):
    await publish(roles, replace(SEE, quality=(KLINGON,)))
    host = Host(roles)

    with pytest.raises(ConfigError, match="tlh"):
        await host.run()
    assert host.engines == []


async def test_check_that_cannot_be_made_later_keeps_the_worker_waiting(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.crew and host.crew.figures()["in_hand"] == 0 and host.diary)
        await publish(roles, replace(SEE, quality=(KLINGON,)))
        await until(host.is_idle)
        await publish(roles, SEE)
        await until(lambda: not host.is_idle())
    assert host.diary.count("start large") == 1


class SlowlyRevivedEngine(MortalEngine):
    """Dies of one image, and is started again only once it may be."""

    def __init__(self, *_: object) -> None:
        super().__init__(IMAGES[:1])
        self.may_start = asyncio.Event()
        self._lives = 0

    async def start(self) -> None:
        self._lives += 1
        if self._lives > 1:
            await self.may_start.wait()
        await super().start()


async def test_crew_without_an_engine_that_is_alive_says_so(roles: Roles):
    await publish(roles)
    await roles.offer(IMAGES)
    host = Host(roles, SlowlyRevivedEngine, exit_when_done=False)
    async with running(host.run()) as working:
        await until(lambda: host.herald and host.herald.state == "reloading")
        assert host.crew.figures()["engine_deaths"] == 1
        host.engines[0].may_start.set()
        await until(lambda: host.herald.state == "working")
        host.drain.ask()
        await ends(working)
