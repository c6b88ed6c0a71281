"""Those who look at a job at once share one look."""

import asyncio

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.proxy.watching.glance import Glance


async def test_all_who_look_at_once_share_a_look():
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return looks

    glance = Glance(look, seconds=1000.0)
    assert await asyncio.gather(*(glance.get() for _ in range(100))) == [1] * 100


async def test_look_in_vain_is_shared_too():
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        raise QueueUnreachable("No answer.")

    glance = Glance(look, seconds=1000.0)
    told = await asyncio.gather(*(glance.get() for _ in range(9)), return_exceptions=True)

    assert looks == 1
    assert all(isinstance(one, QueueUnreachable) for one in told)


async def test_later_look_is_another():
    found = iter(range(9))

    async def look() -> int:
        return next(found)

    glance = Glance(look, seconds=0.0)
    assert [await glance.get() for _ in range(3)] == [0, 1, 2]


async def test_look_goes_on_though_who_asked_has_gone():
    looks = 0
    begin = asyncio.Event()

    async def look() -> int:
        nonlocal looks
        looks += 1
        await begin.wait()
        return looks

    glance = Glance(look, seconds=1000.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await glance.get()
    begin.set()

    assert await glance.get() == 1
    assert looks == 1


async def test_look_ends_with_what_it_is_for():
    looking = asyncio.Event()
    ended = asyncio.Event()

    async def look() -> None:
        looking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    glance = Glance(look, seconds=1000.0)
    asking = asyncio.create_task(glance.get())
    await looking.wait()
    glance.leave()

    await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking
