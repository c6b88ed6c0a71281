"""A Redis that goes back a second forgets generations; what they were to plan is planned again."""

from collections.abc import Sequence
from pathlib import Path

from caption_flow.feed.look import offers
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Budget
from tests.feed.planning import names, standing_planner
from tests.made import LEASE, folder_source, pictures
from tests.roles import (
    AMPLE,
    Roles,
    ends,
    running,
    until,
)

_DUMP = """
local held = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  held[#held + 1] = key
  held[#held + 1] = redis.call('DUMP', key)
end
return held
"""


class Saved:
    """All that a server holds now, to be brought back."""

    def __init__(self, roles: Roles) -> None:
        self._client = roles.client
        self._held: dict[bytes, bytes] = {}

    async def save(self) -> None:
        held = await self._client.eval(_DUMP, 0)
        # A server that was started anew says so by its own name; this one cannot.
        pairs = zip(held[::2], held[1::2], strict=True)
        self._held = {key: value for key, value in pairs if not key.endswith(b":epoch")}

    async def bring_back(self) -> None:
        pipe = self._client.pipeline(transaction=True)
        pipe.flushall()
        for key, value in self._held.items():
            pipe.restore(key, 0, value)
        await pipe.execute()


async def one_generation(roles: Roles, root: Path) -> Saved:
    """Feed three pictures; answers how the server stands then."""
    await ends(roles.feeder(folder_source(pictures(root, range(3)))).run())
    saved = Saved(roles)
    await saved.save()
    return saved


async def test_generation_that_was_forgotten_half_way_is_planned_again(
    roles: Roles, tmp_path: Path
):
    root = tmp_path / "in"
    saved = await one_generation(roles, root)
    pictures(root, [3, 4])
    async with standing_planner(roles, root) as go_on:
        await saved.bring_back()
        go_on.set()

    assert await roles.planned() == names(3, 4)


async def test_generation_that_was_forgotten_when_it_was_planned_is_planned_again(
    roles: Roles, tmp_path: Path
):
    root = tmp_path / "in"
    saved = await one_generation(roles, root)
    pictures(root, [3, 4])
    few = Budget(bytes=1 << 30, samples=3)
    async with running(roles.feeder(folder_source(root), budget=few).run()) as feeding:
        await until(lambda: _is_planned(roles, 5))
        await saved.bring_back()
        await roles.finish_waiting()
        async with running(roles.sink(rows=3).run()):
            await ends(feeding)

    assert await roles.waiting() == names(3, 4)


async def _is_planned(roles: Roles, count: int) -> bool:
    counts = await roles.counts()
    return counts.plan_done and counts.planned == count


class Falling(RedisFeedQueue):
    """A queue whose server goes back once, between two looks at what is on its way."""

    saved: Saved | None = None

    async def sample_streams(self, stages: Sequence[str]) -> list[str]:
        saved, self.saved = self.saved, None
        if saved is not None:
            await saved.bring_back()
        return await super().sample_streams(stages)


async def test_what_goes_back_while_it_is_looked_for_is_known(roles: Roles, tmp_path: Path):
    source = folder_source(pictures(tmp_path / "in", range(3)))
    await ends(roles.planner(source).run())
    await roles.planner(source)._begin()
    queue = Falling(roles.job, name="falling", stages=["caption"], lease_seconds=LEASE)
    queue.saved = Saved(roles)
    await queue.saved.save()
    lease = await queue.claim_chunk()
    assert lease is not None
    [batch] = offers(source, lease.chunk, lease.chunk.listed(), roles.told.images)
    await queue.offer(lease, batch, AMPLE)

    await ends(roles.planner(source, queue=queue).run())

    assert await roles.planned() == names(0, 1, 2)
