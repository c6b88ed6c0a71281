"""Admissions of one job, opened as proxies open them, and logins."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.datastructures import Headers

from caption_flow.config.proxy import ProxyConfig
from caption_flow.grants import Grant
from caption_flow.proxy.admission.admission import TokenAdmission, token_admission
from caption_flow.proxy.ports import Admission, Refusal
from caption_flow.queue.connect import Connections
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens

FAR = "203.0.113.7"
WIDE = ProxyConfig(handshakes_per_minute=1_000_000, failed_logins=1_000_000)

Open = Callable[..., Any]


@pytest.fixture
def job(connections: Connections) -> RedisJob:
    return RedisJob(connections, "job")


@pytest.fixture
def tokens(job: RedisJob) -> RedisTokens:
    return RedisTokens(job)


@pytest.fixture
async def opened(job: RedisJob) -> AsyncIterator[Open]:
    """Open the admission of a proxy; several make several proxies."""
    async with AsyncExitStack() as stack:

        async def enter(*listed: Grant, config: ProxyConfig = WIDE) -> TokenAdmission:
            return await stack.enter_async_context(token_admission(job, listed, config))

        yield enter


def bearing(token: str, **others: str) -> Headers:
    return Headers({"Authorization": f"Bearer {token}", **others})


async def status(admission: Admission, token: str, address: str = FAR) -> int:
    """What a login is answered; 0: it is let in."""
    answer = await admission.admit(bearing(token), address)
    return answer.status if isinstance(answer, Refusal) else 0
