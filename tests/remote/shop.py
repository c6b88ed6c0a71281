"""The job of the queue's tests, whose workers come through a proxy.

The proxy believes what it is told of samples here; tests/proxy/ has what it does not believe.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from caption_flow.config.proxy import ProxyConfig
from caption_flow.config.vllm import Stage
from caption_flow.grants import Grant, digest
from caption_flow.model import Failure, Lease, Outcomes
from caption_flow.proxy.desks import judge
from caption_flow.proxy.server import proxy
from caption_flow.queue import veil
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.feed import RemoteFeedQueue
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from tests.made import settings
from tests.proxy.listed import ListedTokens
from tests.queue.shop import LEASE_SECONDS, Shop
from tests.roles import until

CONTRIBUTORS = ("someone", "ada")
FEEDERS = 6  # that a test may have


class RemoteShop(Shop):
    """Makes workers that come through a proxy of its own."""

    def __init__(self, connections: Connections, *stages: str) -> None:
        super().__init__(connections, *stages)
        self._stack = AsyncExitStack()
        self.url = ""

    async def open(self) -> None:
        told = settings(
            stages=tuple(
                Stage(name=name, model="", prompts=("Describe.",)) for name in self.stages
            ),
            lease_seconds=LEASE_SECONDS,
        )
        await self.feeder("publisher").publish(told.encode(), "data")
        grants = [Grant(name, "worker", digest(f"token-of-{name}")) for name in CONTRIBUTORS]
        grants.append(Grant("dora", "feeder", digest("token-of-dora")))
        door = await self._stack.enter_async_context(
            proxy(
                RedisJob(self.job.connections, self.job.job),
                ListedTokens(grants),
                ProxyConfig(),
                lease_seconds=LEASE_SECONDS,
            )
        )
        port = await self._stack.enter_async_context(door.listening("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{port}"

    async def close(self) -> None:
        await self._stack.aclose()

    async def worker(  # type: ignore[override]
        self,
        name: str = "worker",
        contributor: str = "",
        *,
        order: Sequence[str] = (),
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> RemoteWorkQueue:
        token = f"token-of-{contributor or 'someone'}"
        entrance = Entrance(self.url, token, role="worker", member=name.replace(" ", "-"))
        link = await self._stack.enter_async_context(Link(entrance))
        worker = WholeClaims(link)
        await worker.serve(
            order or self.stages, only=only, former=former, lease_seconds=LEASE_SECONDS
        )
        await until(lambda: worker._channel.open)
        return worker

    async def dump(self) -> dict[str, Any]:
        found = await super().dump()
        found.pop(self.job.keys.members, None)
        return found


class RemoteFeedShop(RemoteShop):
    """Makes feeders that come through a proxy of its own, too."""

    async def open(self) -> None:
        await super().open()
        self._feeders: dict[str, RemoteFeedQueue] = {}
        self._links = [
            await self._stack.enter_async_context(
                Link(Entrance(self.url, "token-of-dora", role="feeder", member=f"feed-{number}"))
            )
            for number in range(FEEDERS)
        ]
        for link in self._links:
            await until(lambda link=link: link.welcome.ticket)

    def feeder(self, name: str = "feeder", host: str = "") -> RemoteFeedQueue:  # type: ignore[override]  # noqa: ARG002
        if not hasattr(self, "_feeders"):  # the settings are published before there is a proxy
            return super().feeder(name)  # type: ignore[return-value]
        if name not in self._feeders:
            self._feeders[name] = RemoteFeedQueue(self._links[len(self._feeders)])
        return self._feeders[name]

    async def worker(self, *names: str, **options: Any) -> RedisWorkQueue:  # type: ignore[override]
        return await Shop.worker(self, *names, **options)


class WholeClaims(RemoteWorkQueue):
    """Claims all that there is, as one answer of Redis gives it."""

    async def claim(self, count: int) -> list[Lease]:
        found: list[Lease] = []
        while len(found) < count and (more := await super().claim(count - len(found))):
            found += more
        return found


def believe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the proxy take what it is told as it is, and tell what it knows."""

    def outcomes(made: Outcomes, *_: object) -> Outcomes:
        return made

    def failure(record: bytes, *_: object) -> Failure:
        return msgspec.json.decode(record, type=Failure)

    monkeypatch.setattr(judge, "outcomes", outcomes)
    monkeypatch.setattr(judge, "failure", failure)
    monkeypatch.setattr(judge, "suspicion", failure)
    monkeypatch.setattr(veil, "outcomes", tuple)
    monkeypatch.setattr(veil, "failures", lambda listed, _: listed)
