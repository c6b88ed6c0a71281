"""Sampling: a sample that was retried with another is captioned with it, and no other is."""

from typing import Any

from msgspec import UNSET

from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.feed.look import look
from caption_flow.model import Chunk, Raw
from tests.made import jpeg, settings
from tests.roles import AMPLE, Roles, ends
from tests.worker.engines import TellingEngine

STAGE = Stage("caption", "", ("Describe.",), sampling=Sampling(temperature=0.5, extra={"seed": 1}))


async def caption(roles: Roles, *sampling: dict[str, Any]) -> dict[str, str]:
    """Caption a sample for each sampling, and say what the engine was asked for."""
    roles.told = settings(stages=(STAGE,))
    queue = roles.feed_queue()
    for number, keys in enumerate(sampling):
        chunk = Chunk(f"c{number}", "pictures", ".", (f"{number}.jpg",), keys or UNSET)
        stands = await queue.position()
        await queue.plan(stands, f"to {number}", chunk, backlog=100, done=True)
        lease = await queue.claim_chunk()
        assert lease is not None
        offer = look(Raw(f"{number}.jpg", "/", jpeg(number)), lease.chunk, roles.told.images)
        await queue.offer(lease, [offer], AMPLE)
    await ends((await roles.worker(TellingEngine())).run())
    done = await roles.captions()
    return {c.sample.id: c.outcomes[0].outputs["captions"][0] for c in done}


async def test_sample_is_captioned_with_its_own_sampling(roles: Roles):
    said = await caption(roles, {}, {"temperature": 0.9, "top_k": 3}, {})

    assert said == {
        "0.jpg": "0.5 {'seed': 1}",
        "1.jpg": "0.9 {'seed': 1, 'top_k': 3}",
        "2.jpg": "0.5 {'seed': 1}",
    }


async def test_sampling_that_cannot_be_read_harms_no_other(roles: Roles):
    said = await caption(roles, {}, {"temperature": "hot"}, {})

    assert sorted(said) == ["0.jpg", "2.jpg"]
    [letter] = (await roles.dead()).values()
    assert (letter.sample.id, letter.failure.reason) == ("1.jpg", "bad_sampling")
    assert 'temperature is "hot"' in letter.failure.detail
    assert letter.sample.sampling == {"temperature": "hot"}
