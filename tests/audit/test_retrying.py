"""Audit, while dead letters are retried or dropped: what goes back up the flow is not missing."""

from collections.abc import AsyncIterator

import pytest
from msgspec import UNSET

from caption_flow.feed.again import retry
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.ports import LetterFilter
from caption_flow.queue.ports.audit import Sighting, Waiting
from tests.audit.office import ALL, Office
from tests.made import LEASE


@pytest.fixture
def letters(office: Office) -> RedisDeadLetters:
    """Those of the job, of which there will be one."""
    (office.root / "00003.jpg").write_bytes(b"no image")
    return RedisDeadLetters(office.roles.job.connections, office.roles.job.job)


def hooked(kind: type[RedisAuditQueue], office: Office) -> RedisAuditQueue:
    stages = [stage.name for stage in office.roles.told.stages]
    return kind(office.roles.job, stages=stages, lease_seconds=LEASE)


async def test_sample_retried_while_one_looks_is_seen(office: Office, letters: RedisDeadLetters):
    """It was a dead letter when the chunks were read, and is in one when the letters are."""
    await office.midway()
    waiting = (await office.look()).totals.waiting

    class Retrying(RedisAuditQueue):
        async def in_flight(self) -> AsyncIterator[list[Sighting]]:
            await retry(letters, letters.letters(LetterFilter()), UNSET)
            async for batch in super().in_flight():
                yield batch

    found = await office.look(queue=hooked(Retrying, office))

    assert found.missing == ()
    assert found.totals.waiting == waiting + 1


async def test_sample_that_is_never_where_one_looks_is_not_missing(
    office: Office, letters: RedisDeadLetters
):
    """It is fed again whenever the chunks were read, and given up whenever the letters were."""
    await office.finish()
    looks = 0

    class Cycling(RedisAuditQueue):
        async def chunks(self) -> list[Waiting]:
            waiting = await super().chunks()
            await retry(letters, letters.letters(LetterFilter()), UNSET)
            return waiting

        async def dead(self) -> AsyncIterator[list[Sighting]]:
            nonlocal looks
            looks += 1
            async for batch in super().dead():
                assert not batch
                yield batch
            await office.roles.feeder(office.source).run()

    found = await office.look(queue=hooked(Cycling, office))

    assert looks > 1
    assert found.missing == ()
    assert found.totals.missing == 0
    assert (await office.look()).totals.dead == 1


async def test_dropped_sample_is_wanted_no_more(office: Office, letters: RedisDeadLetters):
    await office.finish()
    [given_up] = [batch async for batch in letters.letters(LetterFilter())]
    await letters.drop(given_up)

    found = await office.look()

    assert found.balanced
    assert found.totals.planned == ALL - 1
