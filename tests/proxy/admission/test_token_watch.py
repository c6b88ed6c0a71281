"""Proxies and Redis come to one mind about tokens, whatever is edited and forgotten meanwhile."""

import asyncio
import random

import pytest

from caption_flow.grants import Grant, digest
from caption_flow.proxy.admission.token_watch import TokenWatch
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens

NAMES = ("Anna", "Ben", "Cleo")
STEPS = 60


@pytest.mark.parametrize("seed", range(20))
async def test_what_was_said_since_the_last_flush_holds(connections: Connections, seed: int):
    dice = random.Random(seed)
    job = RedisJob(connections, "job")
    tokens = RedisTokens(job)
    watches = [TokenWatch(tokens) for _ in range(3)]
    said: dict[str, str | None] = {}  # the last token of each name, since the last flush
    for step in range(STEPS):
        name = dice.choice(NAMES)
        match dice.choices(("put", "remove", "look", "flush"), (3, 2, 5, 1))[0]:
            case "put":
                now = {grant.name: grant.sha256 for grant in await tokens.grants()}
                grant = Grant(name, "worker", digest(f"{name} {step}"))
                assert await tokens.put(grant, instead_of=now.get(name))
                said[name] = grant.sha256
            case "remove":
                await tokens.remove(name, "worker")
                said[name] = None
            case "look":
                await dice.choice(watches).look()
            case "flush":
                await job.client.flushall()
                said = {}

    for watch in (*watches, *watches):
        await watch.look()

    kept = {grant.name: grant.sha256 for grant in await tokens.grants()}
    assert {name: kept.get(name) for name in said} == said
    for watch in watches:
        found = [await watch.find(sha256) for sha256 in kept.values()]
        assert {grant.name: grant.sha256 for grant in found if grant} == kept
    for name, sha256 in said.items():
        gone = {digest(f"{name} {step}") for step in range(STEPS)} - {sha256}
        assert not any(await asyncio.gather(*map(watches[0].find, gone)))
