"""Stages and settings, told through the proxy: who does which, and what holds after a change."""

from caption_flow.codec import records
from caption_flow.config.vllm import Stage
from caption_flow.wire.frames import Complete, Serving, SettingsTold, Settled
from tests.made import settings
from tests.proxy.client import RawClient, record
from tests.proxy.house import ANN, BOB, House, house, publish
from tests.roles import Roles, until


async def test_stages_after_one_another(connections, tmp_path):
    told = settings(stages=(Stage("look", "", ("L",)), Stage("tell", "", ("T",), image=False)))
    roles = Roles(connections, tmp_path, told)
    await publish(roles)
    async with house(connections, roles) as home:
        await home.offer(1)
        client = await RawClient.enter(home.url, ANN)
        await client.serve(only=["look"])
        [first] = await client.take(1)
        assert first.pushed
        await client.complete(told, [first])
        teller = await RawClient.enter(home.url, BOB)
        await teller.serve(only=["tell"])
        [second] = await teller.take(1)

        assert not second.pushed
        assert [records._outcome.decode(one).stage for one in second.outcomes] == ["look"]
        assert await teller.complete(told, [second]) == (True,)
        [caption] = await roles.captions()
        assert [made.contributor for made in caption.outcomes] == ["ann", "bob"]


async def test_stages_in_one_visit(staged: House):
    await staged.offer(1)
    client = await staged.worker()
    [sent] = await client.take(1)
    both = tuple(record(staged.told, sent, stage=name) for name in ("look", "tell"))

    answer = await client.ask(Complete, 0, ((sent.entry, both),), answer=Settled)

    assert answer.ours == (True,)
    assert len(await staged.roles.captions()) == 1


async def test_other_settings_are_told_and_older_captions_still_taken(home: House):
    await home.offer(2)
    client = await home.worker()
    await client.hear(SettingsTold)
    first, second = await client.take(2)
    changed = settings(prompts=["Describe it well."])
    await home.roles.job.reload(changed.encode(), ["caption"], instead_of=1, by="somebody")

    told = await client.hear(SettingsTold)

    assert (told.version, told.by, told.document) == (2, "somebody", changed.encode())
    assert await client.complete(home.told, [first]) == (True,)
    assert await client.complete(changed, [second], settings_version=2) == (True,)


async def test_caption_by_settings_that_nobody_knows_is_not_taken(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    assert await client.complete(home.told, [sent], settings_version=9) == (False,)

    [again] = await client.take(1)
    assert (again.entry, again.attempt) == (sent.entry, 1)


async def test_sample_in_a_former_stage_is_moved_on(home: House):
    await home.offer(1)
    changed = settings(stages=(Stage("other", "", ("O",)),))
    await home.roles.job.reload(changed.encode(), ["other"], instead_of=1, by="somebody")
    client = await RawClient.enter(home.url, ANN)
    await until(lambda: home.door._common.view.newest.version == 2)
    await client.serve(only=["other"], former=["caption"])
    [sent] = await client.take(1)
    assert sent.stage == "caption"

    answer = await client.ask(Complete, 0, ((sent.entry, ()),), answer=Settled)

    assert answer.ours == (True,)
    [moved] = await client.take(1)
    assert moved.stage == "other"


async def test_sample_is_not_moved_past_a_stage_without_a_caption(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    answer = await client.ask(Complete, 0, ((sent.entry, ()),), answer=Settled)

    assert answer.ours == (False,)
    assert await home.roles.captions() == []


async def test_job_without_settings_lets_its_workers_wait(connections, roles: Roles):
    async with house(connections, roles) as home:
        client = await RawClient.enter(home.url, ANN)
        assert await client.quiet(SettingsTold)
        await publish(roles)
        await client.hear(SettingsTold)
        assert isinstance(await client.serve(), Serving)
