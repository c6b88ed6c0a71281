"""Settings: one document for a job, with a version that tells when it changed."""

import pytest

from caption_flow.errors import ConfigError, QueueUnfit
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.keys import JOBS
from caption_flow.queue.ports import Settings
from tests.queue.shop import Shop


async def test_job_without_settings_has_none(shop: Shop):
    assert await shop.job.settings() is None


async def test_published_settings_are_read(shop: Shop):
    published = await shop.feeder().publish(b"{}", "data")

    assert published == Settings(1, b"{}")
    assert await shop.job.settings() == published


async def test_version_rises_when_the_document_changes_only(shop: Shop):
    documents = [b"a", b"a", b"b", b"b", b"a"]
    versions = [(await shop.feeder().publish(d, "data")).version for d in documents]

    assert versions == [1, 1, 2, 2, 3]


async def test_job_of_another_data_set_is_refused_by_name(shop: Shop):
    await shop.feeder().publish(b"{}", "data")

    with pytest.raises(QueueUnfit, match="data"):
        await shop.feeder().publish(b"new", "others")
    assert await shop.job.settings() == Settings(1, b"{}")


async def test_reminder_publishes_what_is_forgotten(shop: Shop):
    await shop.feeder().remind(b"{}", "data")

    assert await shop.job.settings() == Settings(1, b"{}")
    assert await only_job(shop.job.connections) == "job"


async def test_reminder_of_a_feeder_leaves_what_a_later_one_published(shop: Shop):
    await shop.feeder().publish(b"of today", "data")
    await shop.redis.delete(JOBS)

    await shop.feeder().remind(b"of yesterday", "data")

    assert await shop.job.settings() == Settings(1, b"of today")
    assert await only_job(shop.job.connections) == "job"


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
