"""Patience: a call is repeated until it is answered, and given up when the process should end."""

import logging
from asyncio import Event, sleep, wait
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path

import pytest

from caption_flow.errors import CaptionFlowError, QueueFull, QueueUnfit, QueueUnreachable
from caption_flow.lifecycle import Drain
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.connect import connect
from caption_flow.retry import Backoff
from tests.made import jpeg
from tests.redis_server import RedisServer
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine

QUICK = Backoff(first=0.001, ceiling=0.002)


def failing(times: int, error: CaptionFlowError) -> Callable[[], Awaitable[str]]:
    left = iter(range(times))

    async def call() -> str:
        if next(left, None) is not None:
            raise error
        return "answered"

    return call


@pytest.mark.parametrize("error", [QueueUnreachable("No answer."), QueueFull("Full.")])
async def test_a_call_is_repeated_until_it_is_answered(error: CaptionFlowError):
    patience = Patience(Drain(), QUICK)

    assert await patience(failing(5, error)) == "answered"
    assert patience.failures == 5


async def test_each_try_is_said_with_the_time_of_the_next(caplog: pytest.LogCaptureFixture):
    await Patience(Drain(), QUICK)(failing(1, QueueUnreachable("No answer.")))

    assert "No answer. Next try in 0.0 s" in caplog.text


async def test_an_error_that_waiting_does_not_mend_is_raised_at_once():
    patience = Patience(Drain(), QUICK)

    with pytest.raises(QueueUnfit):
        await patience(failing(1, QueueUnfit("Too old.")))


async def test_waiting_ends_when_the_process_should():
    drain = Drain()
    patience = Patience(drain, Backoff(first=1000, ceiling=1000))
    call = patience(failing(9, QueueUnreachable("No answer.")))
    async with running(call) as waiting:  # type: ignore[arg-type]
        await until(lambda: patience.failures == 1)
        drain.ask()
        with pytest.raises(Interrupted, match=r"Stopped while waiting for Redis\. No answer\."):
            await ends(waiting)


async def test_a_farewell_is_tried_once():
    drain = Drain()
    drain.ask()
    patience = Patience(drain, QUICK)

    with pytest.raises(Interrupted):
        await patience(failing(1, QueueUnreachable("No answer.")), last=True)
    assert await patience(failing(0, QueueUnreachable("")), last=True) == "answered"


def test_delays_double_up_to_the_ceiling():
    delays = list(islice(Backoff(first=1, ceiling=5).delays(), 5))

    for delay, span in zip(delays, (1, 2, 4, 5, 5), strict=True):
        assert span / 2 <= delay <= span


async def test_a_worker_waits_for_redis_and_goes_on(
    own_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        await roles.offer([jpeg(n) for n in range(20)])
        engine = CountingEngine(capacity=4)
        engine.gate.clear()
        async with running((await roles.worker(engine)).run()) as working:
            await until(lambda: engine.inside == 4)
            own_server.stop()
            engine.gate.set()
            await until(lambda: "No answer from 127.0.0.1" in caplog.text)
            own_server.start()
            await ends(working)

        assert len(await roles.captions()) == 20
        assert (await roles.counts()).completed == 20


async def test_a_worker_that_drains_while_redis_is_away_ends(
    own_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        await roles.offer([jpeg(n) for n in range(20)])
        drain, engine = Drain(), CountingEngine(capacity=4)
        engine.gate.clear()
        async with running((await roles.worker(engine, drain=drain)).run()) as working:
            await until(lambda: engine.inside == 4)
            own_server.stop()
            drain.ask()
            engine.gate.set()
            await ends(working)

        assert "Their leases will run out" in caplog.text


async def test_call_that_hangs_is_given_up_soon_after_the_process_should_end(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("caption_flow.patience.LAST_SECONDS", 0.02)
    drain = Drain()
    patience = Patience(drain)
    async with running(patience(Event().wait)) as waiting:  # type: ignore[arg-type]
        assert not (await wait({waiting}, timeout=0.1))[0]
        drain.ask()
        with pytest.raises(Interrupted, match="No answer came within"):
            await ends(waiting)
        with pytest.raises(Interrupted):
            await ends(patience(Event().wait, last=True))  # type: ignore[arg-type]


async def test_call_that_must_be_whole_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.patience.LAST_SECONDS", 0.0)
    drain = Drain()
    drain.ask()

    assert await Patience(drain)(lambda: sleep(0.05, "done"), whole=True) == "done"
