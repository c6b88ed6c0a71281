"""Answers that are none: asked for again, elsewhere too; an attempt where that helps nothing."""

import asyncio
import re

import pytest

from caption_flow.errors import EngineFailed
from tests.engine.openai.conftest import captioned, endpoint, request, running
from tests.engine.openai.stub import TRIAL, Call, Reply, Stub, completion, error, well
from tests.engine.openai.wrongly import first, hang, only, wrong

SPOILT = {
    "server error": error(500, "cannot process the image"),
    "no JSON": Reply(body=b"<html>", headers={"Content-Type": "application/json"}),
    "cut JSON": Reply(body=completion().body[:40]),
    "HTML": Reply(body=b"<html>", headers={"Content-Type": "text/html"}),
    "other type": Reply(body=completion().body, headers={"Content-Type": "text/event-stream"}),
    "no choices": completion(choices=[]),
    "odd choices": completion(choices={"a": 1}),
    "odd content": completion(choices=[{"message": {"content": 5}}]),
    "no message": completion(choices=[{}]),
    "error": Reply(body=b'{"error": {"message": "no provider", "code": "x"}}'),
    "error in the midst": completion(
        choices=[{"message": {"content": "a cat and"}, "finish_reason": "error"}]
    ),
    "a list": Reply(body=b"[]"),
    "deep": Reply(body=b"[" * 100_000),
    "bad UTF-8": Reply(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
    "half a pair": Reply(body=rb'{"choices": [{"message": {"content": "\ud800"}}]}'),
    "cut body": Reply(body=completion().body, cut=20),
    "no body": Reply(body=completion().body, cut=0),
    "too much": Reply(body=b" " * (9 << 20)),
}


@pytest.mark.parametrize("kind", SPOILT)
async def test_spoilt_answer_is_asked_for_again(kind: str):
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(2, SPOILT[kind])
        [output] = await captioned(engine, 1)

    assert output.text == "a caption"


@pytest.mark.parametrize("kind", SPOILT)
async def test_request_that_is_always_answered_so_has_had_an_attempt(kind: str):
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = only("prompt 0", SPOILT[kind])
        with pytest.raises(EngineFailed, match=f"^{re.escape(stub.url)}: "):
            await engine.caption(request(0))

        assert len(stub.calls) == 3
        assert (await engine.caption(request(1))).text == "a caption"


async def test_many_spoilt_answers_share_their_trials():
    """Else each would hold its slot until those before it have had a trial of their own."""

    async def behaviour(call: Call) -> Reply:
        await asyncio.sleep(0.05)
        return completion() if call.prompt == TRIAL else await spoilt(call)

    spoilt = first(40, SPOILT["server error"])
    async with Stub() as stub, running(endpoint(stub), capacity=64) as engine:
        engine._servers[0]._pace.limit = 64
        stub.behaviour = behaviour
        await captioned(engine, 60)

    assert len(stub.trials) < 10


async def test_spoilt_answer_is_asked_for_elsewhere():
    async with Stub() as bad, Stub() as good, running(endpoint(bad), endpoint(good)) as engine:
        bad.behaviour = first(999, SPOILT["no choices"])
        await captioned(engine, 1)
        await captioned(engine, 1)

    assert len(good.calls) == 2


async def test_hung_request_has_its_time_and_is_asked_again():
    async def behaviour(call: Call) -> Reply:
        return await (hang(call) if len(stub.calls) == 1 else well(call))

    async with Stub() as stub, running(endpoint(stub, timeout=0.3)) as engine:
        stub.behaviour = behaviour
        [output] = await captioned(engine, 1)

    assert output.text == "a caption"
    assert len(stub.calls) == 2


async def test_server_that_hangs_for_all_is_waited_for():
    async with Stub() as stub, running(endpoint(stub, timeout=0.1)) as engine:
        stub.behaviour = hang
        waiting = asyncio.create_task(captioned(engine, 8))
        await asyncio.sleep(1)
        stub.behaviour = well
        assert len(await waiting) == 8


async def test_server_that_goes_down_with_each_try_of_a_request_is_spared_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("caption_flow.engine.openai.asking.MOST_CRASHES", 3)
    broken = Reply(body=completion().body, cut=10)
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = wrong(broken)
        with pytest.raises(EngineFailed, match="broke off"):
            await engine.caption(request())
