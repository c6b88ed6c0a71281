"""What the tests of the engine `openai` share: quick back-off, and engines that are stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.openai import OpenaiEngine
from caption_flow.engine.port import Output, Request
from caption_flow.lifecycle import Drain
from caption_flow.retry import Backoff
from tests.engine.openai.stub import Stub
from tests.made import jpeg

KEY = "sk-very-secret-0123456789"
STAGE = Stage(name="caption", model="tiny", prompts=("Describe.",))
IMAGE = jpeg(1)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than where nobody waits for us."""
    server = "caption_flow.engine.openai.server"
    monkeypatch.setattr(f"{server}.BUSY_BACKOFF", Backoff(first=0.01, ceiling=0.05))
    monkeypatch.setattr(f"{server}.DOWN_BACKOFF", Backoff(first=0.01, ceiling=0.05))
    monkeypatch.setattr("caption_flow.engine.openai.engine.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("caption_flow.engine.openai.engine.SIGN_SECONDS", 0.02)


def endpoint(stub: Stub, **settings: Any) -> Endpoint:
    return Endpoint(**{"base_url": stub.url, "timeout": 5.0, **settings})


@asynccontextmanager
async def running(
    *endpoints: Endpoint,
    stages: tuple[Stage, ...] = (STAGE,),
    capacity: int = 64,
    drain: Drain | None = None,
) -> AsyncIterator[OpenaiEngine]:
    """An engine that has started."""
    engine = OpenaiEngine(
        OpenaiConfig(endpoints=endpoints),
        stages,
        capacity=capacity,
        environ={"TEST_API_KEY": KEY},
        drain=drain or Drain(),
    )
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


def request(number: int = 0, prompt: str | None = None, **changes: Any) -> Request:
    told = {"id": str(number), "sample": str(number), "stage": STAGE, "data": IMAGE}
    return Request(**{**told, "prompt": prompt or f"prompt {number}", **changes})


async def captioned(engine: OpenaiEngine, count: int) -> list[Output]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*(engine.caption(request(n)) for n in range(count)))
