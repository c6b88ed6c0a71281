"""What a server is sent, and what is made of its answer."""

import asyncio
from io import BytesIO
from typing import Any

import msgspec
import pytest
from PIL import Image

from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import StructuredOutputs
from caption_flow.engine.port import Output
from caption_flow.errors import BadImage
from caption_flow.image import inspect
from tests.engine.openai.conftest import IMAGE, KEY, STAGE, captioned, endpoint, request, running
from tests.engine.openai.stub import Call, Reply, Stub, completion
from tests.image.makers import encode, lying, noise, picture


async def sent(stub_settings: dict[str, Any] | None = None, **changes: Any) -> Call:
    """What arrives of one request."""
    async with Stub() as stub, running(endpoint(stub, **(stub_settings or {}))) as engine:
        await engine.caption(request(**changes))
    [call] = stub.calls
    return call


def stage(**changes: Any) -> Any:
    return msgspec.structs.replace(STAGE, **changes)


async def test_image_comes_before_the_prompt_and_byte_for_byte():
    call = await sent(prompt="What is it?")

    assert call.path == "/v1/chat/completions"
    assert [part["type"] for part in call.content] == ["image_url", "text"]
    assert call.content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert (call.image, call.prompt) == (IMAGE, "What is it?")


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
async def test_what_servers_take_is_passed_on_as_it_is(form: str):
    data = encode(picture(), form)

    call = await sent(data=data)

    assert call.image == data
    assert f"data:image/{form.lower()};" in call.content[0]["image_url"]["url"]


@pytest.mark.parametrize("form", ["BMP", "TIFF", "AVIF", "WEBP", "GIF"])
async def test_what_they_do_not_take_becomes_jpeg(form: str):
    call = await sent(data=encode(picture(), form))

    facts = inspect(call.image, max_pixels=10**6)
    assert facts.format == "jpeg"
    assert (facts.width, facts.height) == picture().size


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
async def test_image_that_lies_on_its_side_is_sent_upright(form: str):
    """Many servers do not look at EXIF."""
    stored, exif = lying(6)

    call = await sent(data=encode(stored, form, exif=exif))

    seen = Image.open(BytesIO(call.image))
    assert (seen.size, dict(seen.getexif())) == (picture().size, {})


async def test_image_beyond_the_bound_of_an_endpoint_is_shrunk():
    data = encode(noise(200), "PNG")

    call = await sent({"max_image_bytes": 20_000}, data=data)

    assert len(call.image) <= 20_000 < len(data)


async def test_bytes_that_are_no_image_are_the_samples_fault():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        with pytest.raises(BadImage):
            await engine.caption(request(data=b"hello"))

    assert stub.calls == []


async def test_stage_without_image_sends_none():
    call = await sent(stage=stage(image=False), prompt="Shorten.")

    assert call.content == "Shorten."


async def test_system_prompt_is_a_message_of_its_own():
    call = await sent(stage=stage(system_prompt="Be {how}."), system="Be brief.")

    assert call.body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_sampling_is_told_and_neutral_extensions_are_not():
    sampling = Sampling(temperature=0.1, top_p=0.5, max_tokens=9, repetition_penalty=1, stop=("x",))

    call = await sent(stage=stage(sampling=sampling))

    rest = {k: v for k, v in call.body.items() if k != "messages"}
    assert rest == {
        "model": "tiny",
        "stream": False,
        "temperature": 0.1,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
    }


async def test_extensions_that_differ_from_none_are_told():
    sampling = Sampling(repetition_penalty=1.2, skip_special_tokens=False, extra={"top_k": 5})

    body = (await sent(stage=stage(sampling=sampling))).body

    told = [body[name] for name in ("repetition_penalty", "skip_special_tokens", "top_k")]
    assert told == [1.2, False, 5]


async def test_schema_becomes_a_response_format():
    schema = {"type": "object", "properties": {"shape": {"type": "string"}}}

    body = (await sent(stage=stage(structured_outputs=StructuredOutputs(json=schema)))).body

    named = {"name": "caption", "schema": schema, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": named}


@pytest.mark.parametrize(
    ("form", "value"), [("choice", ("a", "b")), ("regex", "a+"), ("grammar", 'root ::= "a"')]
)
async def test_other_forms_are_told_as_vllm_takes_them(form: str, value: Any):
    body = (await sent(stage=stage(structured_outputs=StructuredOutputs(**{form: value})))).body

    assert body["structured_outputs"] == {form: list(value) if form == "choice" else value}


async def test_endpoint_has_its_own_model_headers_fields_and_key():
    own = {
        "model": "theirs",
        "headers": {"X-Title": "photos"},
        "extra_body": {"temperature": 0, "provider": {"order": ["a"]}},
        "api_key_env": "TEST_API_KEY",
    }

    call = await sent(own)

    assert (call.body["model"], call.body["temperature"]) == ("theirs", 0)
    assert call.body["provider"] == {"order": ["a"]}
    assert (call.headers["x-title"], call.headers["authorization"]) == ("photos", f"Bearer {KEY}")


async def answered(reply: Reply) -> Output:
    async def behaviour(_: Call) -> Reply:
        return reply

    async with Stub(behaviour) as stub, running(endpoint(stub)) as engine:
        return await engine.caption(request())


async def test_answer_is_read():
    assert await answered(completion("  a red circle ")) == Output(
        "a red circle", "stop", 7, 3, "served"
    )


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "7"}, [1], 5])
async def test_usage_that_makes_no_sense_is_none(usage: Any):
    output = await answered(completion(usage=usage))

    assert (output.prompt_tokens, output.output_tokens) == (0, 0)


async def test_reasoning_that_came_to_no_end_is_an_empty_text():
    message = {"role": "assistant", "content": None, "reasoning_content": "Hmm, let me see"}

    output = await answered(completion(choices=[{"message": message, "finish_reason": "length"}]))

    assert (output.text, output.finish_reason) == ("", "length")


async def test_model_is_named_in_short_and_without_control_characters():
    output = await answered(completion(model="a\x1b[31m\n" + "b" * 9000))

    assert output.model.startswith("a [31m b")
    assert len(output.model) <= 300


async def test_slow_request_holds_up_no_other():
    slow = asyncio.Event()

    async def behaviour(call: Call) -> Reply:
        if call.prompt == "prompt 0":
            await slow.wait()
        return completion(call.prompt)

    async with Stub(behaviour) as stub, running(endpoint(stub)) as engine:
        first = asyncio.create_task(engine.caption(request(0)))
        others = await asked(engine, 1, 40)
        assert not first.done()
        slow.set()
        assert (await first).text == "prompt 0"

    assert [output.text for output in others] == [f"prompt {n}" for n in range(1, 40)]


async def asked(engine: Any, first: int, last: int) -> list[Output]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*(engine.caption(request(n)) for n in range(first, last)))


async def test_connections_are_used_again():
    async with Stub() as stub, running(endpoint(stub), capacity=1) as engine:
        await captioned(engine, 20)
        assert len(stub._open) == 1
