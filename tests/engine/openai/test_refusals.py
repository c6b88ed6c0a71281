"""Servers that refuse: one request for good, all of them, or a word that they do not know."""

import asyncio

import msgspec
import pytest

from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import StructuredOutputs
from caption_flow.errors import EngineGone, EngineRefused, EngineUnfit
from tests.engine.openai.conftest import STAGE, captioned, endpoint, request, running
from tests.engine.openai.stub import TRIAL, Behaviour, Call, Reply, Stub, completion, error
from tests.engine.openai.wrongly import only, wrong


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
