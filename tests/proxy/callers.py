"""Clients of each role, made in a few words."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant, Role, digest
from caption_flow.model import Chunk, Sample, sample_id
from caption_flow.proxy.server import DESKS
from caption_flow.proxy.supply import Supply
from caption_flow.queue.connect import Connections
from caption_flow.queue.ports import Budget
from caption_flow.wire import feeding
from caption_flow.wire.frames import (
    pack,
)
from tests.made import jpeg
from tests.proxy.client import RawClient
from tests.proxy.house import BRISK, PATIENT, House, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles, until

TOKENS: dict[Role, str] = {role: f"token-of-a-{role}" for role in DESKS}
GRANTS = [Grant(f"the {role}", role, digest(token)) for role, token in TOKENS.items()]
SMALL = Supply(most_image=1 << 16, budget=Budget(bytes=1 << 20, samples=6))
SHA = "0" * 64


async def enter(home: House, role: Role, *, token: str = "", **who: Any) -> RawClient:
    return await RawClient.enter(home.url, token or TOKENS[role], role=role, **who)


async def put(client: RawClient, kind: type[Any], *fields: Any, answer: Any, payload: bytes) -> Any:
    """Make a request that has a payload."""
    id_ = next(client.ids)
    await client.connection.send(pack(kind(id_, *fields)) + payload)
    return await client.hear(answer)


def chunk_of(count: int, **changes: Any) -> Chunk:
    names = tuple(f"{number:05}.jpg" for number in range(count))
    return replace(Chunk("c", "pictures", ".", names), **changes)


def said_of(chunk: Chunk, name: str, image: bytes) -> Sample:
    id_ = sample_id(chunk.shard, name)
    return Sample(
        *(id_, chunk.dataset, chunk.shard, chunk.id, id_, 8, 8, "jpeg", len(image)),
        hashlib.sha256(image).hexdigest(),
    )


class Feeding:
    """A feeder with a chunk of its own."""

    def __init__(self, client: RawClient, chunk: Chunk, entry: str) -> None:
        self.client = client
        self.chunk = chunk
        self.entry = entry

    @classmethod
    async def begin(cls, home: House, count: int = 3) -> "Feeding":
        client = await enter(home, "feeder")
        chunk = chunk_of(count)
        plan = ("", "1", 16, False)
        await put(
            client, feeding.Plan, *plan, answer=feeding.Planned, payload=records.encode(chunk)
        )
        sent = await client.ask(feeding.Claim, (), answer=feeding.ChunkSent)
        return cls(client, chunk, sent.entry)

    def parts(self, first: int, count: int) -> list[tuple[bytes, bytes, bytes]]:
        names = self.chunk.names[first : first + count]
        images = [jpeg(first + number) for number in range(count)]
        return [
            (records.encode(said_of(self.chunk, name, image)), image, b"")
            for name, image in zip(names, images, strict=True)
        ]

    async def say(
        self, parts: list[tuple[bytes, bytes, bytes]], *, cursor: int = 0, spare: bytes = b""
    ) -> None:
        sizes = tuple(tuple(map(len, part)) for part in parts)
        most = (self.entry, cursor, 1 << 40, 1 << 40)
        frame = feeding.OfferMade(next(self.client.ids), *most, sizes)
        payload = b"".join(piece for part in parts for piece in part)
        await self.client.connection.send(pack(frame) + payload + spare)

    async def offer(self, first: int, count: int) -> feeding.Offered:
        await self.say(self.parts(first, count), cursor=first)
        return await self.client.hear(feeding.Offered)


async def claimed(client: RawClient) -> feeding.ChunkSent:
    """Claim until there is something to claim."""
    found: list[feeding.ChunkSent] = []

    async def ask() -> bool:
        found.append(await client.ask(feeding.Claim, (), answer=feeding.ChunkSent))
        return bool(found[-1].entry)

    await until(ask)
    return found[-1]


@pytest.fixture
async def home(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """A proxy of a job that has settings, and tokens of each role."""
    await publish(roles)
    async with _house(connections, roles, BRISK) as opened:
        yield opened


@pytest.fixture
async def patient(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """Such a one that waits long for who was cut off."""
    await publish(roles)
    async with _house(connections, roles, PATIENT) as opened:
        yield opened


def _house(
    connections: Connections, roles: Roles, config: ProxyConfig
) -> AbstractAsyncContextManager[House]:
    supply = replace(SMALL, folder=roles.folder)
    admission = ListedTokens(GRANTS)
    return house(connections, roles, config=config, admission=admission, supply=supply)
