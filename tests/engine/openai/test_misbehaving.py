"""Servers that misbehave in each way they can: whose fault it is, and what becomes of the rest."""

import asyncio
import logging
import re
import time
from email.utils import formatdate

import msgspec
import pytest

from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import StructuredOutputs
from caption_flow.errors import EngineFailed, EngineGone, EngineRefused, EngineUnfit
from caption_flow.lifecycle import Drain
from caption_flow.patience import Interrupted
from tests.engine.openai.conftest import KEY, STAGE, captioned, endpoint, request, running
from tests.engine.openai.stub import TRIAL, Behaviour, Call, Reply, Stub, completion, error, well
from tests.roles import until


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


def wrong(reply: Reply) -> Behaviour:
    async def behaviour(_: Call) -> Reply:
        return reply

    return behaviour


# Answers that are none


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


# Refusals


async def test_refusal_of_one_request_is_final_and_short():
    said = "too long\x1b[31m\n" + "x" * 5000
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = only("prompt 0", error(400, said))
        with pytest.raises(EngineRefused) as caught:
            await engine.caption(request(0))
        await engine.caption(request(1))

    told = str(caught.value).partition(" refuses: ")[2]
    assert told.startswith("400 too long [31m xxx")
    assert told.isprintable()
    assert len(told) < 310
    assert len(stub.calls) == 2


async def test_moderation_by_status_403_is_about_the_request():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = only("prompt 0", error(403, "flagged"))
        with pytest.raises(EngineRefused, match="flagged"):
            await engine.caption(request(0))
        await engine.caption(request(1))


async def test_first_image_that_is_refused_is_no_mistake_of_configuration():
    """Though the server has answered nothing well before: here it was busy at the start."""
    async with Stub(first_trials(error(429, "busy"))) as stub, running(endpoint(stub)) as engine:
        stub.behaviour = only("prompt 0", error(400, "bad image"))
        with pytest.raises(EngineRefused, match="bad image"):
            await engine.caption(request(0))


def first_trials(reply: Reply) -> Behaviour:
    return only(TRIAL, reply)


async def test_what_refuses_everything_is_a_mistake_of_configuration():
    async with Stub(first_trials(error(429, "busy"))) as stub, running(endpoint(stub)) as engine:
        stub.behaviour = wrong(error(400, "temperature must be at most 2"))
        with pytest.raises(EngineGone, match="temperature must be at most 2"):
            await captioned(engine, 5)


# Words that a server does not know

UNKNOWN = {
    "openai": error(400, "Unrecognized request argument supplied: repetition_penalty"),
    "quoted": error(400, "Unknown parameter: 'repetition_penalty'.", param="repetition_penalty"),
    "pydantic": Reply(
        422,
        b'{"detail": [{"loc": ["body", "repetition_penalty"], '
        b'"msg": "Extra inputs are not permitted"}]}',
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
async def test_field_that_a_server_does_not_know_is_left_out_with_a_warning(
    kind: str, caplog: pytest.LogCaptureFixture
):
    async def behaviour(call: Call) -> Reply:
        return UNKNOWN[kind] if "repetition_penalty" in call.body else completion()

    async with Stub(behaviour) as stub, running(endpoint(stub)) as engine:
        await captioned(engine, 10)

    assert "repetition_penalty" not in stub.calls[-1].body
    warned = [r for r in caplog.records if "without repetition_penalty" in r.getMessage()]
    assert len(warned) == 1


async def test_requests_that_meet_an_unknown_field_together_are_all_asked_again():
    async def behaviour(call: Call) -> Reply:
        await asyncio.sleep(0.02)
        return UNKNOWN["quoted"] if "repetition_penalty" in call.body else completion()

    async with Stub(first_trials(error(429, "busy"))) as stub, running(endpoint(stub)) as engine:
        stub.behaviour = behaviour
        assert len(await captioned(engine, 30)) == 30


async def test_field_that_a_server_has_known_is_sent_whatever_it_quotes():
    """A prompt may hold what a stranger wrote into a column."""
    said = "too long: The 'temperature' is unknown and 'top_p' unsupported"
    async with Stub() as stub, running(endpoint(stub)) as engine:
        stub.behaviour = only("prompt 0", error(400, said))
        with pytest.raises(EngineRefused):
            await engine.caption(request(0))
        await engine.caption(request(1))

    assert {"temperature", "top_p"} <= stub.calls[-1].body.keys()


async def test_field_of_another_name_is_sent_under_that():
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. "
    said += "Use 'max_completion_tokens' instead."

    async def behaviour(call: Call) -> Reply:
        return error(400, said) if "max_tokens" in call.body else completion()

    async with Stub(behaviour) as stub, running(endpoint(stub)) as engine:
        await captioned(engine, 3)

    assert stub.calls[0].body["max_completion_tokens"] == 256


async def test_value_out_of_bounds_is_no_unknown_field():
    """It is the stage's mistake, and told at the start."""
    stage = msgspec.structs.replace(STAGE, sampling=Sampling(temperature=5))
    said = "Invalid 'temperature': expected a value at most 2"

    async def behaviour(call: Call) -> Reply:
        return error(400, said) if call.body["temperature"] > 2 else completion()

    async with Stub(behaviour) as stub:
        with pytest.raises(EngineUnfit, match=said):
            async with running(endpoint(stub), stages=(stage,)):
                pass


async def test_form_of_the_answers_is_never_left_out():
    stage = msgspec.structs.replace(STAGE, structured_outputs=StructuredOutputs(regex="a"))
    said = "Unknown parameter: 'structured_outputs'."
    async with Stub(wrong(error(400, said))) as stub:
        with pytest.raises(EngineUnfit, match=said):
            async with running(endpoint(stub), stages=(stage,)):
                pass


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
