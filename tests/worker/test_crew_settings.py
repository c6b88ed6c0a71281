"""Crew: what becomes of its engines when the settings change, and when one of them fails."""

import asyncio

import pytest
from msgspec.structs import replace

from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineGone, EngineUnfit
from tests.made import PATIENCE
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.hosts import IMAGES, LIST, SEE, TELL, Host, TellingEngine, left, looking, publish

__all__ = ["looking"]


async def test_another_prompt_is_taken_without_another_engine(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    await publish(roles, SEE)
    await roles.offer(IMAGES)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()) as working:
        await host.captioned(30)
        await publish(roles, replace(SEE, prompts=("Look.",)))
        await until(lambda: "of version 2 now" in caplog.text)
        await roles.offer(IMAGES[:10], first=30)
        await host.captioned(40)
        host.drain.ask()
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    by_version = {
        (c.outcomes[0].settings_version, c.outcomes[0].outputs["seen"][0].split()[0])
        for c in await roles.captions()
    }
    assert by_version <= {(1, "See."), (2, "Look.")}
    assert len(by_version) == 2


async def test_another_model_is_loaded_when_the_last_has_drained_and_stopped(roles: Roles):
    await publish(roles, SEE)
    await roles.offer(IMAGES)
    host = Host(roles)
    async with running(host.run()) as working:
        await until(lambda: host.engines and host.engines[0].inside == 0)
        host.engines[0].gate.clear()
        await until(lambda: host.engines[0].inside == 4)
        await publish(roles, replace(SEE, model="larger"))
        await until(lambda: host.crew.figures()["in_hand"] == 4)  # the others went back
        host.engines[0].gate.set()
        await ends(working)

    assert host.diary == ["start large", "stop large", "start larger", "stop larger"]
    captions = await roles.captions()
    made = {(c.outcomes[0].model, c.outcomes[0].settings_version) for c in captions}
    assert made == {("large", 1), ("larger", 2)}
    assert {caption.outcomes[0].attempt for caption in captions} == {1}
    assert len(captions) == 30


async def test_an_engine_that_is_not_concerned_goes_on_while_another_is_loaded(roles: Roles):
    await publish(roles, SEE, TELL)
    loading = asyncio.Event()

    class Slow(TellingEngine):
        async def start(self) -> None:
            if self.model == "smaller":
                await loading.wait()
            await super().start()

    host = Host(roles, Slow, exit_when_done=False)
    async with running(host.run()) as working:
        await until(lambda: host.diary == ["start large", "start small"])
        await publish(roles, SEE, replace(TELL, model="smaller"))
        await until(lambda: len(host.engines) == 3)
        await roles.offer(IMAGES)
        await host.captioned(30)
        loading.set()
        await host.captioned(60)
        host.drain.ask()
        await ends(working)

    assert host.diary[:4] == ["start large", "start small", "stop small", "start smaller"]


async def test_settings_of_the_worker_make_it_anew_around_the_engine_it_has(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles)
    await roles.offer(IMAGES)
    async with running(host.run()) as working:
        await host.captioned(1)
        await publish(roles, SEE, engine_timeout=PATIENCE + 1)
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    captions = await roles.captions()
    assert len(captions) == 30
    assert host.crew.figures()["captions"] == 30
    assert {caption.outcomes[0].attempt for caption in captions} == {1}


async def test_settings_that_cannot_be_read_change_nothing(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.diary)
        await roles.job.reload(b'{"new": 1}', ["see"], instead_of=1, by="me")
        await until(lambda: "Going on without version 2." in caplog.text)
        await roles.offer(IMAGES[:5])
        await host.captioned(5)

    assert {c.outcomes[0].settings_version for c in await roles.captions()} == {1}
    assert caplog.text.count("Going on without version 2.") == 1


async def test_other_settings_under_the_same_version_are_followed_too(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    """As when Redis was emptied, and a feeder began anew with a document that was edited."""
    caplog.set_level("INFO")
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.diary)
        await roles.client.flushall()
        await publish(roles, replace(SEE, prompts=("Look.",)))
        await until(lambda: caplog.text.count("The settings are of version 1 now") == 1)
        await roles.offer(IMAGES[:5])
        await host.captioned(5)

    said = {caption.outcomes[0].outputs["seen"][0] for caption in await roles.captions()}
    assert {text.split()[0] for text in said} == {"Look."}


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SEE, model="bad"),
        replace(SEE, model="worse"),
        replace(SEE, prompts=("wrong {",)),
        replace(SEE, name="other"),
    ],
    ids=["model", "silent model", "prompt", "stage"],
)
async def test_settings_that_do_not_work_here_leave_all_samples_where_they_are(
    roles: Roles, caplog: pytest.LogCaptureFixture, wrong: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.worker.crew.COMPLAIN_SECONDS", 0.05)
    await publish(roles, SEE)
    host = Host(roles, stages=("see",))
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, wrong)
        await until(host.is_idle)
        await roles.offer(IMAGES[:5])
        await until(lambda: caplog.text.count("Waiting for other settings") > 1)
        assert host.crew.figures()["in_hand"] == 0
        assert not working.done()

        await publish(roles, replace(SEE, prompts=("Look.",)))
        await ends(working)

    captions = await roles.captions()
    assert {(c.outcomes[0].settings_version, c.outcomes[0].attempt) for c in captions} == {(3, 1)}
    assert len(captions) == 5
    assert "These settings cannot be followed here." in caplog.text


async def test_a_process_goes_on_with_those_of_its_stages_that_are_left(roles: Roles):
    await publish(roles, SEE, LIST)
    host = Host(roles, stages=("see", "list"))
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, SEE)
        await until(lambda: host.herald.state.startswith("working: "))
        await roles.offer(IMAGES[:5])
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    assert 'the job has no stage "list"' in host.herald.state
    assert [[o.stage for o in c.outcomes] for c in await roles.captions()] == [["see"]] * 5


async def test_a_process_without_an_engine_ends_with_the_job(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles)
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, replace(SEE, model="bad"))
        await until(host.is_idle)
        await roles.offer(IMAGES[:1])
        assert await roles.finish_waiting("see") == 1
        await ends(working)


async def test_an_engine_that_does_not_start_at_first_ends_the_process(roles: Roles):
    await publish(roles, SEE, replace(TELL, model="bad"))
    await roles.offer(IMAGES)
    host = Host(roles)

    with pytest.raises(EngineUnfit, match="no such model"):
        await ends(host.run())

    assert host.diary == ["start large", "stop large", "stop bad"]
    assert len(await left(roles, "see")) == 30


async def test_an_engine_that_is_gone_ends_the_process_and_hands_everything_back(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)

    class Refused(TellingEngine):
        async def caption(self, request: Request) -> Output:
            if self.model == "small":
                raise EngineGone("All keys are refused.")
            return await super().caption(request)

    host = Host(roles, Refused)
    with pytest.raises(EngineGone, match="keys are refused"):
        await ends(host.run())

    assert host.diary[2:] == ["stop large", "stop small"]
    found = [*await left(roles, "see"), *await left(roles, "tell")]
    assert {(lease.attempt, lease.failures) for lease in found} == {(1, ())}
    assert len(found) == 30


@pytest.mark.parametrize("at", ["first", "reload"])
async def test_a_stop_while_an_engine_loads_ends_at_once(roles: Roles, at: str):
    await publish(roles, SEE)

    class Endless(TellingEngine):
        async def start(self) -> None:
            if self.model == "slow" or at == "first":
                await asyncio.Event().wait()
            await super().start()

    host = Host(roles, Endless, exit_when_done=False)
    async with running(host.run()) as working:
        if at == "reload":
            await until(lambda: host.diary)
            await publish(roles, replace(SEE, model="slow"))
        await until(lambda: len(host.engines) == (1 if at == "first" else 2))
        host.drain.ask()
        await ends(working)

    assert host.diary[-1] == ("stop large" if at == "first" else "stop slow")


async def test_nothing_is_stranded_in_a_stage_that_is_renamed(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    host = Host(roles)
    async with running(host.run()) as working:
        await host.captioned(10)
        await publish(roles, SEE, replace(TELL, name="say"))
        await ends(working)

    captions = await roles.captions()
    assert len(captions) == 30
    assert {c.outcomes[-1].stage for c in captions} >= {"say"}
    assert {outcome.attempt for c in captions for outcome in c.outcomes} == {1}
