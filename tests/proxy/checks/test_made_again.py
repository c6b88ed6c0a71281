"""Samples that are captioned again by who is trusted, beside what contributors made of them."""

import pytest

from caption_flow.config.proxy import ChecksConfig, ProxyConfig
from caption_flow.queue.connect import Connections
from caption_flow.wire.frames import (
    Complete,
    Did,
    Fail,
    Lost,
    Release,
    Renewal,
    SampleSent,
    Settled,
)
from tests.made import jpeg
from tests.proxy.checks.audited import (
    GRANTS,
    TESS,
    Audited,
    entries,
    only_samples_of_the_job,
    open_,
)
from tests.proxy.client import failure, record, sample_of
from tests.proxy.house import house
from tests.proxy.listed import ListedTokens
from tests.roles import Roles

__all__ = ["open_"]


async def test_only_who_is_trusted_gets_what_is_made_again(open_):
    audited = await open_(share=1.0)
    home = audited.home
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    assert (await client.image())[1] == jpeg(0)
    await client.complete(home.told, [sent], outputs={"captions": ["a green square"]})
    assert await audited.waiting() == 1
    await client.credit(1)
    assert await client.quiet(SampleSent)

    tess = await home.worker(TESS)
    [again] = await tess.take(1)

    assert sample_of(again).id == "00000.jpg"
    assert (await tess.image())[1] == jpeg(0)  # though the job's is gone
    outputs = {"captions": ["A green circle"]}
    assert await tess.complete(home.told, [again], outputs=outputs) == (True,)
    assert await tess.complete(home.told, [again], outputs=outputs) == (False,)
    assert await audited.figures("ann") == (1, 1)
    [ann] = [c for c in await audited.contributors() if c.name == "ann"]
    assert ann.agreement == pytest.approx(2 / 3, abs=1e-5)
    assert await audited.waiting() == 0
    await only_samples_of_the_job(home, 1)
    lane = home.roles.job.lane
    assert await home.roles.client.hgetall(lane.checking("caption")) == {b"bytes": b"0"}


async def test_what_a_trusted_worker_hands_back_is_made_by_another(open_):
    audited = await open_(share=1.0)
    await audited.home.offer(2)
    client = await audited.home.worker()
    await client.complete(audited.home.told, await client.take(2))
    tess, other = await audited.home.worker(TESS), await audited.home.worker(TESS, member="m2")

    first, second = await tess.take(2)
    assert (await tess.ask(Renewal, 0, (first.entry,), answer=Lost)).entries == ()
    await tess.ask(Release, 0, (first.entry,), answer=Did)
    [again] = await other.take(1)
    assert sample_of(again).id == sample_of(first).id
    tess.cut()
    [last] = await other.take(1)
    assert sample_of(last).id == sample_of(second).id
    await other.ask(Fail, 0, ((last.entry, failure()),), answer=Settled)
    await other.complete(audited.home.told, [again])

    assert await audited.waiting() == 0
    assert await audited.figures("ann") == (1, 1)
    assert await audited.home.roles.dead() == {}


@pytest.mark.parametrize("which", [0, 1])
async def test_any_stage_of_a_visit_is_checked_by_itself(
    connections: Connections, two_stages: Roles, monkeypatch: pytest.MonkeyPatch, which: int
):
    told, names = two_stages.told, ("look", "tell")
    config, admission = ProxyConfig(checks=ChecksConfig(share=1.0)), ListedTokens(GRANTS)
    async with house(connections, two_stages, config=config, admission=admission) as home:
        monkeypatch.setattr(home.door._common.checks, "chosen", lambda *_: which)
        await home.offer(1)
        client, tess = await home.worker(), await home.worker(TESS)
        [sent] = await client.take(1)
        said = {name: {"captions": [name]} for name in names}
        done = tuple(record(told, sent, stage=name, outputs=said[name]) for name in names)
        await client.ask(Complete, 0, ((sent.entry, done),), answer=Settled)

        [again] = await tess.take(1)

        assert again.stage == names[which]
        assert len(again.outcomes) == which
        assert await tess.complete(told, [again], outputs=said[again.stage]) == (True,)
        assert await Audited(home).figures("ann") == (1, 1)


async def test_lost_lease_leaves_nothing_to_check(open_):
    audited = await open_(share=1.0)
    await audited.home.offer(1)
    client = await audited.home.worker()
    sent = await client.take(1)
    roles = audited.home.roles
    stream = roles.job.lane.samples("caption")
    await roles.client.xclaim(
        stream, "workers", "another", 0, [(await entries(audited.home))[0][0]]
    )

    assert await client.complete(audited.home.told, sent) == (False,)
    assert await audited.waiting() == 0


async def test_where_there_is_no_room_captions_go_on(open_, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.queue.checks.MOST_BYTES", 3000)
    audited = await open_(share=1.0)
    await audited.home.offer(20)
    client = await audited.home.worker()

    assert all(await client.complete(audited.home.told, await client.take(20)))

    assert 0 < await audited.waiting() < 20
    lane = audited.home.roles.job.lane
    waiting = int(await audited.home.roles.client.hget(lane.checking("caption"), "bytes"))
    assert 0 < waiting <= 3000
    await only_samples_of_the_job(audited.home, 20)

    await audited.home.roles.client.delete(lane.checks("caption"))  # by hand
    await audited.home.offer(1, first=20)
    await client.complete(audited.home.told, await client.take(1))
    assert await audited.waiting() == 1


async def test_checks_take_a_share_of_a_trusted_worker(open_):
    audited = await open_(share=1.0)
    home = audited.home
    await home.offer(60)
    client = await home.worker()
    await client.complete(home.told, await client.take(20))
    tess = await home.worker(TESS)

    sent = [(await tess.take(1))[0] for _ in range(40)]

    checks = [one for one in sent if int(one.entry.split("-")[1]) >= 1 << 63]
    assert 5 <= len(checks) <= 10
