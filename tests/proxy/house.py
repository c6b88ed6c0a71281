"""A job with a proxy before it, made in a few words."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant, digest
from caption_flow.proxy.admission.admission import token_admission
from caption_flow.proxy.ports import Admission
from caption_flow.proxy.server import Proxy, proxy
from caption_flow.proxy.supply import Supply
from caption_flow.proxy.watching.passing import Read
from caption_flow.queue import keys
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob
from tests.made import LEASE, jpeg
from tests.proxy.client import RawClient
from tests.roles import Roles, until

ANN, BOB = "token of ann", "token of bob"
BRISK = ProxyConfig(resume_seconds=0.3)
PATIENT = ProxyConfig(resume_seconds=30.0)


def grant(name: str, token: str, **limits: Any) -> Grant:
    return Grant(name, "worker", digest(token), **limits)


GRANTS = (grant("ann", ANN), grant("bob", BOB))


class House:
    """One proxy of a job; its doors are a URL."""

    def __init__(self, door: Proxy, port: int, roles: Roles) -> None:
        self.door = door
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"
        self.roles = roles

    @property
    def told(self) -> Broadcast:
        return self.roles.told

    async def worker(self, token: str = ANN, **who: Any) -> RawClient:
        """Come in as a worker that serves all stages."""
        client = await RawClient.enter(self.url, token, **who)
        await client.serve()
        return client

    async def offer(self, count: int, *, side: int = 8, first: int = 0) -> None:
        await self.roles.offer([jpeg(first + n, side) for n in range(count)], first=first)

    async def has_given_up(self, *, left: int = 1) -> None:
        """Wait until only so many connections are left, and nobody is waited for who broke one."""
        door = self.door
        await until(lambda: len(door._sessions) == left and not door._common._later)

    async def holders(self, stage: str = "caption") -> list[str]:
        """Who holds the samples of a stage, one name for each."""
        stream = self.roles.job.lane.samples(stage)
        rows = await self.roles.client.xpending_range(stream, keys.WORKERS, "-", "+", 10_000)
        return [row["consumer"].decode() for row in rows]

    async def attempts(self, stage: str = "caption") -> list[int]:
        stream = self.roles.job.lane.samples(stage)
        rows = await self.roles.client.xpending_range(stream, keys.WORKERS, "-", "+", 10_000)
        return [row["times_delivered"] for row in rows]


async def publish(roles: Roles, version: int = 1) -> None:
    queue = roles.feed_queue()
    await queue.publish(roles.told.encode(), "pictures", least=version)


@asynccontextmanager
async def house(
    connections: Connections,
    roles: Roles,
    *,
    config: ProxyConfig = BRISK,
    admission: Admission | None = None,
    supply: Supply | None = None,
    read: Read | None = None,
) -> AsyncIterator[House]:
    """Open a proxy; another one of the same job is another call."""
    supply = supply or Supply(folder=roles.folder)
    async with AsyncExitStack() as stack:
        job = RedisJob(connections, roles.job.job)
        if admission is None:
            admission = await stack.enter_async_context(token_admission(job, GRANTS, config))
        opened = proxy(
            job,
            admission,
            config,
            lease_seconds=LEASE,
            supply=supply,
            read=read,
        )
        door = await stack.enter_async_context(opened)
        port = await stack.enter_async_context(door.listening("127.0.0.1", 0))
        yield House(door, port, roles)
