"""Feeders of several selections come and go while shards change, and Redis goes back or is emptied.

Whatever comes of it: nothing is fed twice, nothing that was planned is lost, and feeding ends.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from caption_flow.codec import records
from caption_flow.dataset.source import ShardChanged
from caption_flow.errors import CaptionFlowError
from caption_flow.feed import look as looking
from caption_flow.feed.selection import Selection
from caption_flow.model import Listed, Raw
from caption_flow.queue.ports import Budget
from tests.feed.changing import Table
from tests.feed.test_set_back import Saved
from tests.made import PATIENCE, outcome
from tests.queue.ledger import read_ledger
from tests.roles import Roles, kill

SHARDS = "abc"
ROWS = 5  # of each shard at first
STEPS = 25
SELECTIONS = [
    Selection(),
    Selection(shards=("a",)),
    Selection(shards=("b", "c")),
    Selection(limit=4),
    Selection(share=0.5),
]


class Tables:
    """Some shards, each as in `changing`."""

    dataset = "pictures"

    def __init__(self) -> None:
        self.rows = dict.fromkeys(SHARDS, ROWS)

    def _table(self, shard: str) -> Table:
        return Table(range(self.rows[shard]))

    def shards(self, start: str | None = None) -> Iterator[str]:
        yield from (shard for shard in SHARDS if shard >= (start or ""))

    def fingerprint(self, shard: str) -> str:
        return self._table(shard).fingerprint(shard)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        return self._table(shard).names(shard, after)

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        return self._table(shard).samples(shard, wanted, fingerprint)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        del shard, wanted
        return None


class Storm:
    """One run; the seed says what happens."""

    def __init__(self, roles: Roles, seed: int) -> None:
        self._roles = roles
        self._random = random.Random(seed)
        self._tables = Tables()
        self._tasks: list[asyncio.Task[None]] = []
        self._saved: Saved | None = None
        self.finished: set[Selection] = set()  # by a feeder that came to its end
        accident = [self.fall_back, self.empty, self.rest][seed % 3]
        self._deeds = [self.feed, self.feed, self.change, self.kill, self.caption, self.expire]
        self._deeds += [accident, self.rest, self.rest]

    async def run(self) -> None:
        for _ in range(STEPS):
            await self._random.choice(self._deeds)()
            await asyncio.sleep(self._random.random() * 0.03)
        for task in self._tasks:
            await kill(task)

    async def feed(self) -> None:
        if sum(not task.done() for task in self._tasks) < len(SHARDS):
            made = self._one(self._random.choice(SELECTIONS), self._random.choice([2, 5, 1000]))
            self._tasks.append(asyncio.create_task(made))

    async def _one(self, selection: Selection, samples: int) -> None:
        size, budget = self._random.choice([1, 2, 3]), Budget(bytes=1 << 30, samples=samples)
        feeder = self._roles.feeder(
            self._tables, chunk_size=size, selection=selection, budget=budget
        )
        with suppress(ShardChanged):  # too often
            await feeder.run()
            self.finished.add(selection)

    async def change(self) -> None:
        self._tables.rows[self._random.choice(SHARDS)] += 1

    async def kill(self) -> None:
        if self._tasks:
            await kill(self._random.choice(self._tasks))

    async def caption(self) -> None:
        queue = await self._roles.work_queue()
        with suppress(CaptionFlowError):
            leases = await queue.claim(2)
            await queue.complete([(lease, (outcome(),)) for lease in leases])

    async def expire(self) -> None:
        with suppress(Exception):  # nobody has claimed anything yet
            await self._roles.expire_chunks()

    async def fall_back(self) -> None:
        if self._saved is None:
            self._saved = Saved(self._roles)
            await self._saved.save()
        else:
            await self._saved.bring_back()
            self._saved = None
            self.finished.clear()

    async def empty(self) -> None:
        await self._roles.client.flushall()
        self.finished.clear()

    async def rest(self) -> None:
        pass

    async def settle(self) -> None:
        """Let a feeder of little end what is left; no lease of the dead stands in its way."""
        task = asyncio.create_task(self._one(Selection(shards=("c",), share=0.5), 1000))
        async with asyncio.timeout(PATIENCE):
            while not task.done():
                await self.expire()
                await asyncio.wait({task}, timeout=0.2)
        await task

    async def fed(self) -> list[str]:
        lane = self._roles.job.lane
        streams = [lane.samples("caption"), lane.captions]
        entries = [one for at in streams for one in await self._roles.client.xrange(at)]
        return [records.sample_from(entry.decode(), fields).id for entry, fields in entries]


@pytest.mark.parametrize("seed", [1, 2, 3, 54])
async def test_nothing_is_fed_twice_or_lost(
    roles: Roles, seed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(looking, "OFFER_SAMPLES", 1)
    storm = Storm(roles, seed)
    await storm.run()
    wanted = [one for one in storm.finished if one.limit is None]

    await storm.settle()

    fed = Counter(await storm.fed())
    assert [id_ for id_, times in fed.items() if times > 1] == []
    first = [(shard, f"{shard}/{row}") for shard in SHARDS for row in range(ROWS)]
    for selection in wanted:
        for shard, id_ in first:
            admitted = selection.admits_shard(shard) and selection.admits(id_)
            assert not admitted or id_ in fed
    (await read_ledger(roles.job, ("caption",))).check()
