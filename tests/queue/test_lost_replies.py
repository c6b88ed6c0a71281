"""Lost replies: a command was done, its sender never knew, and doing it again does no harm."""

from collections.abc import Awaitable, Callable

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.model import ChunkLease
from tests.queue.lossy import LossyWire
from tests.queue.shop import (
    PLENTY,
    Shop,
    chunk_of,
    deferred,
    done,
    entries_of,
    failed,
    ids_of,
    offers_of,
    renew,
)

Call = Callable[[], Awaitable[object]]


async def lose(lossy: LossyWire, command: str, call: Call) -> None:
    """Let the call be done without an answer."""
    lossy.lose_answer_to(command)
    with pytest.raises(QueueUnreachable):
        await call()
    assert lossy.lost


async def test_samples_of_a_lost_claim_are_given_by_the_next(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    worker = await far_shop.worker()
    await worker.claim(1)
    await shop.offer(5)
    await lose(lossy, "XREADGROUP", lambda: worker.claim(5))

    leases = await worker.claim(5)

    assert ids_of(leases) == [f"0/{n}" for n in range(5)]
    assert await worker.claim(5) == []


async def test_claim_that_nobody_saw_is_no_attempt(shop: Shop, far_shop: Shop, lossy: LossyWire):
    """Neither for the samples in it, nor for those that were in hand all the while."""
    await shop.offer(4)
    worker = await far_shop.worker()
    await worker.claim(2)
    await lose(lossy, "XREADGROUP", lambda: worker.claim(2))

    assert [lease.attempt for lease in await worker.claim(2)] == [1, 1]
    rows = await shop.pending(shop.lane.samples("caption"), "workers")
    assert [row["times_delivered"] for row in rows] == [1, 1, 1, 1]


async def test_samples_in_hand_are_not_given_again_after_a_lost_claim(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.offer(5)
    worker = await far_shop.worker()
    in_hand = await worker.claim(2)
    await lose(lossy, "XREADGROUP", lambda: worker.claim(3))

    assert set(ids_of(await worker.claim(9))) == {"0/2", "0/3", "0/4"}
    assert await worker.complete(done(in_hand)) == [True, True]


async def test_lost_claim_is_given_in_portions(shop: Shop, far_shop: Shop, lossy: LossyWire):
    await shop.offer(5)
    worker = await far_shop.worker()
    await worker.claim(1)
    await lose(lossy, "XREADGROUP", lambda: worker.claim(4))

    portions = [ids_of(await worker.claim(2)) for _ in range(3)]

    assert portions == [["0/1", "0/2"], ["0/3", "0/4"], []]


async def test_unseen_samples_have_their_whole_lease(shop: Shop, far_shop: Shop, lossy: LossyWire):
    await shop.offer(1)
    worker = await far_shop.worker()
    await lose(lossy, "XREADGROUP", lambda: worker.claim(1))
    await shop.expire(shop.lane.samples("caption"))
    await worker.claim(1)

    assert await (await shop.worker("other")).claim(1) == []


async def test_unseen_sample_that_another_reclaimed_stays_there(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.offer(1)
    worker = await far_shop.worker()
    await lose(lossy, "XREADGROUP", lambda: worker.claim(1))
    await shop.expire(shop.lane.samples("caption"))
    other = await (await shop.worker("other")).claim(1)

    assert len(other) == 1
    assert await worker.claim(1) == []


async def test_samples_of_a_lost_reclaim_are_given_by_the_next(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.offer(3)
    await (await shop.worker("dead")).claim(3)
    worker = await far_shop.worker()
    await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await lose(lossy, "EVALSHA", lambda: worker.claim(3))

    assert sorted(ids_of(await worker.claim(3))) == ["0/0", "0/1", "0/2"]


@pytest.mark.parametrize("command", ["EVALSHA", "XREADGROUP"])
async def test_what_was_reclaimed_before_the_break_is_not_mislaid(
    shop: Shop, far_shop: Shop, lossy: LossyWire, command: str
):
    """A claim is several commands; what the first ones brought must survive the last one."""
    await shop.offer(4)
    await (await shop.worker("dead")).claim(2)
    worker = await far_shop.worker()
    worker._source._unseen = False  # its first look is done
    await worker._source._make_groups()
    await shop.expire(shop.lane.samples("caption"))
    await lose(lossy, command, lambda: worker.claim(4))

    found = ids_of(await worker.claim(4)) + ids_of(await worker.claim(4))

    assert sorted(found) == ["0/0", "0/1", "0/2", "0/3"]


async def test_after_an_outage_holders_may_renew_before_others_take_over(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    """Their leases ran out since nobody could renew them, not since they died."""
    await shop.offer(2)
    holder, worker = await shop.worker("holder"), await far_shop.worker()
    held = await holder.claim(2)
    await worker.claim(1)
    await lose(lossy, "XREADGROUP", lambda: worker.claim(1))
    await shop.expire(shop.lane.samples("caption"))

    assert await worker.claim(2) == []
    assert await renew(holder, held) == set()
    worker._source._reclaims._rest = 0.0  # the grace is over
    assert await worker.claim(2) == []
    await shop.expire(shop.lane.samples("caption"))
    worker._source._reclaims._rest = 0.0
    assert len(await worker.claim(2)) == 2


async def test_holder_that_could_not_renew_lets_others_do_so_too(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    """With its hands full it makes no other call in an outage."""
    await shop.offer(2)
    holder, worker = await shop.worker("holder"), await far_shop.worker()
    leases = await worker.claim(1)
    held = await holder.claim(1)
    await renew(worker, leases)  # the server knows the script
    await lose(lossy, "EVALSHA", lambda: renew(worker, leases))
    await shop.expire(shop.lane.samples("caption"))

    assert await worker.claim(2) == []
    assert await renew(holder, held) == set()


async def test_cancelled_claim_mislays_nothing(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    await worker.claim(1)
    source = worker._source
    read = source._read_new

    async def read_and_be_cancelled(*args: object, **options: bool):
        await read(*args, **options)
        raise TimeoutError

    source._read_new = read_and_be_cancelled
    with pytest.raises(TimeoutError):
        await worker.claim(1)
    source._read_new = read

    assert ids_of(await worker.claim(1)) == ["0/1"]


async def test_chunk_whose_cursor_was_not_told_is_given_again(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.plan(2)
    feeder = far_shop.feeder()
    await lose(lossy, "HGET", feeder.claim_chunk)

    lease = await feeder.claim_chunk()

    assert lease is not None
    assert lease.attempt == 1


async def test_lost_claims_of_chunks_are_given_one_by_one(shop: Shop):
    await shop.plan(1, 1, 1)
    feeder = shop.feeder()
    await shop.redis.xgroup_create(shop.lane.chunks, "feeders", id="0")
    await shop.redis.xreadgroup("feeders", "feeder", {shop.lane.chunks: ">"}, count=3)

    found = [await feeder.claim_chunk() for _ in range(4)]

    assert [lease and lease.chunk.id for lease in found] == ["0", "1", "2", None]


async def test_offer_after_a_lost_answer_is_told_where_to_go_on(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.plan(4)
    feeder = far_shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk, 0, 1), PLENTY)
    lease = ChunkLease(lease.entry, lease.chunk, 1, 1)
    batch = offers_of(lease.chunk, 1, 3)
    await lose(lossy, "EXEC", lambda: feeder.offer(lease, batch, PLENTY))

    answer = await feeder.offer(lease, batch, PLENTY)

    assert (answer.status, answer.cursor) == ("moved", 3)
    await shop.check_books()


async def test_last_offer_after_a_lost_answer_is_lost(shop: Shop, far_shop: Shop, lossy: LossyWire):
    await shop.plan(2)
    feeder = far_shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk, 0, 1), PLENTY)
    lease = ChunkLease(lease.entry, lease.chunk, 1, 1)
    await lose(lossy, "EXEC", lambda: feeder.offer(lease, offers_of(lease.chunk, 1), PLENTY))

    assert (await feeder.offer(lease, offers_of(lease.chunk, 1), PLENTY)).status == "lost"
    assert await shop.redis.xlen(shop.lane.images) == 2


async def test_plan_after_a_lost_answer_is_told_its_own_position(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    feeder = far_shop.feeder()
    await feeder.plan("", "a", chunk_of("a", 1), backlog=9, done=False)
    plan = ("a", "b", chunk_of("b", 1))
    await lose(lossy, "EVALSHA", lambda: feeder.plan(*plan, backlog=9, done=False))

    answer = await feeder.plan(*plan, backlog=9, done=False)

    assert (answer.status, answer.position) == ("moved", "b")
    assert (await shop.job.counts()).planned == 2


async def test_complete_after_a_lost_answer_counts_once(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.offer(3)
    worker = await far_shop.worker()
    leases = await worker.claim(3)
    await worker.complete(done(leases[:1]))
    await lose(lossy, "EVALSHA", lambda: worker.complete(done(leases[1:])))

    assert await worker.complete(done(leases[1:])) == [False, False]
    assert await shop.redis.xlen(shop.lane.captions) == 3
    await shop.check_books()


async def test_fail_after_a_lost_answer_counts_once(shop: Shop, far_shop: Shop, lossy: LossyWire):
    await shop.offer(3)
    worker = await far_shop.worker()
    leases = await worker.claim(3)
    await worker.fail(failed(leases[:1]))
    await lose(lossy, "EVALSHA", lambda: worker.fail(failed(leases[1:])))

    assert await worker.fail(failed(leases[1:])) == [False, False]
    await shop.check_books()


async def test_deferral_after_a_lost_answer_is_one_attempt(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.offer(2)
    worker = await far_shop.worker()
    leases = await worker.claim(2)
    await worker.defer(deferred(leases[:1]))
    await lose(lossy, "EVALSHA", lambda: worker.defer(deferred(leases[1:])))
    await worker.defer(deferred(leases[1:]))

    found = await (await shop.worker("other")).claim(2)

    assert [(lease.attempt, len(lease.failures)) for lease in found] == [(2, 1), (2, 1)]


async def test_commit_after_a_lost_answer_loses_nothing(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.caption(4)
    sink = far_shop.sink()
    entries = entries_of(await sink.read(4))
    await sink.commit("first", b"{}", entries[:1])
    await lose(lossy, "EVALSHA", lambda: sink.commit("part", b"{}", entries[1:]))

    assert await sink.commit("part", b"{}", entries[1:]) == []
    assert (await shop.job.counts()).captioned == 4
    await shop.check_books()


async def test_captions_of_a_lost_read_are_given_by_the_next(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    await shop.caption(3)
    sink = far_shop.sink()
    await lose(lossy, "XREADGROUP", lambda: sink.read(3))

    assert len(await sink.read(3)) == 3
    assert await sink.read(3) == []
