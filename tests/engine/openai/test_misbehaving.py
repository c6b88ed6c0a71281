"""Servers that misbehave in each way they can: whose fault it is, and what becomes of the rest."""

import asyncio
import logging
import time
from email.utils import formatdate

import pytest

from caption_flow.errors import EngineFailed, EngineGone, EngineUnfit
from caption_flow.lifecycle import Drain
from caption_flow.patience import Interrupted
from tests.engine.openai.conftest import KEY, captioned, endpoint, request, running
from tests.engine.openai.stub import Call, Reply, Stub, completion, error, well
from tests.engine.openai.wrongly import first, only, wrong
from tests.roles import until

# Busy


async def test_busy_server_costs_no_attempt_however_long():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(30, error(429, "slow down"))
        outputs = await captioned(engine, 5)

    assert len(outputs) == 5
    assert len(stub.calls) == 35


@pytest.mark.parametrize("spelt", ["1", None])
async def test_server_is_left_alone_as_long_as_it_asks(spelt: str | None):
    # A date has no fractions: it is one to two seconds ahead.
    after = spelt or formatdate(time.time() + 2, usegmt=True)
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(1, error(429, "slow down", {"Retry-After": after}))
        await captioned(engine, 1)

    begun, again = (call.at for call in stub.calls)
    assert 0.95 <= again - begun <= 2.6


async def test_wait_that_is_asked_for_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.engine.openai.server.LONGEST_WAIT", 0.05)
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(1, error(503, "later", {"Retry-After": "999999999"}))
        await captioned(engine, 1)


async def test_drain_does_not_wait_for_servers_that_are_left_alone():
    """The samples go back as they were, for whoever comes later."""
    drain = Drain()
    async with Stub() as stub, running(endpoint(stub), drain=drain) as engine:
        stub.behaviour = wrong(error(429, "quota", {"Retry-After": "60"}))
        waiting = asyncio.gather(
            *(engine.caption(request(n)) for n in range(20)), return_exceptions=True
        )
        await until(lambda: stub.calls)
        drain.ask()
        ends = await asyncio.wait_for(waiting, 10)

    assert {type(end) for end in ends} == {Interrupted}


async def test_drain_lets_requests_wait_for_servers_that_work():
    async def behaviour(_: Call) -> Reply:
        await asyncio.sleep(0.05)
        return completion()

    drain = Drain()
    async with Stub(behaviour) as stub, running(endpoint(stub), drain=drain) as engine:
        waiting = asyncio.create_task(captioned(engine, 20))
        await until(lambda: stub.calls)
        drain.ask()
        assert len(await waiting) == 20


async def test_signs_of_life_go_on_while_requests_wait():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(1, error(429, "later", {"Retry-After": "1"}))
        before = engine.signs
        await captioned(engine, 1)

    assert engine.signs > before + 5


async def test_error_inside_an_answer_of_status_200_means_what_its_code_says():
    """Some that pass requests on have said 200 before they know how it ends."""
    busy = completion(choices=None, error={"code": 429, "message": "rate-limited upstream"})
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = first(20, Reply(body=busy.body.replace(b'"choices": null, ', b"")))
        assert len(await captioned(engine, 2)) == 2


# Keys, names: the endpoint's fault


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_server_that_refuses_is_set_aside_and_the_others_go_on(
    status: int, caplog: pytest.LogCaptureFixture
):
    async def refuses(_: Call) -> Reply:
        return error(status, f"wrong, {KEY}")

    async with Stub() as bad, Stub() as good:
        pool = endpoint(bad, api_key_env="TEST_API_KEY"), endpoint(good)
        async with running(*pool) as engine:  # all is well until then
            bad.behaviour = refuses
            outputs = await captioned(engine, 40)
            held = len(bad.calls)
            await captioned(engine, 40)

    assert len(outputs) == 40
    assert len(bad.calls) == held
    assert bad.url in caplog.text
    assert status == 404 or "Check the key in TEST_API_KEY" in caplog.text
    assert KEY not in caplog.text


async def test_key_that_is_refused_from_the_start_is_told_at_the_start(
    caplog: pytest.LogCaptureFixture,
):
    async def refuses(_: Call) -> Reply:
        return error(401, "Incorrect API key")

    async with (
        Stub(refuses, models=error(401, "Incorrect API key")) as bad,
        Stub() as good,
        running(endpoint(bad, api_key_env="TEST_API_KEY"), endpoint(good)) as engine,
    ):
        assert "TEST_API_KEY" in caplog.text
        await captioned(engine, 10)

    assert bad.calls == []


async def test_without_any_server_left_the_engine_is_gone_and_says_what_to_do():
    async def refuses(_: Call) -> Reply:
        return error(404, "The model `tiny` does not exist")

    async with Stub() as one, Stub() as two, running(endpoint(one), endpoint(two)) as engine:
        one.behaviour = two.behaviour = refuses
        with pytest.raises(EngineGone) as caught:
            await captioned(engine, 10)

    assert one.url in str(caught.value)
    assert two.url in str(caught.value)
    assert "The model `tiny` does not exist. Check its base_url and the model" in str(caught.value)


async def test_redirects_are_not_followed():
    async with Stub() as other, Stub() as stub:
        stub.behaviour = wrong(Reply(307, headers={"Location": f"{other.url}/chat/completions"}))
        with pytest.raises(EngineUnfit, match=r"307, elsewhere.* Check its base_url"):
            async with running(endpoint(stub, api_key_env="TEST_API_KEY")):
                pass

    assert other.calls == other.trials == []


# Down


async def test_server_that_is_down_is_waited_for():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        await stub.__aexit__()
        waiting = asyncio.create_task(captioned(engine, 20))
        await asyncio.sleep(0.3)
        async with Stub(port=stub.port) as again:
            outputs = await waiting

    assert len(outputs) == len(again.calls) == 20


async def test_others_do_the_work_of_one_that_is_down(caplog: pytest.LogCaptureFixture):
    async with Stub() as down, Stub() as up, running(endpoint(down), endpoint(up)) as engine:
        await down.__aexit__()
        await captioned(engine, 40)

    assert f"{down.url} does not work: no connection" in caplog.text
    assert len(up.calls) == 40


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_server_with_errors_for_all_harms_no_sample(status: int):
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = always = wrong(error(status, "CUDA error"))
        waiting = asyncio.create_task(captioned(engine, 20))
        await until(lambda: len(stub.calls) + len(stub.trials) >= 30)
        assert stub.behaviour is always
        stub.behaviour = well
        assert len(await waiting) == 20


# Secrets


async def test_key_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with Stub() as stub, running(endpoint(stub, api_key_env="TEST_API_KEY")) as engine:
        stub.behaviour = wrong(error(401, f"Incorrect API key provided: {KEY}"))
        with pytest.raises(EngineGone) as caught:
            await captioned(engine, 2)
        shown = f"{caught.value!r} {engine!r} {vars(engine)!r} {engine._servers[0]!r}"

    assert stub.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in str(caught.value)
    assert "TEST_API_KEY" in str(caught.value)
    assert KEY not in shown.replace(repr(engine._environ), "")


async def test_key_that_comes_back_in_what_is_no_http_is_shown_to_nobody():
    async with Stub() as stub, running(endpoint(stub, api_key_env="TEST_API_KEY")) as engine:
        echo = f"Authorization: Bearer {KEY}\r\nX: {'y' * 50_000}"
        stub.behaviour = only("prompt 0", Reply(headers={"X Y": echo}))
        with pytest.raises(EngineFailed, match="broke off") as caught:
            await engine.caption(request(0))

    assert KEY not in str(caught.value)
    assert len(str(caught.value)) < 500
