"""A feeder that is stopped while servers are slow ends soon, and the next one goes on there."""

import hashlib
import signal
import threading
from collections.abc import Iterator

import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from tests.e2e.desk import Desk, settings, wait_until
from tests.fetch.naughty import NaughtyServer, late, whole
from tests.made import jpeg
from tests.roles import (
    JOB,
    Roles,
    brisk,
    ends,
    roles,
)

__all__ = ["brisk", "roles"]

COUNT, QUICK = 60, 25  # samples, and those of them that do not wait for the gate
AT_ONCE = 8  # of one host, by default: then the feeder does nothing but wait
BRIEF = settings(
    engine="simulated",
    lease_seconds=60,  # so that nobody waits for one to run out
    chunk_size=20,
    dataset__type="urls",
    dataset__fetch="feeder",
    dataset__allow_networks='["127.0.0.1"]',
)


@pytest.fixture
def web() -> Iterator[NaughtyServer]:
    with NaughtyServer() as started:
        yield started


async def test_each_sample_is_captioned_once(
    web: NaughtyServer, desk: Desk, roles: Roles, redis_url: str
):
    gate = threading.Event()
    behaviours = [whole(jpeg(n)) for n in range(COUNT)]
    behaviours[QUICK:] = [late(one, gate) for one in behaviours[QUICK:]]
    urls = [web.on(f"/{n}", behaviour) for n, behaviour in enumerate(behaviours)]
    table = desk.folder / "list.txt"
    table.write_text("\n".join(urls))
    common = ("feed", table, "--redis", redis_url, "--job", JOB, *BRIEF)
    first = desk.start(*common)
    # Two chunks are fed side by side: the slow ones of one may come before the other is done.
    slow = {f"/{n}" for n in range(QUICK, COUNT)}
    wait_until(lambda: sum(call.target in slow for call in web.seen) >= AT_ONCE, "a wait")

    first.signal(signal.SIGTERM)
    stopped = first.wait(patience=20)
    gate.set()
    second = desk.start(*common).wait()

    assert (stopped.code, second.code) == (0, 0), stopped.words + second.words
    assert "Traceback" not in stopped.words
    engine = SimulatedEngine(SimulatedConfig(), capacity=8)
    await ends((await roles.worker(engine)).run())
    await ends(roles.sink().run())
    found = sorted(row["sha256"] for row in roles.rows())
    assert found == sorted(hashlib.sha256(jpeg(n)).hexdigest() for n in range(COUNT))
    assert await roles.dead() == {}
