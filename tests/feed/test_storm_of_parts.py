"""Feeders and sinks come and go while shards grow, and Redis goes back or is emptied between parts.

Whatever comes of it: each sample has one row in the end, shards without a row being planned first.
"""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from caption_flow.errors import CaptionFlowError
from caption_flow.feed import look as looking
from caption_flow.feed.selection import EVERYTHING, Selection
from caption_flow.model import sample_id
from tests.feed.test_storm import SHARDS, Storm
from tests.made import PATIENCE
from tests.roles import Roles, kill

CHOICES = [EVERYTHING, EVERYTHING, Selection(share=0.5), Selection(limit=4)]


class Parts(Storm):
    """A storm in which captions become parts."""

    def __init__(self, roles: Roles, seed: int) -> None:
        super().__init__(roles, seed)
        self._sinks: list[asyncio.Task[None]] = []
        self._deeds += [self.caption, self.write, self.write, self.kill_sink]

    async def feed(self) -> None:
        if sum(not task.done() for task in self._tasks) < len(SHARDS):
            made = self._one(self._random.choice(CHOICES), self._random.choice([2, 5, 1000]))
            self._tasks.append(asyncio.create_task(made))

    async def write(self) -> None:
        if sum(not task.done() for task in self._sinks) < 2:
            sink = self._roles.sink(rows=2, exit_when_done=False)
            self._sinks.append(asyncio.create_task(sink.run()))

    async def kill_sink(self) -> None:
        if self._sinks:
            await kill(self._random.choice(self._sinks))

    async def finish(self) -> None:
        """Let one of each role end the job by themselves."""
        for task in (*self._sinks, *self._tasks):
            await kill(task)
        feeder = self._roles.feeder(self._tables, chunk_size=2)
        roles = [asyncio.create_task(role.run()) for role in (feeder, self._roles.sink(rows=3))]
        async with asyncio.timeout(PATIENCE):
            while not all(role.done() for role in roles):
                await self.caption()
                for expire in (self.expire, self._expire_others):
                    await expire()
                await asyncio.wait(roles, timeout=0.02)
        await asyncio.gather(*roles)

    async def _expire_others(self) -> None:
        for expire in (self._roles.expire_samples, self._roles.expire_captions):
            with suppress(Exception):  # nobody has claimed anything yet
                await expire()

    def wanted(self) -> list[str]:
        """Name all samples that there are by now."""
        rows = self._tables.rows.items()
        listed = [(shard, one.name) for shard, _ in rows for one in self._tables.names(shard, None)]
        return sorted(sample_id(shard, name) for shard, name in listed)


# Both mostly fail where a shard that has rows is planned with the fresh ones, where what is on its
# way is planned once more, and where nothing is planned after the fresh ones.
@pytest.mark.parametrize("seed", [7, 23])
async def test_each_sample_has_one_row(roles: Roles, seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looking, "OFFER_SAMPLES", 1)
    storm = Parts(roles, seed)
    with suppress(CaptionFlowError):
        await storm.run()

    await storm.finish()

    rows = Counter(id_ for part in roles.folder.published() for id_ in roles.folder.ids(part))
    assert [id_ for id_, times in rows.items() if times > 1] == []
    assert sorted(rows) == storm.wanted()
