"""How many requests at once: up while it pays, down when it is too much."""

import asyncio
import random
from heapq import heappop, heappush
from itertools import pairwise

import pytest

from caption_flow.engine.openai.pace import Begun, Pace, Spacing
from tests.engine.openai.conftest import captioned, endpoint, request, running
from tests.engine.openai.stub import TRIAL, Call, Reply, Stub, completion, error


class World:
    """A server of which only the time is real: `at_once` are served, others wait or are refused."""

    def __init__(self, most: int, at_once: int, *, refuses: bool = False) -> None:
        self.pace = Pace(most)
        self.limits: list[int] = []
        self.refused = self.served = 0
        self._at_once = at_once
        self._refuses = refuses
        self._now = 0.0

    def run(self, rounds: int) -> "World":
        """As many requests as may are always inside; each takes a second of the server's time."""
        for _ in range(rounds):
            begun = [self.pace.enter(self._now) for _ in range(max(0, self.pace.free))]
            over = begun[self._at_once :] if self._refuses else []
            for one in over:
                self.pace.refused(one)
                self.pace.leave()
            self.refused += len(over)
            self.served += len(begun) - len(over)
            served = begun[: len(begun) - len(over)]
            self._now += max(1.0, len(served) / self._at_once)
            for one in served:
                self.pace.answered(one, self._now)
            for _ in served:
                self.pace.leave()
            self.limits.append(self.pace.limit)
        return self


def test_limit_rises_while_that_pays():
    assert World(64, at_once=1000).run(30).pace.limit == 64


def test_server_whose_quota_was_used_up_soon_gets_as_many_as_before():
    world = World(64, at_once=1000).run(30)
    for _ in range(20):  # it refuses all, each time that it is asked
        for begun in [world.pace.enter(0.0) for _ in range(world.pace.free)]:
            world.pace.refused(begun)
            world.pace.leave()

    assert world.pace.limit == 1
    assert world.run(30).pace.limit >= 48


@pytest.mark.parametrize("seed", range(12))
def test_limit_rises_though_answers_take_very_different_times(seed: int):
    """A few long ones among the first must not keep it low for good."""
    draw, pace, now = random.Random(seed), Pace(64), 0.0
    inside: list[tuple[float, int, Begun]] = []
    for number in range(10_000):
        while pace.free > 0:
            took = draw.lognormvariate(-0.35, 0.83)  # as much spread as the mean
            heappush(inside, (now + took, number + pace.inside, pace.enter(now)))
        now, _, begun = heappop(inside)
        pace.answered(begun, now)
        pace.leave()

    assert pace.limit >= 40


def test_limit_never_passes_the_capacity():
    assert max(World(10, at_once=1000).run(200).limits) == 10


@pytest.mark.parametrize("at_once", [4, 8, 16, 32])
def test_limit_stays_where_more_does_not_pay(at_once: int):
    limits = World(64, at_once).run(400).limits[100:]

    assert sum(limits) / len(limits) <= at_once * 1.35
    assert sum(limits) / len(limits) >= at_once * 0.9


@pytest.mark.parametrize("at_once", [1, 3, 8, 20])
def test_limit_settles_near_what_is_not_refused(at_once: int):
    world = World(64, at_once, refuses=True).run(400)
    limits = world.limits[100:]

    assert at_once * 0.8 <= sum(limits) / len(limits) <= at_once * 1.1 + 0.1
    assert world.refused <= max(20, 0.03 * world.served)


def test_limit_rises_again_when_the_server_can_do_more():
    world = World(64, 4, refuses=True).run(100)
    world._at_once = 1000

    assert world.run(600).pace.limit == 64


def test_refusals_of_one_moment_halve_once():
    pace = Pace(64)
    pace.limit = 32
    begun = [pace.enter(0.0) for _ in range(32)]
    for one in begun:
        pace.refused(one)

    assert pace.limit == 16


def test_few_that_are_too_many_are_fewer_then():
    pace = Pace(64)
    pace.limit = 32
    begun = [pace.enter(0.0) for _ in range(5)]
    pace.refused(begun[0])

    assert pace.limit == 4


def test_server_that_was_away_begins_with_one():
    pace = Pace(64)
    pace.collapse()

    assert pace.limit == 1


def turns(per_minute: int | None) -> list[float]:
    """When four requests may begin that all come at ten o'clock."""
    spacing = Spacing(per_minute)
    found = []
    for _ in range(4):
        found.append(max(10.0, spacing.next))
        spacing.take(10.0)
    return found


def test_turns_are_spread_over_the_minute():
    assert turns(120) == [10.0, 10.5, 11.0, 11.5]


def test_without_a_bound_each_turn_is_at_once():
    assert turns(None) == [10.0] * 4


async def test_requests_per_minute_are_kept():
    async with Stub() as stub, running(endpoint(stub, requests_per_minute=600)) as engine:
        await captioned(engine, 12)

    times = [call.at for call in (*stub.trials, *stub.calls)]
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    assert times[-1] - times[0] >= 1.0
    assert min(gaps) > 0.05


async def test_server_that_refuses_more_than_eight_at_once_gets_about_eight():
    async def behaviour(call: Call) -> Reply:
        if stub.inside > 8 and call.prompt != TRIAL:
            return error(429, "eight are enough", {"Retry-After": "0"})
        await asyncio.sleep(0.05)
        return completion()

    async with Stub(behaviour) as stub, running(endpoint(stub)) as engine:
        await captioned(engine, 200)
        stub.most_inside = 0
        begun = len(stub.calls)
        await captioned(engine, 200)

    refused = len(stub.calls) - begun - 200
    assert 6 <= engine._servers[0]._pace._good <= 10
    assert refused < 30
    assert 8 <= stub.most_inside <= 12


async def test_servers_share_the_work_by_what_they_can():
    def slow(seconds: float):
        async def behaviour(_: Call) -> Reply:
            await asyncio.sleep(seconds)
            return completion()

        return behaviour

    async with (
        Stub(slow(0.02)) as fast,
        Stub(slow(0.4)) as lame,
        running(endpoint(fast), endpoint(lame), capacity=16) as engine,
    ):
        await captioned(engine, 200)

    assert len(fast.calls) > 2 * len(lame.calls) > 0


async def test_work_is_cancelled_with_its_request():
    async def behaviour(call: Call) -> Reply:
        await asyncio.sleep(60 if call.prompt == "prompt 0" else 0)
        return completion()

    async with Stub(behaviour) as stub, running(endpoint(stub), capacity=1) as engine:
        first = asyncio.create_task(engine.caption(request(0)))
        second = asyncio.create_task(engine.caption(request(1)))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await asyncio.wait_for(second, 5)).text == "a caption"
