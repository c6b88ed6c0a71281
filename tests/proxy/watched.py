"""A proxy whose page is looked at, for tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from caption_flow.dataset.pixels import Pixels
from caption_flow.queue.connect import Connections
from tests.made import folder_source, pictures
from tests.proxy.house import House, house, publish
from tests.roles import Roles
from tests.web.asking import get

ROWS = 12


@pytest.fixture(autouse=True)
def attentive_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request look anew."""
    monkeypatch.setattr("caption_flow.proxy.watching.watching.FRESH_SECONDS", 0.0)


@pytest.fixture
async def home(connections: Connections, roles: Roles, tmp_path: Path) -> AsyncIterator[House]:
    """A proxy that sees the images of its job, as far as their files are good."""
    root = pictures(tmp_path / "pictures", range(ROWS))
    (root / "00001.jpg").write_bytes(b"no image")
    (root / "00002.jpg").unlink()
    Image.new("RGB", (900, 600), "teal").save(root / "00003.jpg")
    await publish(roles)
    async with house(connections, roles, read=Pixels(lambda: folder_source(root)).of) as opened:
        yield opened


async def captions(home: House, after: str = "") -> dict[str, Any]:
    answer = await get(home.port, f"/api/captions?after={after}")
    assert answer.status == 200
    told: dict[str, Any] = answer.json
    return told


def ids(told: dict[str, Any]) -> list[str]:
    return [row["id"] for _, row in told["rows"]]


def named(*numbers: int) -> list[str]:
    return [f"{number:05}.jpg" for number in numbers]


async def write_part(home: House, rows: int) -> None:
    """Let a sink write what waits for it."""
    sink = home.roles.sink(rows=rows)
    await asyncio.wait_for(sink.run(), 20)
