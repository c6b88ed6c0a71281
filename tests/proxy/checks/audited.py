"""What tests of checks share: a job with a proxy that checks, and who works for it."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from caption_flow.config.proxy import ChecksConfig, ProxyConfig
from caption_flow.queue.checks import RedisChecks
from caption_flow.queue.connect import Connections
from caption_flow.queue.contributors import RedisContributors
from caption_flow.wire.frames import (
    SampleSent,
)
from tests.made import jpeg
from tests.proxy.client import RawClient
from tests.proxy.house import ANN, BOB, House, grant, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles

TESS = "token of tess"
GRANTS = (grant("ann", ANN), grant("bob", BOB), grant("tess", TESS, trusted=True))
KNOWN = 60


def truth(image: bytes) -> str:
    """What an honest worker says of an image: words that no other image has."""
    digest = hashlib.sha256(image).hexdigest()
    return " ".join(digest[n : n + 8] for n in range(0, 48, 8))


def nonsense(_image: bytes) -> str:
    return "nothing of what it shows"


def known_folder(root: Path, count: int = KNOWN) -> str:
    folder = root / "known"
    folder.mkdir()
    images = {f"k{n}.jpg": jpeg(100_000 + n) for n in range(count)}
    for name, image in images.items():
        (folder / name).write_bytes(image)
    told = {name: truth(image) for name, image in images.items()}
    (folder / "captions.json").write_text(json.dumps(told))
    return str(folder)


class Audited:
    """A job with a proxy that checks, and who works for it."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.redis = RedisChecks(home.roles.job)

    async def work(
        self, token: str, say: Callable[[bytes], str], until_: int, *, credit: int = 8
    ) -> int:
        """Caption until so many samples are completed; answers how many were taken."""
        client = await self.home.worker(token, member=f"m{random.randrange(10**9)}")
        await client.credit(credit, 1 << 20)
        taken = 0
        while (await self.home.roles.counts()).completed < until_:
            try:
                async with asyncio.timeout(0.2):
                    sent = await client.hear(SampleSent)
            except TimeoutError:
                continue
            taken += await self.answer(client, sent, say)
            await client.credit(1, 1 << 12)
        await client.leave()
        return taken

    async def answer(self, client: RawClient, sent: SampleSent, say: Callable[[bytes], str]) -> int:
        told, image = await client.image()
        assert told.entry == sent.entry
        outputs = {"captions": [say(image)]}
        return sum(await client.complete(self.home.told, [sent], outputs=outputs))

    async def check_all(self) -> None:
        """Let the trusted worker make again what waits."""
        client = await self.home.worker(TESS)
        await client.credit(8, 1 << 20)
        while await self.waiting():
            sent = await client.hear(SampleSent)
            await self.answer(client, sent, truth)
            await client.credit(1, 1 << 12)
        await client.leave()

    async def waiting(self) -> int:
        return await self.home.roles.client.xlen(self.home.roles.job.lane.checks("caption"))

    async def figures(self, name: str) -> tuple[int, int]:
        found = {c.name: c for c in await self.contributors()}
        return (found[name].checked, found[name].agreed) if name in found else (0, 0)

    async def contributors(self):
        job = self.home.roles.job
        return await RedisContributors(job.connections, job.job).contributors()


@pytest.fixture
async def open_(connections: Connections, roles: Roles) -> AsyncIterator[Callable[..., object]]:
    """Opens proxies that check."""
    await publish(roles)
    opened = []

    async def open_one(resume_seconds: float = 0.3, **checks: object) -> Audited:
        config = ProxyConfig(resume_seconds=resume_seconds, checks=ChecksConfig(**checks))
        context = house(connections, roles, config=config, admission=ListedTokens(GRANTS))
        opened.append(context)
        return Audited(await context.__aenter__())

    yield open_one
    for context in reversed(opened):
        await context.__aexit__(None, None, None)


async def only_samples_of_the_job(home: House, count: int) -> None:
    captions = await home.roles.captions()
    assert sorted(c.sample.id for c in captions) == [f"{n:05}.jpg" for n in range(count)]
    assert {c.sample.chunk for c in captions} != {""}
    assert await home.holders() == []
    counts = await home.roles.counts()
    assert (counts.completed, counts.dead, counts.in_flight) == (count, 0, count)
    assert counts.bytes_in_flight == 0
    assert not await home.roles.client.exists(home.roles.job.lane.samples("caption") + "x")
    assert await home.roles.client.xlen(home.roles.job.lane.images) == 0


async def entries(home: House):
    return await home.roles.client.xrange(home.roles.job.lane.samples("caption"))
