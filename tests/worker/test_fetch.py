"""Fetcher: images come in the order of the claims, and a bounded number of bytes ahead."""

from collections.abc import AsyncIterator, Sequence

import pytest

from caption_flow.lifecycle import Drain
from caption_flow.model import EntryId, Lease
from caption_flow.patience import Patience
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.worker import fetch, held
from caption_flow.worker.fetch import Fetcher
from caption_flow.worker.held import Held
from tests.made import jpeg
from tests.roles import Roles, running, until

IMAGES = [jpeg(n) for n in range(30)]


class Watched(RedisWorkQueue):
    """Remembers how many images were asked for at once."""

    groups: list[int]

    async def images(self, leases: Sequence[Lease]) -> dict[EntryId, bytes]:
        self.groups.append(len(leases))
        return await super().images(leases)


@pytest.fixture
async def queue(roles: Roles) -> Watched:
    queue = Watched(roles.job, name="watched")
    queue.groups = []
    await queue.serve(["caption"], lease_seconds=60)
    await roles.offer(IMAGES)
    return queue


async def pulled(
    images: AsyncIterator[tuple[Lease, bytes | None]],
    into: list[tuple[Lease, bytes | None]],
) -> None:
    async for pair in images:
        into += [pair]


async def test_images_come_with_their_samples_in_order(queue: Watched):
    leases = await queue.claim(30)
    fetcher = Fetcher(queue, Patience(Drain()), Held())
    fetcher.want(leases)
    got: list[tuple[Lease, bytes | None]] = []
    async with running(pulled(fetcher.fetched(), got)):
        await until(lambda: len(got) == 30)

    assert got == list(zip(leases, IMAGES, strict=True))


async def test_images_are_asked_for_in_groups(queue: Watched):
    fetcher = Fetcher(queue, Patience(Drain()), Held())
    fetcher.want(await queue.claim(30))
    got: list[tuple[Lease, bytes | None]] = []
    async with running(pulled(fetcher.fetched(), got)):
        await until(lambda: len(got) == 30)

    assert queue.groups == [8, 8, 8, 6]


async def test_a_group_is_bounded_by_its_bytes(queue: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "GROUP_BYTES", len(IMAGES[0]) + len(IMAGES[1]))
    fetcher = Fetcher(queue, Patience(Drain()), Held())
    fetcher.want(await queue.claim(4))
    got: list[tuple[Lease, bytes | None]] = []
    async with running(pulled(fetcher.fetched(), got)):
        await until(lambda: len(got) == 4)

    assert max(queue.groups) == 2


async def test_no_more_is_fetched_while_enough_is_held(
    queue: Watched, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held, "HELD_BYTES", 1)
    monkeypatch.setattr(fetch, "FETCH_SAMPLES", 2)
    images = Held()
    fetcher = Fetcher(queue, Patience(Drain()), images)
    fetcher.want(await queue.claim(30))
    got: list[tuple[Lease, bytes | None]] = []
    async with running(pulled(fetcher.fetched(), got)):
        for count in range(2, 31, 2):
            await until(lambda count=count: len(got) == count)  # type: ignore[misc]
            assert len(queue.groups) == count // 2
            images.drop(got[-1][0].entry)
            assert len(queue.groups) == count // 2  # one of two is held still
            images.drop(got[-2][0].entry)

    assert len(got) == 30


async def test_an_image_that_is_gone_is_none(roles: Roles, queue: Watched):
    [lease] = await queue.claim(1)
    await roles.client.xdel(roles.job.lane.images, lease.image)
    fetcher = Fetcher(queue, Patience(Drain()), Held())
    fetcher.want([lease])

    assert await anext(fetcher.fetched()) == (lease, None)
