"""Settings: one document for a job, with a version that tells when it changed."""

import asyncio

import pytest

from caption_flow.errors import ConfigError, QueueUnfit
from caption_flow.queue.feed import APART
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.keys import JOBS
from caption_flow.queue.ports import Settings
from tests.queue.shop import PLENTY, Shop, offers_of


async def test_job_without_settings_has_none(shop: Shop):
    assert await shop.job.settings() is None


async def test_published_settings_are_read(shop: Shop):
    published = await shop.feeder(host="h").publish(b"{}", "data")

    assert published == Settings(1, b"{}", "feed on h")
    assert await shop.job.settings() == published
    assert await shop.job.settings_mark() == published.mark


async def test_version_rises_when_the_document_changes_only(shop: Shop):
    documents = [b"a", b"a", b"b", b"b", b"a"]
    versions = [(await shop.feeder().publish(d, "data")).version for d in documents]

    assert versions == [1, 1, 2, 2, 3]


async def test_job_of_another_data_set_is_refused_by_name(shop: Shop):
    published = await shop.feeder().publish(b"{}", "data")
    before = await shop.dump()

    with pytest.raises(QueueUnfit, match="data"):
        await shop.feeder().publish(b"new", "others")
    assert await shop.job.settings() == published
    assert await shop.dump() == before


async def test_first_version_of_a_job_is_the_least_that_is_free(shop: Shop):
    assert (await shop.feeder().publish(b"a", "data", least=8)).version == 8
    assert (await shop.feeder().publish(b"b", "data", least=1)).version == 9


# Settings that an operator published


async def reload(shop: Shop, document: bytes, instead_of: int, *stages: str) -> int | None:
    return await shop.job.reload(document, stages or ("caption",), instead_of=instead_of, by="me")


async def test_reload_is_the_next_version(shop: Shop):
    await shop.feeder().publish(b"a", "data")

    assert await reload(shop, b"b", 1) == 2
    assert await shop.job.settings() == Settings(2, b"b", "me")
    assert await shop.job.settings_mark() == Settings(2, b"b").mark


async def test_of_two_reloads_at_once_one_wins(shop: Shop):
    await shop.feeder().publish(b"a", "data")

    answers = await asyncio.gather(*(reload(shop, b"%d" % n, 1) for n in range(5)))

    assert sorted(answers, key=str) == [2, None, None, None, None]
    winner = b"%d" % answers.index(2)
    assert await shop.job.settings() == Settings(2, winner, "me")


async def test_reload_of_a_job_that_is_gone_changes_nothing(shop: Shop):
    assert await reload(shop, b"b", 1) is None
    assert await shop.dump() == {}


async def test_reload_of_a_full_server_is_done(shop: Shop):
    await shop.feeder().publish(b"a", "data")
    await reload(shop, b"b", 1)  # the script is known to the server then
    await shop.redis.config_set("maxmemory", 1)
    try:
        assert await reload(shop, b"c", 2) == 3
    finally:
        await shop.redis.config_set("maxmemory", 0)


async def test_feeder_that_starts_again_takes_no_reload_back(shop: Shop):
    await shop.feeder().publish(b"a", "data")
    await reload(shop, b"b", 1)

    assert await shop.feeder().publish(b"a", "data") == Settings(2, b"b", "me")
    assert await shop.job.settings() == Settings(2, b"b", "me")


async def test_feeder_of_another_host_takes_no_reload_back(shop: Shop):
    await shop.feeder(host="one").publish(b"a", "data")
    await reload(shop, b"b", 1)

    assert (await shop.feeder(host="two").publish(b"a", "data")).document == b"b"


async def test_feeders_of_two_hosts_take_nothing_back_from_each_other(shop: Shop):
    """Each may die and be started again; only an edited document is news."""
    await shop.feeder(host="one").publish(b"a", "data")
    await shop.feeder(host="two").publish(b"b", "data")

    for host, document in (("one", b"a"), ("two", b"b")):
        assert (await shop.feeder(host=host).publish(document, "data")).document == b"b"


async def test_feeder_with_an_edited_document_publishes_it(shop: Shop):
    await shop.feeder().publish(b"a", "data")
    await reload(shop, b"b", 1)

    published = await shop.feeder(host="h").publish(b"c", "data")

    assert published == Settings(3, b"c", "feed on h")


async def test_feeder_given_what_was_reloaded_changes_nothing(shop: Shop):
    await shop.feeder().publish(b"a", "data")
    await reload(shop, b"b", 1)

    assert await shop.feeder().publish(b"b", "data") == Settings(2, b"b", "me")
    assert (await shop.feeder().publish(b"a", "data")).version == 3


# Settings that Redis forgot


async def test_reminder_publishes_what_is_forgotten_under_a_version_of_its_own(shop: Shop):
    await shop.feeder().remind(Settings(7, b"{}", "me"), "data")

    assert await shop.job.settings() == Settings(7 + APART, b"{}", "me")
    assert await shop.job.settings_mark() == Settings(7 + APART, b"{}").mark
    assert await only_job(shop.job.connections) == "job"


async def test_reminder_publishes_what_a_crash_has_taken_back(shop: Shop):
    await shop.feeder().publish(b"old", "data")

    await shop.feeder().remind(Settings(2, b"new", "me"), "data")

    assert await shop.job.settings() == Settings(2 + APART, b"new", "me")


async def test_reminder_of_a_feeder_leaves_what_a_later_one_published(shop: Shop):
    published = await shop.feeder().publish(b"of today", "data", least=2)
    await shop.redis.delete(JOBS)

    await shop.feeder().remind(Settings(1, b"of yesterday"), "data")

    assert await shop.job.settings() == published
    assert await only_job(shop.job.connections) == "job"


async def test_feeder_that_starts_again_takes_nothing_back_after_a_flush(shop: Shop):
    feeder = shop.feeder()
    await feeder.publish(b"a", "data")
    await reload(shop, b"b", 1)
    seen = await shop.job.settings()
    assert seen is not None
    await shop.redis.flushall()

    await feeder.remind(seen, "data")

    assert (await shop.feeder().publish(b"a", "data")).document == b"b"


# Stages


async def test_stages_that_the_job_once_had_are_kept(two_stages: Shop):
    await two_stages.feeder().publish(b"a", "data")
    await reload(two_stages, b"b", 1, "look", "say")
    await two_stages.feeder().remind(Settings(9, b"c"), "data")

    assert await two_stages.job.former_stages(["look", "say"]) == ["tell"]
    assert await two_stages.job.former_stages([]) == ["look", "say", "tell"]


async def test_samples_are_offered_to_the_first_stage_of_the_settings(two_stages: Shop):
    await two_stages.plan(1)
    feeder = two_stages.feeder()
    feeder.serve(["glance", "tell"])
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk), PLENTY)

    assert len(await two_stages.entries(two_stages.lane.samples("glance"))) == 1


# Which job


async def test_only_job_of_a_server_is_found(shop: Shop):
    assert await only_job(shop.job.connections) is None
    await shop.feeder().publish(b"{}", "data")

    assert await only_job(shop.job.connections) == "job"


async def test_choice_of_jobs_is_the_users(shop: Shop):
    for name in ("job", "other"):
        other = Shop(shop.job.connections)
        other.job = RedisJob(shop.job.connections, name)
        await other.feeder().publish(b"{}", "data")

    with pytest.raises(ConfigError, match="job, other"):
        await only_job(shop.job.connections)
