"""The page in a real browser, with names and captions made by who means harm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from caption_flow.queue.connect import Connections
from tests.made import jpeg, outcome
from tests.proxy.house import House, house, publish
from tests.roles import Roles, brisk, roles
from tests.web.browser import Tab, browser

__all__ = ["brisk", "roles"]

MEAN = '"><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
LONG = "w" * 3000


@pytest.fixture
async def home(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    await publish(roles)
    async with house(connections, roles) as opened:
        yield opened


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path / "browser") as opened:
        await opened.look(width=390, height=844)
        yield opened


async def test_what_strangers_say_is_shown_and_not_obeyed(home: House, tab: Tab):
    await home.roles.offer([jpeg(n) for n in range(3)])
    queue = await home.roles.work_queue(f"worker {MEAN}")
    for said in (MEAN, LONG, "\u202egnp.exe \x00\x1b[31m"):
        [lease] = await queue.claim(1)
        await queue.complete([(lease, (outcome({"captions": [said]}),))])
    await tab.open(f"http://localhost:{home.port}/")
    await tab.until("document.querySelectorAll('.tile').length === 3")

    assert any(MEAN[:20] in text for text in await tab.texts(".tile .text"))
    await tab.type(".search", "onerror")
    await tab.until("document.querySelectorAll('.tile').length === 1")
    assert await tab.texts(".tile mark") == ["onerror"]
    await tab.click(".tile")
    assert await tab.texts("dialog .output p") == [MEAN]
    assert await tab.do("window.hurt") is None
    assert await tab.do("document.documentElement.scrollWidth") <= 390
    assert tab.errors == []
