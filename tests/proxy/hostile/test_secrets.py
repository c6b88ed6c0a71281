"""What a contributor is not told: who the others are, what they said, what the operator knows."""

import msgspec

from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.model import Failure, Outcome
from caption_flow.queue.connect import Connections
from caption_flow.wire.frames import (
    Defer,
    Did,
    Fetch,
    Refused,
    SampleSent,
    Serve,
    Serving,
    SettingsTold,
)
from tests.made import settings
from tests.proxy.client import RawClient, failure
from tests.proxy.house import ANN, BOB, House, grant, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles


async def test_who_made_earlier_captions_is_not_told(staged: House):
    await staged.offer(1)
    bob = await RawClient.enter(staged.url, BOB, member="machine-of-bob")
    await bob.serve(only=["look"])
    assert await bob.complete(staged.told, await bob.take(1)) == (True,)
    ann = await staged.worker()

    [sent] = await ann.take(1)

    [made] = [msgspec.json.decode(one, type=Outcome) for one in sent.outcomes]
    assert (made.worker, made.contributor) == ("", "")
    assert made.outputs == {"captions": ["a caption"]}
    assert not any(b"bob" in each for each in sent.outcomes)
    # The operator still knows.
    assert await ann.complete(staged.told, [sent]) == (True,)
    [caption] = await staged.roles.captions()
    assert [one.contributor for one in caption.outcomes] == ["bob", "ann"]


async def test_what_others_said_of_a_failure_is_not_told(home: House):
    await home.offer(1)
    bob = await home.worker(BOB, member="machine-of-bob")
    [sent] = await bob.take(1)
    why = msgspec.json.encode(Failure("engine", "http://10.1.2.3 of bob is down"))
    await bob.ask(Defer, 0, ((sent.entry, why, 0.0),), answer=Did)
    ann = await home.worker()

    [again] = await ann.take(1)

    [told] = msgspec.json.decode(b"[%b]" % again.failures, type=list[Failure])
    assert (told.reason, told.attempt, told.own) == ("engine", 1, True)
    assert (told.member, told.contributor, told.detail) == ("", "", "")


async def test_what_one_said_oneself_is_told(home: House):
    await home.offer(1)
    ann = await home.worker()
    [sent] = await ann.take(1)
    await ann.ask(Defer, 0, ((sent.entry, failure("engine"), 0.0),), answer=Did)

    [again] = await ann.take(1)

    assert b"it did not work" in again.failures


async def test_failure_is_of_who_told_it(home: House):
    """Nobody is blamed by another."""
    await home.offer(1)
    ann = await home.worker()
    [sent] = await ann.take(1)
    lie = failure("engine", contributor="bob", member="bob/m1")
    await ann.ask(Defer, 0, ((sent.entry, lie, 0.0),), answer=Did)

    [noted] = await home.roles.client.hvals(home.roles.job.lane.failures)

    told = msgspec.json.decode(noted, type=Failure)
    assert (told.contributor, told.member) == ("ann", "ann/m1")


async def test_headers_of_the_operator_stay(connections: Connections, tmp_path):
    pool = OpenaiConfig(
        endpoints=(
            Endpoint(
                base_url="https://api.example.org/v1",
                headers={"X-Team": "top secret"},
                extra_body={"user": "u"},
            ),
        )
    )
    roles = Roles(connections, tmp_path, settings(openai=pool))
    await publish(roles)
    async with house(connections, roles) as home:
        client = await home.worker()

        told = await client.hear(SettingsTold)

        assert b"https://api.example.org/v1" in told.document
        assert b"top secret" not in told.document


async def test_stage_that_a_token_is_not_for_is_never_given(connections, two_stages: Roles):
    tokens = ListedTokens([grant("ann", ANN, stages=("tell",)), grant("bob", BOB)])
    async with house(connections, two_stages, admission=tokens) as home:
        await home.offer(2)
        ann = await RawClient.enter(home.url, ANN)
        await ann.serve(only=["look", "tell"], former=["look", "tell"])
        await ann.credit(10)

        assert await ann.quiet(SampleSent)
        bob = await home.worker(BOB)
        assert {one.stage for one in await bob.take(2)} == {"look"}


async def test_samples_of_a_stage_that_was_taken_away_are_not_taken_up_again(
    connections, two_stages: Roles
):
    """Cut off, and the token is for another stage when it comes back: the image is not shown."""
    async with house(connections, two_stages, admission=ListedTokens([grant("ann", ANN)])) as home:
        await home.offer(1)
        before = await home.worker()
        [sent] = await before.take(1)
        tokens = ListedTokens([grant("ann", ANN, stages=("tell",))])
        async with house(connections, two_stages, admission=tokens) as other:
            after = await RawClient.enter(other.url, ANN, resume=before.welcome.ticket)

            serving = await after.serve(holding=[sent.entry])

            assert serving.lost == (sent.entry,)
            assert await after.ask(Fetch, 0, (sent.entry,), answer=Did)
            frame, image = await after.image()
            assert (frame.gone, image) == (True, b"")


async def test_refusal_does_not_tell_where_redis_is(connections, roles: Roles):
    async with house(connections, roles) as home:  # a job without settings
        client = await RawClient.enter(home.url, ANN)
        await client.say(Serve(1, 0, None))

        refused = await client.hear(Refused)

        assert "redis" not in refused.text.lower()
        assert "127.0.0.1" not in refused.text


async def test_serving_other_names_a_thousand_times_serves_the_job_alone(home: House):
    client = await home.worker()
    names = tuple(f"../{n}" for n in range(999))

    await client.ask(Serve, 0, (*names, "caption"), names, (), answer=Serving)

    [session] = home.door._sessions
    [channel] = session._desk._channels.values()
    assert (channel._served, channel._former, [*channel.stages]) == (("caption",), (), ["caption"])


async def test_former_stage_named_often_is_served_once(connections, two_stages: Roles):
    former = Roles(connections, two_stages.folder.path, settings(stages=two_stages.told.stages[:1]))
    await publish(former, version=2)
    async with house(connections, former) as home:
        client = await home.worker()

        await client.ask(Serve, 0, None, ("tell",) * 1000, (), answer=Serving)

        [session] = home.door._sessions
        [channel] = session._desk._channels.values()
        assert channel._former == ("tell",)
