"""An auditor of a shop, and samples in all places for it to find."""

from caption_flow.model import ChunkLease
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.ports.audit import Sighting
from tests.queue.shop import (
    LEASE_SECONDS,
    PLENTY,
    Shop,
    done,
    entries_of,
    failed,
    offers_of,
    rejection_of,
)


def auditor(shop: Shop) -> RedisAuditQueue:
    return RedisAuditQueue(shop.job, stages=shop.stages, lease_seconds=LEASE_SECONDS)


async def claimed(shop: Shop, name: str = "feeder") -> ChunkLease:
    lease = await shop.feeder(name).claim_chunk()
    assert lease is not None
    return lease


async def everywhere(shop: Shop) -> None:
    """Samples in all places: two chunks, one of them begun, each stage, captions, a part, dead."""
    await shop.caption(3)
    sink = shop.sink()
    captions = await sink.read(2)
    await sink.commit("part-a", b'{"rows":2}', entries_of(captions))
    await shop.offer(5)
    worker = await shop.worker()
    leases = await worker.claim(5)
    await worker.complete(done(leases[:2]))
    await worker.fail(failed(leases[2:3]))
    await shop.plan(4, 6)
    lease = await claimed(shop)
    offers = [*offers_of(lease.chunk, 0, 2), rejection_of(lease.chunk, lease.chunk.names[2])]
    assert (await shop.feeder().offer(lease, offers, PLENTY)).status == "ok"


async def seen(shop: Shop) -> list[Sighting]:
    return [one async for batch in auditor(shop).in_flight() for one in batch]
