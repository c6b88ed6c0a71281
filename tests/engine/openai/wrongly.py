"""Servers of the tests that answer wrongly, some of the time or for one prompt."""

import asyncio

from tests.engine.openai.stub import TRIAL, Behaviour, Call, Reply, completion, well


def first(count: int, wrong: Reply, of: Behaviour = well) -> Behaviour:
    """Answer wrongly so often, trials not counted, then well."""
    left = count

    async def behaviour(call: Call) -> Reply:
        nonlocal left
        if call.prompt != TRIAL and left:
            left -= 1
            return wrong
        return await of(call)

    return behaviour


def only(prompt: str, wrong: Reply) -> Behaviour:
    """Answer one prompt wrongly, always."""

    async def behaviour(call: Call) -> Reply:
        return wrong if call.prompt == prompt else completion()

    return behaviour


async def hang(_: Call) -> Reply:
    await asyncio.sleep(60)
    return completion()


def wrong(reply: Reply) -> Behaviour:
    async def behaviour(_: Call) -> Reply:
        return reply

    return behaviour
