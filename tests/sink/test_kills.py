"""Kills: two sinks on one folder, real processes, killed between each two of their steps."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from caption_flow.dataset.parts import PartFolder
from caption_flow.feed.look import look
from caption_flow.model import Chunk, Raw
from caption_flow.queue import keys
from caption_flow.queue.connect import connect
from tests.made import PATIENCE, jpeg
from tests.redis_server import RedisServer
from tests.roles import (
    AMPLE,
    JOB,
    Roles,
    until,
)
from tests.sink.crash import Snapshot
from tests.sink.dying import SENT, Order
from tests.sink.steps import STEPS

KILLS = 50  # at each step
ROWS = 4  # in a part
PARTS = 2  # a sink dies at its first or its second
STEPS_AT_MOST = 30  # before a kill at random: some parts' worth
STEP_SECONDS = 0.01  # about as long as a step takes
SAMPLES = 2000  # more than the sinks finish that are killed while Redis forgets
FORGETS = 10
ROOT = Path(__file__).parents[2]


class Nursery:
    """A process that brings up one sink at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.sink.dying"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    async def live(self, order: Order) -> int:
        """Let a sink live; answers how it ended."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(self._live, order)

    def _live(self, order: Order) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENCE)


@pytest.fixture(scope="module")
def nurseries() -> Iterator[list[Nursery]]:
    started = [Nursery(), Nursery()]
    yield started
    for nursery in started:
        nursery.close()


class Lives:
    """The sinks of one job, and what must be true when all of them are gone."""

    def __init__(self, roles: Roles, url: str, nurseries: Sequence[Nursery]) -> None:
        self._roles = roles
        self._url = url
        self._nurseries = nurseries
        self._numbers = count()

    def order(self, **how: object) -> Order:
        name = f"sink-{next(self._numbers)}"
        data_dir = str(self._roles.folder.path.parent)
        return Order(self._url, data_dir, JOB, name, **{"rows": ROWS} | how)  # type: ignore[arg-type]

    async def end(self, orders: Sequence[Order], *, expire: bool = True) -> None:
        """Let all these sinks be killed, two at a time; their leases may run out at once."""
        halves = zip(self._nurseries, (orders[::2], orders[1::2]), strict=True)
        await asyncio.gather(*(self._end(nursery, half, expire) for nursery, half in halves))

    async def _end(self, nursery: Nursery, orders: Sequence[Order], expire: bool) -> None:
        for order in orders:
            assert await nursery.live(order) == -signal.SIGKILL
            if expire:
                await self.expire(order.name)

    async def expire(self, sink: str | None = None) -> None:
        """Let the leases of a dead sink, or of all, run out at once."""
        client, stream = self._roles.client, self._roles.job.lane.captions
        if not await client.xinfo_groups(stream):  # it died before it had begun
            return
        rows = await client.xpending_range(stream, keys.SINKS, "-", "+", 100_000, sink)
        for holder in {row["consumer"] for row in rows}:
            ids = [row["message_id"] for row in rows if row["consumer"] == holder]
            await client.xclaim(stream, keys.SINKS, holder, 0, ids, idle=10**9, justid=True)

    async def finish(self) -> None:
        """Let two sinks live until the job is done."""
        lives = (nursery.live(self.order(rows=100)) for nursery in self._nurseries)
        assert await asyncio.gather(*lives) == [0, 0]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """In memory where there is such a place: what is killed here is not the machine."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def roles(roles: Roles, data_dir: Path) -> Roles:
    roles.folder = PartFolder(data_dir, JOB)
    return roles


@pytest.fixture
def lives(roles: Roles, redis_server: RedisServer, nurseries: list[Nursery]) -> Lives:
    return Lives(roles, redis_server.url, nurseries)


def moment(dice: random.Random) -> dict[str, float]:
    """Any moment within its first parts."""
    return {
        "steps": dice.randint(1, STEPS_AT_MOST),
        "seconds": dice.uniform(0, STEP_SECONDS),
    }


async def check(roles: Roles, samples: int) -> None:
    """All rows once, the books balanced, and nothing left over."""
    assert sorted(row["id"] for row in roles.rows()) == [name(n) for n in range(samples)]
    assert list(roles.folder.path.glob(".*")) == []
    assert await roles.job.parts() == set(roles.folder.published())
    counts = await roles.counts()
    assert (counts.in_flight, counts.done) == (0, True)
    assert await roles.captions() == []


def name(number: int) -> str:
    return f"{number:05}.jpg"


@pytest.mark.parametrize("step", [*STEPS, SENT])
async def test_sinks_killed_at_a_step_lose_and_double_nothing(
    roles: Roles, lives: Lives, step: str, record_property: Callable[[str, object], None]
):
    samples = KILLS * ROWS * PARTS
    await roles.finish(range(samples))
    begun = time.monotonic()

    await lives.end([lives.order(step=step, part=1 + n // 2 % PARTS) for n in range(KILLS)])
    await lives.finish()

    record_property("seconds", round(time.monotonic() - begun, 1))
    await check(roles, samples)


async def test_sinks_killed_at_any_moment_lose_and_double_nothing(roles: Roles, lives: Lives):
    dice = random.Random(7)
    samples = KILLS * ROWS * (1 + STEPS_AT_MOST // len(STEPS))
    await roles.finish(range(samples))

    await lives.end([lives.order(**moment(dice)) for _ in range(KILLS)])
    await lives.finish()

    await check(roles, samples)


# And the server forgets besides


Forget = Callable[[Roles, RedisServer, Snapshot], Awaitable[None]]


async def be_emptied(roles: Roles, server: RedisServer, _: Snapshot) -> None:
    """And be fed again with what is in no part just then."""
    server.cli("FLUSHALL")
    there = {row["id"] for row in roles.rows()}
    await feed(roles, [n for n in range(SAMPLES) if name(n) not in there])


async def be_set_back(roles: Roles, _: RedisServer, snapshot: Snapshot) -> None:
    snapshot.restore()
    await roles.client.connection_pool.disconnect()


@pytest.mark.parametrize("forget", [be_emptied, be_set_back])
async def test_sinks_killed_while_redis_forgets_lose_and_double_nothing(
    own_server: RedisServer, nurseries: list[Nursery], data_dir: Path, forget: Forget
):
    dice = random.Random(7)
    async with connect(own_server.url, role="test") as connections:
        roles, snapshot = Roles(connections, data_dir), Snapshot(own_server)
        lives = Lives(roles, own_server.url, nurseries)
        await feed(roles, range(SAMPLES))
        for _ in range(FORGETS):
            snapshot.take()
            orders = [lives.order(rows=10, **moment(dice)) for _ in range(4)]
            dying = asyncio.create_task(lives.end(orders, expire=False))
            enough = len(roles.folder.published()) + dice.randrange(4)
            await until(lambda: dying.done() or len(roles.folder.published()) >= enough)  # noqa: B023
            await forget(roles, own_server, snapshot)
            await dying
            await lives.expire()
        await lives.finish()

        await check(roles, SAMPLES)


async def feed(roles: Roles, numbers: Sequence[int]) -> None:
    """Plan, offer and caption what a feeder finds missing."""
    queue = roles.feed_queue()
    chunk = Chunk(".:0", "pictures", ".", tuple(map(name, numbers)))
    await queue.plan(await queue.position(), "end", chunk, backlog=100, done=True)
    lease = await queue.claim_chunk()
    assert lease is not None
    raws = (Raw(name(n), f"/{name(n)}", jpeg(n)) for n in numbers)
    await queue.offer(lease, [look(raw, chunk, roles.told.images) for raw in raws], AMPLE)
    assert await roles.finish_waiting() == len(numbers)
