"""A whole Worker through a proxy: cuts, slow lines and proxies that go cost and double nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from caption_flow.config.proxy import ProxyConfig
from caption_flow.engine.port import Output, Request
from caption_flow.model import Outcomes
from caption_flow.queue.connect import Connections
from caption_flow.queue.ports import Claimed
from caption_flow.queue.relay import RelayQueue
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from tests.e2e.switch import Switch
from tests.made import jpeg
from tests.proxy.house import ANN, House, house, publish
from tests.roles import (
    Roles,
    ends,
    roles,
    running,
    until,
)
from tests.worker.engines import CountingEngine

__all__ = ["roles"]

PATIENT = ProxyConfig(resume_seconds=30.0)
HASTY = ProxyConfig(resume_seconds=0.2)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the proxy look more often than it does where nobody waits for it."""
    monkeypatch.setattr("caption_flow.proxy.view.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("caption_flow.proxy.line.TICK_SECONDS", 0.05)
    monkeypatch.setattr("caption_flow.queue.news.BLOCK_MS", 50)


class WalkingEngine(CountingEngine):
    """Takes a while for each."""

    async def caption(self, request: Request) -> Output:
        await asyncio.sleep(0.02)
        return await super().caption(request)


@asynccontextmanager
async def queue_at(port: int) -> AsyncIterator[RemoteWorkQueue]:
    entrance = Entrance(f"ws://127.0.0.1:{port}", ANN, role="worker", member="me")
    async with Link(entrance) as link:
        queue = RemoteWorkQueue(link)
        await queue.serve(["caption"], lease_seconds=60.0)
        yield queue


def port_of(home: House) -> int:
    return int(home.url.rpartition(":")[2])


async def captioned(roles: Roles) -> Counter[str]:
    return Counter(caption.sample.id for caption in await roles.captions())


def all_once(count: int) -> Counter[str]:
    return Counter(f"{number:05}.jpg" for number in range(count))


async def until_captioned(roles: Roles, least: int) -> None:
    """Wait for so many captions; a worker counts none for which a cut took the answer."""

    async def enough() -> bool:
        return (await roles.job.counts()).completed >= least

    await until(enough)


async def attempts(roles: Roles) -> set[int]:
    return {caption.outcomes[0].attempt for caption in await roles.captions()}


async def test_worker_captions_all(connections: Connections, roles: Roles):
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(100)])
    async with house(connections, roles) as home, queue_at(port_of(home)) as queue:
        worker = await roles.worker(CountingEngine(), queue=queue)
        await ends(worker.run())

    assert await captioned(roles) == all_once(100)
    assert {c.outcomes[0].contributor for c in await roles.captions()} == {"ann"}
    assert {c.outcomes[0].worker for c in await roles.captions()} == {"ann/me"}
    assert worker.settler.completed == 100


@asynccontextmanager
async def walking(home: House, roles: Roles) -> AsyncIterator[tuple[Switch, "asyncio.Task[None]"]]:
    """A worker whose connection goes through a switch, while it runs."""
    with Switch(port_of(home)) as switch:
        async with queue_at(switch.port) as queue:
            worker = await roles.worker(WalkingEngine(), queue=queue)
            async with running(worker.run()) as working:
                yield switch, working


async def test_connection_that_is_cut_again_and_again(connections: Connections, roles: Roles):
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(200)])
    async with (
        house(connections, roles, config=PATIENT) as home,
        walking(home, roles) as (switch, working),
    ):
        for step in range(10):
            await until_captioned(roles, 20 * step)
            switch.cut()
        await ends(working)

    assert await captioned(roles) == all_once(200)
    assert await attempts(roles) == {1}


async def test_cuts_that_take_answers_with_them_cost_no_caption(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """Captions are in, and the worker never hears of it: on a busy machine each cut has some."""
    complete = RelayQueue.complete

    async def complete_and_rest(queue: RelayQueue, done: Sequence[tuple[Claimed, Outcomes]]):
        ours = await complete(queue, done)
        await asyncio.sleep(0.1)
        return ours

    monkeypatch.setattr(RelayQueue, "complete", complete_and_rest)
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(100)])
    async with (
        house(connections, roles, config=PATIENT) as home,
        walking(home, roles) as (switch, working),
    ):
        for step in range(5):
            await until_captioned(roles, 20 * step)
            await asyncio.sleep(0.05)
            switch.cut()
        await ends(working)

    assert await captioned(roles) == all_once(100)
    assert await attempts(roles) == {1}


async def test_another_proxy_takes_over(connections: Connections, roles: Roles):
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(200)])
    async with (
        house(connections, roles, config=PATIENT) as here,
        house(connections, roles, config=PATIENT) as there,
    ):
        with Switch(port_of(here)) as switch:
            async with queue_at(switch.port) as queue:
                worker = await roles.worker(WalkingEngine(), queue=queue)
                async with running(worker.run()) as working:
                    for step, home in enumerate((there, here, there), 1):
                        await until_captioned(roles, 50 * step)
                        switch.lead_to(port_of(home))
                    await ends(working)

    assert await captioned(roles) == all_once(200)
    assert await attempts(roles) == {1}


async def test_proxy_that_ends_sends_its_workers_to_another(connections: Connections, roles: Roles):
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(100)])
    async with house(connections, roles, config=PATIENT) as stays, AsyncExitStack() as stack:
        switch = stack.enter_context(Switch(0))
        async with house(connections, roles, config=PATIENT) as goes:
            switch.lead_to(port_of(goes))
            queue = await stack.enter_async_context(queue_at(switch.port))
            worker = await roles.worker(WalkingEngine(), queue=queue)
            working = asyncio.create_task(worker.run())
            await until_captioned(roles, 20)
            switch.lead_to(port_of(stays), cut=False)
        await ends(working)

    assert await captioned(roles) == all_once(100)
    assert await attempts(roles) == {1}


async def test_slow_line_is_fed_ahead_and_never_cut(connections: Connections, roles: Roles):
    """Each image takes a while, pings too; nobody takes that for silence."""
    await publish(roles)
    images = [jpeg(n) + bytes(100_000) for n in range(30)]
    await roles.offer(images)
    async with house(connections, roles, config=PATIENT) as home:
        with Switch(port_of(home), rate=1e6) as switch:
            async with queue_at(switch.port) as queue:
                worker = await roles.worker(CountingEngine(), queue=queue)
                await ends(worker.run())
                assert home.door.figures()["connections"] == 1

    assert await captioned(roles) == all_once(30)
    assert await attempts(roles) == {1}


async def test_samples_of_a_long_cut_are_anothers_and_are_dropped(
    connections: Connections, roles: Roles, caplog: pytest.LogCaptureFixture
):
    await publish(roles)
    await roles.offer([jpeg(n) for n in range(20)])
    async with house(connections, roles, config=HASTY) as home:
        with Switch(port_of(home)) as switch:
            async with queue_at(switch.port) as queue:
                engine = CountingEngine()
                engine.gate.clear()
                worker = await roles.worker(engine, queue=queue, lease_seconds=0.6)
                async with running(worker.run()) as working:
                    await until(lambda: engine.inside == engine.capacity)
                    switch.lead_to(1)
                    other = await roles.worker(CountingEngine())
                    await ends(other.run())
                    assert await captioned(roles) == all_once(20)
                    await roles.offer([jpeg(n) for n in range(20, 30)], first=20)
                    switch.lead_to(port_of(home))
                    await until(lambda: "Lost the lease on 00019.jpg" in caplog.text)
                    engine.gate.set()
                    await ends(working)

    assert await captioned(roles) == all_once(30)
    assert worker.settler.completed == 10
    assert "went to others meanwhile" in caplog.text
