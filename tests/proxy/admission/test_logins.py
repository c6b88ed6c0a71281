"""Admission: addresses that connect or fail too often wait, and harm nobody who is good."""

import asyncio
import logging
import time
import tracemalloc

import pytest
from websockets.datastructures import Headers

from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import new_token
from caption_flow.proxy.ports import Refusal
from caption_flow.queue.tokens import RedisTokens
from tests.proxy.admission.admitting import FAR, Open, bearing, job, opened, status, tokens
from tests.proxy.house import grant
from tests.roles import until

__all__ = ["job", "opened", "tokens"]


async def test_address_that_connects_too_often_waits(opened: Open):
    config = ProxyConfig(handshakes_per_minute=3)
    admission = await opened(grant("Anna", "a"), config=config)
    assert [await status(admission, "a") for _ in range(4)] == [0, 0, 0, 429]

    answer = await admission.admit(bearing("a"), FAR)
    assert isinstance(answer, Refusal)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert await status(admission, "a", "203.0.113.8") == 0


async def test_address_of_failed_logins_waits(opened: Open, caplog: pytest.LogCaptureFixture):
    admission = await opened(grant("Anna", "a"), config=ProxyConfig(failed_logins=3))
    assert [await status(admission, f"guess {n}") for n in range(4)] == [401, 401, 401, 429]

    assert await status(admission, "a") == 429
    assert await status(admission, "a", "203.0.113.8") == 0
    [said] = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert FAR in said


async def test_token_that_was_good_there_is_let_in_where_others_fail(opened: Open):
    admission = await opened(grant("Anna", "a"), config=ProxyConfig(failed_logins=3))
    await status(admission, "a")
    for n in range(5):
        await status(admission, f"guess {n}")

    assert await status(admission, "a") == 0
    assert await status(admission, "guess") == 429


async def test_request_without_a_token_is_no_failed_login(opened: Open):
    admission = await opened(grant("Anna", "a"), config=ProxyConfig(failed_logins=3))
    for _ in range(10):
        await admission.admit(Headers(), FAR)

    assert await status(admission, "a") == 0


async def test_addresses_behind_a_balancer_are_told_apart(opened: Open):
    config = ProxyConfig(failed_logins=2, trust_forwarded=("10.0.0.0/8",))
    admission = await opened(grant("Anna", "a"), config=config)
    bad = {"X-Forwarded-For": "1.2.3.4, 198.51.100.1"}
    for n in range(3):
        await admission.admit(bearing(f"guess {n}", **bad), "10.0.0.1")

    for spoofed in ("198.51.100.2", "5.6.7.8, 198.51.100.1"):
        headers = bearing("a", **{"X-Forwarded-For": spoofed})
        answer = await admission.admit(headers, "10.0.0.1")
        assert isinstance(answer, Refusal) == (spoofed == "5.6.7.8, 198.51.100.1")


GUESSES, AT_ONCE = 10_000, 250  # a guess waits for the next look at the tokens


@pytest.mark.parametrize("addresses", [1, GUESSES])
async def test_failed_logins_cost_little_and_harm_no_good_client(
    opened: Open, tokens: RedisTokens, addresses: int
):
    good = [new_token() for _ in range(100)]
    for number, token in enumerate(good):
        await tokens.put(grant(f"{number}", token))
    admission = await opened(config=ProxyConfig())
    guesses = [bearing(f"guess {n}") for n in range(GUESSES)]
    tried, worst = 0, 0.0

    async def guess(number: int) -> None:
        nonlocal tried
        place = number % addresses
        answer = await admission.admit(guesses[number], f"198.51.{place // 250}.{place % 250}")
        assert isinstance(answer, Refusal)
        tried += 1

    async def attack() -> None:
        for first in range(0, GUESSES, AT_ONCE):
            await asyncio.gather(*map(guess, range(first, first + AT_ONCE)))

    tracemalloc.start()
    begun = time.process_time()
    attacking = asyncio.create_task(attack())
    for number, token in enumerate(good):  # all through the attack
        await until(lambda number=number: tried >= number * GUESSES // len(good))
        asked = time.monotonic()
        assert await status(admission, token) == 0
        worst = max(worst, time.monotonic() - asked)
    await attacking
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (time.process_time() - begun) / GUESSES < 0.002
    assert most < 3_000_000
    assert worst < 1.0
