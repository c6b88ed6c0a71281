"""Images with known captions: nobody can tell which of those that are sent they are."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from caption_flow.config.proxy import ChecksConfig, ProxyConfig
from caption_flow.model import Raw, Reference
from caption_flow.queue.connect import Connections
from caption_flow.wire.frames import (
    Complete,
    Defer,
    Did,
    Fail,
    Fetch,
    Lost,
    Release,
    Renewal,
    SampleSent,
    Settled,
    Suspect,
)
from tests.made import jpeg, settings
from tests.proxy.checks.audited import GRANTS, KNOWN, TESS, entries, known_folder, open_
from tests.proxy.client import RawClient, failure, record, sample_of
from tests.proxy.house import ANN, BOB, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles, until

__all__ = ["open_"]


async def taken_with_probes(
    client: RawClient, count: int
) -> tuple[list[SampleSent], list[SampleSent]]:
    """Take samples until some are probes; answers those of the job, and the others."""
    probes = {jpeg(100_000 + n) for n in range(KNOWN)}
    real, known = [], []
    for _ in range(count):
        await client.credit(1, 1 << 12)
        sent = await client.hear(SampleSent)
        told, image = await client.image()
        assert (told.entry, told.gone) == (sent.entry, False)
        (known if image in probes else real).append(sent)
    return real, known


async def test_probes_look_like_samples(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.3)
    home = audited.home
    await home.offer(100)
    client = await home.worker()

    real, known = await taken_with_probes(client, 60)

    assert len(real) > 10 < len(known)
    for sent in (*real, *known):
        sample = sample_of(sent)
        assert (sample.id, sent.image) == (sent.entry, sent.entry)
        assert (sample.shard, sample.chunk, sample.source) == (".", "", "")
        assert sent.entry not in {e.decode() for e, _ in await entries(home)}
    for what in (shape, lambda sent: sample_of(sent).dataset):
        assert {what(sent) for sent in real} == {what(sent) for sent in known}
    # Ids say nothing of what came before what: both are spread over all that there may be.
    for some in (real, known):
        highs = [int(sent.entry.split("-")[0]) >> 63 for sent in some]
        assert 0 < sum(highs) < len(highs)
    assert len({sent.entry for sent in (*real, *known)}) == 60


def shape(sent: SampleSent) -> object:
    """All of a frame but for what is said of one image."""
    plain = msgspec.json.decode(sent.sample)
    for name in ("id", "sha256", "bytes"):
        plain[name] = type(plain[name]).__name__
    return (
        *(sent.channel, sent.stage, sent.attempt, sent.outcomes, sent.failures, sent.pushed),
        msgspec.json.encode(plain),
    )


async def test_probes_are_answered_like_samples(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.3)
    home = audited.home
    await home.offer(100)
    client = await home.worker()
    real, known = await taken_with_probes(client, 60)
    pairs = list(zip(real, known, strict=False))
    assert len(pairs) >= 8

    async def fetched(sent: SampleSent) -> object:
        await client.say(Fetch(next(client.ids), 0, (sent.entry,)))
        told, image = await client.image()
        await client.hear(Did)
        return told.gone, len(image) > 100

    async def lost(sent: SampleSent) -> object:
        return len((await client.ask(Renewal, 0, (sent.entry,), answer=Lost)).entries)

    async def completed(sent: SampleSent) -> object:
        return await client.complete(home.told, [sent])

    async def failed(sent: SampleSent) -> object:
        why = ((sent.entry, failure("truncated")),)
        return (await client.ask(Fail, 0, why, answer=Settled)).ours

    async def deferred(sent: SampleSent) -> object:
        why = ((sent.entry, failure(), 60.0),)
        return isinstance(await client.ask(Defer, 0, why, answer=Did), Did)

    async def suspected(sent: SampleSent) -> object:
        why = (sent.entry, failure("worker_died"))
        return isinstance(await client.ask(Suspect, 0, *why, answer=Did), Did)

    for acts, expected, pair in zip(
        [(fetched, lost, suspected, completed, lost, completed), (failed, lost), (deferred, lost)],
        [((False, True), 0, True, (True,), 1, (False,)), ((True,), 1), (True, 1)],
        pairs,
        strict=False,
    ):
        for sent in pair:
            assert tuple([await act(sent) for act in acts]) == expected


@pytest.mark.parametrize("of_the_job", [True, False])
async def test_wrong_outcome_of_a_probe_is_refused_likewise(
    open_, tmp_path: Path, *, of_the_job: bool
):
    audited = await open_(known=known_folder(tmp_path), known_share=0.3)
    await audited.home.offer(40)
    client = await audited.home.worker()
    sent = (await taken_with_probes(client, 30))[0 if of_the_job else 1][0]

    wrong = record(audited.home.told, sent, outputs={"other": ["x"]})
    await client.say(Complete(next(client.ids), 0, ((sent.entry, (wrong,)),)))

    assert (await client.closed())[0] == 4403


async def test_probes_have_columns_and_names_where_prompts_use_them(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "tests.roles.raw_of",
        lambda name, image: Raw(name, f"/far/{name}", image, {"alt": f"of {name}"}),
    )
    roles = Roles(connections, tmp_path, settings(prompts=["{filename}, {alt}?"]))
    await publish(roles)
    checks = ChecksConfig(known=known_folder(tmp_path), known_share=0.4)
    config, admission = ProxyConfig(checks=checks), ListedTokens(GRANTS)
    async with house(connections, roles, config=config, admission=admission) as home:
        await home.offer(60)
        await taken_with_probes(await home.worker(BOB), 20)

        real, known = await taken_with_probes(await home.worker(), 14)

        assert all(sample_of(s).source in {f"{n:05}.jpg" for n in range(60)} for s in real)
        assert all(sample_of(s).source in {f"k{n}.jpg" for n in range(KNOWN)} for s in known)
        # What she has not seen, at that: those samples were sent to Bob.
        shown = [sample_of(s).columns["alt"] for s in known][:8]
        assert shown
        assert len({*shown, *(sample_of(s).columns["alt"] for s in real)}) == len(real) + len(shown)


async def test_samples_without_pixels_are_checked_too_but_never_probes(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.9, share=1.0)
    await audited.home.roles.offer([Reference(f"https://x.example/{n}.jpg") for n in range(8)])
    client = await audited.home.worker()
    sent = await client.take(8)
    assert {sample_of(one).reference is not UNSET for one in sent} == {True}
    await client.complete(audited.home.told, sent)

    [again] = await (await audited.home.worker(TESS)).take(1)

    assert not again.pushed
    assert sample_of(again).reference.url.startswith("https://x.example/")


async def test_probe_is_counted_once_and_what_is_handed_back_is_told(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.5)
    await audited.home.offer(60)
    client = await audited.home.worker()
    _, known = await taken_with_probes(client, 40)

    for _ in range(2):
        await client.complete(audited.home.told, known[:3])
    await client.ask(Release, 0, (known[3].entry,), answer=Did)
    await client.ask(Fail, 0, ((known[4].entry, failure()),), answer=Settled)

    assert await audited.figures("ann") == (3, 0)
    [ann] = [c for c in await audited.contributors() if c.name == "ann"]
    assert (ann.unanswered, ann.agreement) == (2, 0)
    assert await audited.home.roles.dead() == {}


async def test_probes_survive_a_cut_as_samples_do(open_, tmp_path: Path):
    """Else who breaks its connection before each answer would learn which are lost."""
    told = {"known": known_folder(tmp_path), "known_share": 0.4, "resume_seconds": 2.0}
    audited, other = await open_(**told), await open_(**told)
    await audited.home.offer(60)
    client = await audited.home.worker()
    real, known = await taken_with_probes(client, 40)
    held = [sent.entry for sent in (*real[1:], *known[1:])]
    client.cut()

    back = await RawClient.enter(other.home.url, ANN, resume=client.welcome.ticket)
    assert (await back.serve(holding=held)).lost == ()

    # What never arrived is sent again.
    again = [s.entry for s in await back.take(2)]
    assert set(again) == {real[0].entry, known[0].entry}
    assert await back.complete(audited.home.told, [real[1], known[1]]) == (True, True)
    await audited.home.has_given_up(left=0)  # and nothing goes with the former connection
    assert await back.complete(audited.home.told, [real[2], known[2]]) == (True, True)
    assert await audited.figures("ann") == (2, 0)


async def test_probes_of_who_stays_away_are_forgotten(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.4)
    await audited.home.offer(60)
    client = await audited.home.worker()
    await taken_with_probes(client, 20)
    redis, lane = audited.home.roles.client, audited.home.roles.job.lane
    assert await redis.keys(lane.probes("*"))

    client.cut()

    await until(lambda: _gone(redis, lane.probes("*")))
    assert await audited.figures("ann") == (0, 0)


async def _gone(redis, pattern: str) -> bool:
    return not await redis.keys(pattern)


async def test_no_image_is_shown_twice_to_one_contributor(open_, tmp_path: Path):
    folder = known_folder(tmp_path, 3)
    first = await open_(known=folder, known_share=0.5)
    second = await open_(known=folder, known_share=0.5)
    await first.home.offer(60)
    seen = []
    for audited in (first, second):
        client = await audited.home.worker()
        for _ in range(20):
            await client.credit(1, 1 << 12)
            await client.hear(SampleSent)
            seen.append((await client.image())[1])

    assert len(set(seen)) == len(seen)
    assert len(set(seen) & {jpeg(100_000 + n) for n in range(3)}) == 3


async def test_nothing_is_sent_where_nothing_waits(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.5)
    client = await audited.home.worker()
    await client.credit(20)
    assert await client.quiet(SampleSent)
    await audited.home.offer(4)
    for _ in range(4):
        await client.hear(SampleSent)
    await asyncio.sleep(0.3)
    sent = [frame for frame, _ in client._kept[SampleSent]]
    assert len(sent) <= 8
