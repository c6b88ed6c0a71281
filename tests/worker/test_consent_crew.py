"""Consent in a worker that runs: what it declines goes to others, and the rest is done."""

import asyncio
import socket
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Engine
from caption_flow.errors import EngineUnfit
from caption_flow.fetch import Client, Resolver
from caption_flow.model import Failure, Lease, Reference
from caption_flow.queue.ports import Deferral
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.retry import Backoff
from caption_flow.worker import declines, references
from caption_flow.worker.served import Served
from tests.fetch.conftest import LOCAL, limits, server
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.hosts import IMAGES, Host, TellingEngine, left, looking, publish

__all__ = ["looking", "server"]

SERVER = "wss://project.example:8765"
SEE = Stage("see", "org/large", ("See.",), output_field="seen")
TELL = Stage("tell", "org/small", ("Tell.",), output_field="told", requires=("see",), image=False)


def unknown(name: str) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, f"nobody knows {name}")


PATH = replace(TELL, model="/home/user/model")


class Volunteer(Host):
    """A process that reaches its job through a proxy."""

    def __init__(self, roles: Roles, make: Any = TellingEngine, **config: Any) -> None:
        super().__init__(roles, make, **{"server": SERVER, **config})
        self.told: list[tuple[Broadcast, Served]] = []

    def _engine(self, settings: Broadcast, needed: Served) -> Engine:
        self.told.append((settings, needed))
        return super()._engine(settings, needed)


async def test_a_stage_is_declined_and_the_other_served(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await publish(roles, SEE, PATH, engine="vllm")
    await roles.offer(IMAGES)
    host = Volunteer(roles, exit_when_done=False)

    async with running(host.run()):
        await host.captioned(30)
        assert host.herald.state.startswith('working: declines stage "tell": model is "/home/user')
        found = await left(roles, "tell")
        assert host.diary == ["start org/large"]

    assert {(lease.attempt, lease.failures) for lease in found} == {(1, ())}
    assert len(found) == 30
    assert caplog.text.count('This worker declines stage "tell"') == 1


async def test_with_nothing_left_it_waits_for_other_settings_and_judges_again(roles: Roles):
    await publish(roles, replace(SEE, model="/etc"), engine="vllm")
    await roles.offer(IMAGES)
    host = Volunteer(roles, exit_when_done=False)

    async with running(host.run()):
        await until(host.is_idle)
        assert host.herald.state.startswith('idle: declines stage "see": model is "/etc"')
        await publish(roles, SEE, engine="vllm")
        await host.captioned(30)
        assert host.herald.state == "working"
        await publish(roles, replace(SEE, engine_args={"worker_cls": "x"}), engine="vllm")
        await until(host.is_idle)

    assert host.diary == ["start org/large", "stop org/large"]


async def test_what_it_is_declined_ends_with_the_job_where_that_is_wanted(roles: Roles):
    await publish(roles, SEE, PATH, engine="vllm")
    await roles.offer(IMAGES)
    host, own = Volunteer(roles), Host(roles, stages=("tell",))

    async with running(host.run()) as working:
        await ends(own.run("own"))
        await ends(working)

    assert len(await roles.captions()) == 30


async def test_an_engine_gets_the_settings_as_they_are_followed(roles: Roles):
    await publish(roles, SEE, TELL, engine="vllm")
    host = Volunteer(roles, vllm={"gpu_memory_utilization": 0.5}, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: len(host.diary) == 2)

    for _, needed in host.told:
        assert needed.stages[0].engine_args["load_format"] == "safetensors"
        assert needed.share == 2


async def test_a_model_that_does_not_load_keeps_no_other_from_being_served(roles: Roles):
    class Picky(TellingEngine):
        async def start(self) -> None:
            if self.model == "org/small":
                raise EngineUnfit("It has no safetensors.")
            await super().start()

    await publish(roles, SEE, TELL, engine="vllm")
    await roles.offer(IMAGES)
    host = Volunteer(roles, Picky, exit_when_done=False)
    async with running(host.run()):
        await host.captioned(30)
        assert host.herald.state == "working: It has no safetensors."

    await publish(roles, replace(TELL, requires=()), engine="vllm")
    with pytest.raises(EngineUnfit):
        await ends(Volunteer(roles, Picky).run())


class Own(Host):
    """A process of the job's own operator, who lets it fetch from the network of the tests."""

    connect = staticmethod(lambda: Client(limits(), (LOCAL,)))


async def declined(roles: Roles, reason: str, count: int) -> None:
    """Wait until so many samples were handed back for a reason."""

    async def are() -> bool:
        told = await roles.client.hvals(roles.job.lane.failures)
        return sum(f'"reason":"{reason}"'.encode() in why for why in told) >= count

    await until(are)


async def told_nothing_of_the_network(roles: Roles) -> None:
    for why in await roles.client.hvals(roles.job.lane.failures):
        assert LOCAL.encode() not in why


async def test_images_of_a_private_network_are_handed_back_for_others(
    roles: Roles, server: NaughtyServer, caplog: pytest.LogCaptureFixture
):
    await publish(roles, SEE, engine="vllm", lease_seconds=1.0)
    private = [Reference(server.serve(f"/{n}.jpg", jpeg(n))) for n in range(5)]
    await roles.offer([*private, *IMAGES[:5]])
    host = Volunteer(roles, exit_when_done=False)
    async with running(host.run()):
        await host.captioned(5)
        await declined(roles, "forbidden_address", 5)
        assert server.seen == []
        await told_nothing_of_the_network(roles)
        await ends(Own(roles).run("own"))

    assert await roles.dead() == {}
    captions = await roles.captions()
    assert len(captions) == 10
    assert {c.outcomes[0].worker for c in captions if c.sample.reference} >= {"own"}
    assert {outcome.attempt for c in captions for outcome in c.outcomes} == {1}
    assert caplog.text.count("and will all like it") == 1


async def test_on_redis_they_are_dead_letters_as_ever(roles: Roles, server: NaughtyServer):
    await publish(roles, SEE, engine="vllm")
    await roles.offer([Reference(server.serve("/1.jpg", jpeg(1)))])

    await ends(Host(roles).run())

    [letter] = (await roles.dead()).values()
    assert letter.failure.reason == "forbidden_address"


async def test_sampling_that_a_sample_brings_is_judged_too(roles: Roles):
    await publish(roles, SEE, engine="vllm")
    await roles.offer(IMAGES[:2], sampling={"n": 100_000, "temperature": 0.1})
    await roles.offer(IMAGES[2:4], first=2, sampling={"top_k": 5, "temperature": 0.1})
    host = Volunteer(roles, exit_when_done=False)
    async with running(host.run()):
        await host.captioned(2)
        await declined(roles, "declined", 2)

    assert await roles.dead() == {}
    assert {c.sample.id for c in await roles.captions()} == {"00002.jpg", "00003.jpg"}


async def test_a_host_that_only_we_may_not_reach_costs_no_attempt_at_first(
    roles: Roles, server: NaughtyServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(references, "JUDGE_SECONDS", 0.05)
    await publish(roles, SEE, engine="vllm", lease_seconds=0.3)
    await roles.offer([Reference(server.url("/").replace(LOCAL, "no-such-host.invalid"))])

    class Near(Volunteer):
        connect = staticmethod(lambda: Client(limits(tries=1), resolver=Resolver(unknown)))

    await ends(Near(roles).run())

    [letter] = (await roles.dead()).values()
    assert letter.failure.reason == "unreachable"
    assert [f.own for f in letter.earlier] == [False] * 3 + [True] * 2


async def test_who_declines_all_claims_less_and_less(
    roles: Roles, server: NaughtyServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(declines, "REST", Backoff(first=1000.0, ceiling=1000.0))
    await publish(roles, SEE, engine="vllm", lease_seconds=0.1)
    await roles.offer([Reference(server.url(f"/{n}")) for n in range(16)])
    host = Volunteer(roles, exit_when_done=False)
    async with running(host.run()):
        await declined(roles, "forbidden_address", 16)
        await asyncio.sleep(0.2)  # for a claim that had begun
        await roles.offer(IMAGES[:3], first=16)
        await asyncio.sleep(0.5)
        figures = host.crew.figures()
        assert (figures["captions"], figures["declined"]) == (0, 16)
        assert host.herald.state.startswith("working: hands back samples: its address is none")
        assert len(await left(roles, "see")) == 19


async def claimed(queue: RedisWorkQueue) -> Lease:
    while not (leases := await queue.claim(1)):
        pass
    return leases[0]


async def test_reason_that_is_no_attempt_does_not_pile_up(roles: Roles):
    await roles.offer(IMAGES[:1])
    queue = await roles.work_queue()
    for _ in range(200):
        lease = await claimed(queue)
        why = Failure("forbidden_address", "x" * 100, stage="caption", member="v", own=False)
        await queue.defer([Deferral(lease, why, delay=0.0)])

    [told] = await roles.client.hvals(roles.job.lane.failures)
    assert len(told) < 5000
    lease = await claimed(queue)
    assert lease.attempt == 1
    await queue.defer([Deferral(lease, Failure("engine", "It broke.", attempt=1), delay=0.0)])
    lease = await claimed(queue)
    assert lease.failures[-1].reason == "engine"
