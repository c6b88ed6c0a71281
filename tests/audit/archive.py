"""A job with contributors, of whom one is revoked; and ends to which who revokes may come."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from caption_flow.audit.revoke import Revocation, Revoked
from caption_flow.model import Credit, Failure, Tally
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.ports.recall import Begun, Rewrite
from caption_flow.queue.recall import RedisRecall
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.sink.recovery import Recovery
from tests.audit.office import CHUNK, Office
from tests.made import LEASE, outcome

EARLY, LATE = 1_000.0, 2_000.0  # when captions were made


class Crash(Exception):
    """The process is gone; nothing after this happens."""


class MortalRecall(RedisRecall):
    """Comes to its end around what it asks of Redis."""

    def __init__(self, office: Office, step: str = "") -> None:
        stages = [stage.name for stage in office.roles.told.stages]
        super().__init__(office.roles.job, stages=stages)
        self._step = step

    def _die(self, step: str) -> None:
        if step == self._step:
            raise Crash

    async def recall(self, *about: Any) -> int:
        self._die("before the samples on their way")
        done = await super().recall(*about)
        self._die("after the samples on their way")
        return done

    async def begin_rewrite(
        self, part: str, seen: bytes, rewrite: Rewrite, ids: Iterable[str], *, most: int
    ) -> Begun:
        self._die("before a rewriting is written down")
        done = await super().begin_rewrite(part, seen, rewrite, ids, most=most)
        self._die("after a rewriting is written down")
        return done

    async def finish_rewrite(self, part: str, token: str) -> bool:
        self._die("after a file is replaced")
        done = await super().finish_rewrite(part, token)
        self._die("after a rewriting is done")
        return done


STEPS = (
    *("before the samples on their way", "after the samples on their way"),
    *("before a rewriting is written down", "after a rewriting is written down"),
    *("after a file is replaced", "after a rewriting is done"),
)


class Archive:
    """What contributors have made of the pictures of an office."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.roles = office.roles

    # Steps of the job

    async def worker(self, name: str, **which: Any) -> RedisWorkQueue:
        queue = RedisWorkQueue(self.roles.job, name=f"{name}~h.0", contributor=name)
        stages = [stage.name for stage in self.roles.told.stages]
        await queue.serve(stages, lease_seconds=LEASE, **which)
        return queue

    async def caption(self, name: str, count: int, *, at: float = EARLY, **which: Any) -> None:
        """Let a contributor's worker pass that many samples through one stage each."""
        queue = await self.worker(name, **which)
        for _ in range(count):
            [lease] = await queue.claim(1)
            made = replace(outcome(stage=lease.stage), contributor=name, captioned_at=at)
            assert await queue.complete([(lease, (made,))]) == [True]

    async def give_up(self, name: str, count: int) -> None:
        queue = await self.worker(name)
        leases = [lease for _ in range(count) for lease in await queue.claim(1)]
        failure = Failure("engine", "no answer", LATE, "caption")
        assert all(await queue.fail([(lease, failure) for lease in leases]))

    async def all_offered(self) -> None:
        await self.office.plan()
        await self.office.offer(5)

    async def write(self, rows: int = 1000) -> None:
        """Let a sink write what is captioned, to parts of so many rows."""
        for _ in range(await self.roles.client.xlen(self.office.lane.captions) // rows or 1):
            await self.office.part(rows)

    async def in_the_middle(self) -> None:
        """Rows in two parts, captions, one of them held, a dead letter, and what is untouched."""
        await self.all_offered()
        await self.caption("ada", 3)
        await self.caption("bob", 3)
        await self.caption("ada", 2, at=LATE)
        await self.write(4)
        await self.caption("ada", 2)
        await self.caption("bob", 1)
        await self.roles.caption_queue().read(1)
        await self.give_up("ada", 1)
        await self.give_up("bob", 1)

    # Who revokes

    def revocation(self, name: str = "ada", *, since: float = 0.0, step: str = "") -> Revocation:
        folder = self.roles.folder
        return Revocation(
            MortalRecall(self.office, step),
            RedisDeadLetters(self.roles.job.connections, self.roles.job.job),
            folder,
            Recovery(self.roles.caption_queue(), folder),
            contributor=name,
            since=since,
            chunk_size=CHUNK,
        )

    async def revoke(self, name: str = "ada", **how: Any) -> Revoked:
        async with asyncio.timeout(20):
            return await self.revocation(name, **how).run()

    async def die_at(self, step: str) -> None:
        with suppress(Crash):
            await self.revoke(step=step)
            raise AssertionError(step)

    # What is so

    def makers(self) -> Counter[str]:
        return Counter(stage["contributor"] or "" for row in self.rows() for stage in row["stages"])

    def rows(self) -> list[dict[str, Any]]:
        return self.roles.rows()

    def tally(self) -> Tally:
        total: Tally = {}
        for part in self.roles.folder.published():
            for name, credit in self.roles.folder.tally(part).items():
                total[name] = total.get(name, Credit()) + credit
        return total

    async def counted(self) -> Tally:
        board = RedisContributors(self.roles.job.connections, self.roles.job.job)
        return {one.name: one.credit for one in await board.contributors() if one.credit.captions}

    async def check(self) -> None:
        """The books balance, and the counters are what the rows say."""
        found = await self.office.look()
        assert found.balanced, found
        assert await self.counted() == self.tally()
        assert list(self.roles.folder.path.glob(".*.rewrite")) == []
        assert await self.roles.client.hlen(self.office.lane.rewrites) == 0

    async def finish(self) -> None:
        """Let the others caption what is left; each sample stands once, and none is ada's."""
        dead = set(await self.roles.dead())
        await self.office.finish()
        await self.check()
        assert self.office.captioned() == sorted(set(self.office.ids()) - dead)
        assert "ada" not in self.makers()
        assert (await self.roles.counts()).done
