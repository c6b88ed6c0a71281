"""Contributors are checked: who lies is found out, and nobody can tell when that happens."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from caption_flow.errors import ConfigError
from caption_flow.queue.relay import RelayQueue
from tests.made import jpeg
from tests.proxy.checks.audited import (
    GRANTS,
    KNOWN,
    TESS,
    known_folder,
    nonsense,
    only_samples_of_the_job,
    open_,
    truth,
)
from tests.proxy.house import ANN, BOB

__all__ = ["open_"]


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
