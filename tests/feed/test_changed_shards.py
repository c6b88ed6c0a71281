"""A shard that changed since it was planned is planned anew, and nothing is fed twice or lost."""

import logging
from collections.abc import Iterator, Sequence

import pytest
from msgspec import UNSET

from caption_flow.dataset.source import ShardChanged
from caption_flow.feed import look as looking
from caption_flow.feed.again import retry
from caption_flow.feed.selection import Selection
from caption_flow.model import Chunk, Listed
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.ports import Budget, LetterFilter
from tests.feed.changing import SHARD, Table
from tests.made import jpeg
from tests.queue.shop import failed
from tests.roles import (
    Roles,
    ends,
    kill,
    running,
    until,
)


def ids(count: int) -> list[str]:
    return sorted(f"{SHARD}/{row}" for row in range(count))


async def plan(roles: Roles, table: Table) -> None:
    await ends(roles.planner(table, chunk_size=2).run())


async def test_places_and_fingerprint_travel_with_the_chunk(roles: Roles):
    table = Table([7, 8, 9])
    await plan(roles, table)

    lease = await roles.feed_queue().claim_chunk()

    assert lease is not None
    assert lease.chunk.listed(1) == [Listed("1", "row 1")]
    assert lease.chunk.fingerprint == table.fingerprint(SHARD)


async def test_a_shard_that_changed_is_fed_as_it_is_now(roles: Roles):
    table = Table(range(5))
    await plan(roles, table)
    table.hold(range(10, 17))

    await ends(roles.feeder(table).run())

    assert await roles.waiting() == ids(7)
    counts = await roles.counts()
    assert (counts.planned, counts.offered, counts.plan_done) == (7, 7, True)


async def test_what_was_fed_before_the_change_is_not_fed_again(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(looking, "OFFER_SAMPLES", 1)
    table = Table(range(6))
    few = Budget(bytes=1 << 30, samples=3)
    async with running(roles.feeder(table, chunk_size=6, budget=few).run()) as task:
        await until(lambda: _offered(roles, 3))
        await kill(task)
    await roles.expire_chunks()
    table.hold([*range(6), 99])

    await ends(roles.feeder(table, chunk_size=6).run())

    assert await roles.waiting() == ids(7)
    assert (await roles.counts()).planned == 7


async def _offered(roles: Roles, count: int) -> bool:
    return (await roles.counts()).offered == count


async def test_a_plan_in_progress_is_begun_anew_when_its_shard_changed(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    table = Table(range(100))
    async with running(roles.planner(table, chunk_size=2).run()) as planning:
        await until(lambda: _waiting(roles, 16))
        await kill(planning)
    table.hold(range(100, 150))

    with caplog.at_level(logging.WARNING):
        await ends(roles.feeder(table, chunk_size=2).run())

    assert await roles.waiting() == ids(50)
    assert "has changed" in caplog.text


async def _waiting(roles: Roles, chunks: int) -> bool:
    return int(await roles.client.xlen(roles.job.lane.chunks)) == chunks


async def test_a_shard_that_never_rests_ends_the_feeder(roles: Roles):
    class Restless(Table):
        def fingerprint(self, shard: str) -> str:
            self._numbers = [*self._numbers, len(self._numbers)]
            return super().fingerprint(shard)

    with pytest.raises(ShardChanged):
        await ends(roles.feeder(Restless([1])).run())


async def test_a_shard_that_says_it_is_what_it_was_and_is_not_ends_the_feeder(roles: Roles):
    class Unreadable(Table):
        """Its facts are those of the day of planning; reading it fails all the same."""

        def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = ""):
            del wanted, fingerprint
            raise ShardChanged(f"{shard} ends before byte 700.")

    with pytest.raises(ShardChanged):
        await ends(roles.feeder(Unreadable([1])).run())


async def test_feeders_whose_copies_differ_end_with_advice(roles: Roles):
    """Else each would withdraw what the other plans, for very long."""

    class Copy(Table):
        def fingerprint(self, shard: str) -> str:
            return f"copy of {super().fingerprint(shard)}"

    table = Table(range(4))
    feeder = roles.feeder(Copy(range(4)), planner=roles.planner(table, chunk_size=2))

    with pytest.raises(ShardChanged, match="copy with times"):
        await ends(feeder.run())


async def test_a_sample_that_is_tried_again_is_found_without_its_place(roles: Roles):
    """Its chunk has no fingerprint either: it was planned long ago."""
    table = Table(range(3))
    queue = roles.feed_queue()
    chunk = Chunk(f"{SHARD}:retry-1", "pictures", SHARD, ("1",))
    await queue.plan("", '{"word":"w","done":true}', chunk, backlog=9, done=True)

    lease = await queue.claim_chunk()
    assert lease is not None
    [[offer]] = looking.offers(table, lease.chunk, lease.chunk.listed(), roles.told.images)

    assert offer.image == jpeg(1)


class Two(Table):
    """Two shards; a selection may be of one of them."""

    def shards(self, start: str | None = None) -> Iterator[str]:
        yield from (shard for shard in ("a", "b") if shard >= (start or ""))


@pytest.mark.parametrize("ends_before", [True, False])
async def test_what_a_narrower_feeder_withdraws_is_planned_anew_too(
    roles: Roles, ends_before: bool
):
    """Its own selection leaves out the shard that has changed."""
    table = Two(range(5))
    await plan(roles, table)
    only_b = Selection(shards=("b",))
    if ends_before:
        await ends(roles.planner(table, selection=only_b).run())
    table.hold(range(10, 16))

    await ends(roles.feeder(table, selection=only_b).run())

    assert await roles.waiting() == [f"{shard}/{row}" for shard in "ab" for row in range(6)]
    assert (await roles.counts()).planned == 12


async def test_sample_tried_again_whose_shard_changes_is_planned_anew(roles: Roles):
    """It is not among those that were retried any more, whom no planner takes for new."""

    class Brief(Table):
        """Ends before what is asked, once: it is just being written."""

        whole = False

        def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = ""):
            if not fingerprint and not self.whole:
                self.whole = True
                raise ShardChanged(f"{shard} is shorter than it was.")
            return super().samples(shard, wanted, fingerprint)

    table = Brief(range(3))
    await ends(roles.feeder(table).run())
    queue = await roles.work_queue()
    leases = await queue.claim(1)
    await queue.fail(failed(leases))
    letters = RedisDeadLetters(roles.job.connections, roles.job.job)
    assert (await retry(letters, letters.letters(LetterFilter()), UNSET)).samples == 1

    await ends(roles.feeder(table).run())

    assert await roles.waiting() == ids(3)
    assert (await roles.counts()).planned == 3
