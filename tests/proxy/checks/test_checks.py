"""Contributors are checked: who lies is found out, and nobody can tell when that happens."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from caption_flow.config.proxy import ChecksConfig, ProxyConfig
from caption_flow.errors import ConfigError
from caption_flow.model import Raw, Reference
from caption_flow.queue.checks import RedisChecks
from caption_flow.queue.connect import Connections
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.relay import RelayQueue
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
from tests.proxy.client import RawClient, failure, record, sample_of
from tests.proxy.house import ANN, BOB, House, grant, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles, jpeg, settings, until

TESS = "token of tess"
GRANTS = (grant("ann", ANN), grant("bob", BOB), grant("tess", TESS, trusted=True))
KNOWN = 60


def truth(image: bytes) -> str:
    """What an honest worker says of an image: words that no other image has."""
    digest = hashlib.sha256(image).hexdigest()
    return " ".join(digest[n : n + 8] for n in range(0, 48, 8))


def nonsense(_image: bytes) -> str:
    return "nothing of what it shows"


def known_folder(root: Path, count: int = KNOWN) -> str:
    folder = root / "known"
    folder.mkdir()
    images = {f"k{n}.jpg": jpeg(100_000 + n) for n in range(count)}
    for name, image in images.items():
        (folder / name).write_bytes(image)
    told = {name: truth(image) for name, image in images.items()}
    (folder / "captions.json").write_text(json.dumps(told))
    return str(folder)


class Audited:
    """A job with a proxy that checks, and who works for it."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.redis = RedisChecks(home.roles.job)

    async def work(
        self, token: str, say: Callable[[bytes], str], until_: int, *, credit: int = 8
    ) -> int:
        """Caption until so many samples are completed; answers how many were taken."""
        client = await self.home.worker(token, member=f"m{random.randrange(10**9)}")
        await client.credit(credit, 1 << 20)
        taken = 0
        while (await self.home.roles.counts()).completed < until_:
            try:
                async with asyncio.timeout(0.2):
                    sent = await client.hear(SampleSent)
            except TimeoutError:
                continue
            taken += await self.answer(client, sent, say)
            await client.credit(1, 1 << 12)
        await client.leave()
        return taken

    async def answer(self, client: RawClient, sent: SampleSent, say: Callable[[bytes], str]) -> int:
        told, image = await client.image()
        assert told.entry == sent.entry
        outputs = {"captions": [say(image)]}
        return sum(await client.complete(self.home.told, [sent], outputs=outputs))

    async def check_all(self) -> None:
        """Let the trusted worker make again what waits."""
        client = await self.home.worker(TESS)
        await client.credit(8, 1 << 20)
        while await self.waiting():
            sent = await client.hear(SampleSent)
            await self.answer(client, sent, truth)
            await client.credit(1, 1 << 12)
        await client.leave()

    async def waiting(self) -> int:
        return await self.home.roles.client.xlen(self.home.roles.job.lane.checks("caption"))

    async def figures(self, name: str) -> tuple[int, int]:
        found = {c.name: c for c in await self.contributors()}
        return (found[name].checked, found[name].agreed) if name in found else (0, 0)

    async def contributors(self):
        job = self.home.roles.job
        return await RedisContributors(job.connections, job.job).contributors()


@pytest.fixture
async def open_(connections: Connections, roles: Roles) -> AsyncIterator[Callable[..., object]]:
    """Opens proxies that check."""
    await publish(roles)
    opened = []

    async def open_one(resume_seconds: float = 0.3, **checks: object) -> Audited:
        config = ProxyConfig(resume_seconds=resume_seconds, checks=ChecksConfig(**checks))
        context = house(connections, roles, config=config, admission=ListedTokens(GRANTS))
        opened.append(context)
        return Audited(await context.__aenter__())

    yield open_one
    for context in reversed(opened):
        await context.__aexit__(None, None, None)


def lying(share: float) -> Callable[[bytes], str]:
    chance = random.Random(7)
    return lambda image: nonsense(image) if chance.random() < share else truth(image)


async def test_liar_is_found_out_by_who_is_trusted(open_):
    audited = await open_(share=0.5)
    home = audited.home
    await home.offer(300)

    await asyncio.gather(
        audited.work(ANN, truth, 300),
        audited.work(BOB, lying(0.4), 300),
        audited.work(TESS, truth, 300),
    )
    await audited.check_all()

    checked, agreed = await audited.figures("bob")
    assert checked > 20
    assert 0.15 < 1 - agreed / checked < 0.65
    checked, agreed = await audited.figures("ann")
    assert checked > 20
    assert agreed == checked
    assert await audited.figures("tess") == (0, 0)  # nobody checks who is trusted
    found = await audited.redis.disagreements("bob")
    assert 0 < len(found) <= 20
    assert (found[0].kind, found[0].given) == ("again", nonsense(b""))
    assert await audited.redis.disagreements("ann") == []
    await only_samples_of_the_job(home, 300)


async def test_liar_is_found_out_by_known_captions(open_, tmp_path: Path):
    audited = await open_(known=known_folder(tmp_path), known_share=0.2)
    home, lie = audited.home, lying(0.4)
    probes = {jpeg(100_000 + n) for n in range(KNOWN)}
    lies: list[bytes] = []  # that Bob has told of probes

    def say(image: bytes) -> str:
        said = lie(image)
        lies.extend([image] if image in probes and said != truth(image) else [])
        return said

    await home.offer(300)
    work = (audited.work(token, how, 300) for token, how in ((ANN, truth), (BOB, say)))
    taken = sum(await asyncio.gather(*work, audited.work(TESS, truth, 100)))

    checked, agreed = await audited.figures("bob")
    assert checked > 8
    assert checked - agreed == len(lies) > 0
    others, right = await audited.figures("ann")
    assert others > 8
    assert right == others
    assert taken == 300 + checked + others
    [*_, last] = await audited.redis.disagreements("bob")
    assert (last.kind, last.given, last.agreement) == ("known", nonsense(b""), 0)
    await only_samples_of_the_job(home, 300)


async def only_samples_of_the_job(home: House, count: int) -> None:
    captions = await home.roles.captions()
    assert sorted(c.sample.id for c in captions) == [f"{n:05}.jpg" for n in range(count)]
    assert {c.sample.chunk for c in captions} != {""}
    assert await home.holders() == []
    counts = await home.roles.counts()
    assert (counts.completed, counts.dead, counts.in_flight) == (count, 0, count)
    assert counts.bytes_in_flight == 0
    assert not await home.roles.client.exists(home.roles.job.lane.samples("caption") + "x")
    assert await home.roles.client.xlen(home.roles.job.lane.images) == 0


# Nobody can tell


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


async def entries(home: House):
    return await home.roles.client.xrange(home.roles.job.lane.samples("caption"))


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


# Made again


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


# Whoever checks nobody pays nothing


async def test_job_without_checks_asks_redis_nothing_more(open_, tmp_path: Path):
    audited = await open_()
    redis, lane = audited.home.roles.client, audited.home.roles.job.lane
    ours = [lane.seal, *(key("") for key in (lane.checks, lane.checking, lane.probes, lane.shown))]
    await redis.config_set("slowlog-log-slower-than", 0)
    await redis.config_set("slowlog-max-len", 100_000)
    await audited.home.offer(8)
    await audited.work(ANN, truth, 4)
    await audited.work(TESS, truth, 8)

    said = [one["command"] for one in await redis.slowlog_get(100_000)]

    assert any(lane.samples("caption").encode() in command for command in said)
    assert [c for c in said if any(key.encode() in c for key in ours)] == []
    # The queue is that of a proxy which knows nothing of checks.
    common = audited.home.door._common
    assert common.checks is None
    assert {type(common.queue(one, "name")) for one in GRANTS} == {RelayQueue}
    known = (await open_(known=known_folder(tmp_path), known_share=0.1)).home.door._common
    assert type(known.queue(GRANTS[2], "name")) is RelayQueue


async def test_wrong_folder_ends_the_proxy_with_the_reason(open_, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"proxy\.checks\.known: there is no folder"):
        await open_(known=str(tmp_path / "none"), known_share=0.1)
