"""Starting: what is wrong with a server is told before any sample depends on it."""

import asyncio

import msgspec
import pytest

from caption_flow.config.openai import OpenaiConfig
from caption_flow.engine.make import make_engine
from caption_flow.engine.openai import OpenaiEngine
from caption_flow.errors import ConfigError, EngineUnfit
from caption_flow.lifecycle import Drain
from tests.engine.openai.conftest import STAGE, captioned, endpoint, request, running
from tests.engine.openai.stub import Call, Reply, Stub, completion, error
from tests.made import settings


async def refuses(_: Call) -> Reply:
    return error(401, "Incorrect API key")


async def test_missing_variable_is_named_with_its_endpoint():
    async with Stub() as stub:
        with pytest.raises(ConfigError, match=f"^OTHER_API_KEY is not set.*{stub.url}"):
            async with running(endpoint(stub, api_key_env="OTHER_API_KEY")):
                pass


async def test_key_that_all_refuse_ends_the_start():
    async with Stub(refuses) as stub:
        with pytest.raises(EngineUnfit, match=r"401 Incorrect API key. Check the key in TEST_API"):
            async with running(endpoint(stub, api_key_env="TEST_API_KEY")):
                pass


async def test_missing_key_is_told_where_it_goes():
    async with Stub(refuses) as stub:
        with pytest.raises(EngineUnfit, match=r"Name the variable .* in api_key_env"):
            async with running(endpoint(stub)):
                pass


async def test_model_that_is_not_listed_is_told_with_those_that_are(
    caplog: pytest.LogCaptureFixture,
):
    async with Stub() as stub, running(endpoint(stub, model="tinny")):
        pass

    assert f'{stub.url} does not list "tinny"; it lists tiny, theirs' in caplog.text


LISTS_OF_NONE = [
    *(Reply(404), Reply(body=b"[5]"), error(403, "no scope"), Reply(501)),
    *(error(429, "not so often"), Reply(body=b" " * (9 << 20))),
]


@pytest.mark.parametrize("models", LISTS_OF_NONE)
async def test_list_of_models_may_be_missing(models: Reply):
    async with Stub(models=models) as stub, running(endpoint(stub)) as engine:
        assert len(await captioned(engine, 3)) == 3


async def test_pool_starts_with_one_that_is_up():
    async with Stub() as down:
        pass
    async with Stub() as up, running(endpoint(down), endpoint(up)) as engine:
        assert len(await captioned(engine, 3)) == len(up.calls) == 3


async def test_server_that_is_not_up_is_waited_for(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with Stub() as stub:
        pass
    engine = OpenaiEngine(
        OpenaiConfig(endpoints=(endpoint(stub),)),
        (STAGE,),
        capacity=4,
        environ={},
        drain=Drain(),
    )
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0.2)
    assert not starting.done()
    async with Stub(port=stub.port):
        await asyncio.wait_for(starting, 5)
        await engine.stop()

    assert f"{stub.url} does not work: no connection" in caplog.text
    assert "Waiting for a server; a stop of this process ends that" in caplog.text


async def test_wait_for_a_server_ends_with_the_process():
    async with Stub() as stub:
        pass
    drain = Drain()
    asyncio.get_running_loop().call_later(0.1, drain.ask)
    async with asyncio.timeout(5), running(endpoint(stub), drain=drain):
        pass


async def test_server_that_refuses_is_not_met_again_while_another_is_waited_for():
    """With two stages, of which the second is not even tried."""
    stages = STAGE, msgspec.structs.replace(STAGE, name="second")
    async with Stub() as later:
        pass
    async with Stub(refuses) as bad:
        engine = OpenaiEngine(
            OpenaiConfig(endpoints=(endpoint(bad), endpoint(later))),
            stages,
            capacity=4,
            environ={},
            drain=Drain(),
        )
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0.3)
        async with Stub(port=later.port):
            await asyncio.wait_for(starting, 5)
            await engine.stop()

    assert len(bad.trials) == 1


async def test_engine_starts_again_after_a_stop():
    async with Stub() as stub, running(endpoint(stub)) as engine:
        await engine.stop()
        await engine.start()
        assert len(await captioned(engine, 3)) == 3


async def test_stages_go_to_the_servers_that_name_their_model():
    small, large = (msgspec.structs.replace(STAGE, name=m, model=m) for m in ("small", "large"))
    async with Stub() as one, Stub() as two:
        pool = endpoint(one, model="small"), endpoint(two, model="large")
        async with running(*pool, stages=(small, large)) as engine:
            for number in range(6):
                await engine.caption(request(number, stage=(small, large)[number % 2]))

    assert [call.prompt for call in one.calls] == ["prompt 0", "prompt 2", "prompt 4"]
    assert [call.prompt for call in two.calls] == ["prompt 1", "prompt 3", "prompt 5"]


async def test_job_that_asks_for_it_has_this_engine():
    async def behaviour(_: Call) -> Reply:
        return completion()

    async with Stub(behaviour) as stub:
        told = settings(
            engine="openai", openai=OpenaiConfig(endpoints=(endpoint(stub),)), stages=(STAGE,)
        )
        engine = make_engine(
            told,
            told.stages,
            overrides={},
            batch_size=3,
            trust_remote_code=False,
            share=1,
            drain=Drain(),
        )

    assert isinstance(engine, OpenaiEngine)
    assert (engine.name, engine.model, engine.capacity) == ("openai", "tiny", 3)
    assert not engine.decodes
