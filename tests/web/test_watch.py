"""The page of a proxy in a real browser, where the proxy fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.desk import wait_until
from tests.web.acting import Part, acting
from tests.web.browser import Tab, browser

SEEN = "!document.querySelector('#watch').hidden"
# What the page waits for, ten times as fast.
HASTE = """
  const [later, patience] = [setTimeout, AbortSignal.timeout];
  window.setTimeout = (act, ms) => later(act, ms / 10);
  AbortSignal.timeout = (ms) => patience.call(AbortSignal, ms / 10);
"""


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path / "browser") as opened:
        await opened.look(width=1280)
        await opened.say("Page.addScriptToEvaluateOnNewDocument", source=HASTE)
        yield opened


def says(selector: str, text: str) -> str:
    return f"document.querySelector({selector!r}).innerText.includes({text!r})"


async def soon(is_so: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, lambda: bool(is_so()), "a request")


async def opens_once_the_proxy_answers(part: Part, tab: Tab, url: str) -> None:
    part.failing["/api/door"] = 503
    await tab.open(url)
    await tab.until(says("#refusal", "Not now."))
    part.failing.clear()
    await tab.until(SEEN)


async def forgets_a_token_that_is_not_needed(tab: Tab) -> None:
    await tab.do("sessionStorage.setItem('caption-flow.token', 'of-yesterday'), location.reload()")
    await tab.until("!sessionStorage.length")
    await tab.until(SEEN)


async def says_only_of_the_proxy_that_it_does_not_answer(part: Part, tab: Tab) -> None:
    part.failing["/api/state"] = 500
    await tab.until(says("#lost", "Not now."))
    part.failing.clear()
    await tab.until("document.querySelector('#lost').hidden")
    part.hanging = {"/api/state"}
    await tab.until(says("#lost", "The proxy does not answer."))
    part.hanging = set()
    await tab.until("document.querySelector('#lost').hidden")
    tab.errors.clear()  # a browser notes what is refused
    part.strange = True
    await soon(lambda: tab.errors)
    assert "TypeError" in tab.errors[0]
    assert await tab.do("document.querySelector('#lost').hidden")
    part.strange = False


async def asks_for_the_newest_pictures_and_again_after_a_failure(part: Part, tab: Tab) -> None:
    part.made = False
    part.rows = [f"old {n}" for n in range(24)]
    await tab.until(says("#tiles", "old 23"))
    part.rows += [f"new {n}" for n in range(24)]
    await tab.until(says("#tiles", "new 23"))
    part.pictures.clear()
    await soon(lambda: len(part.pictures) > 1)  # the first may have been on its way
    assert part.pictures[1] == [f"k-{n}" for n in range(48, 24, -1)]
    part.failing["/api/thumbnails"] = 503
    url = await tab.do("location.origin + '/api/thumbnails?keys='")
    await soon(lambda: any(a.startswith(url) and tab.answers[a] == 503 for a in tab.answers))
    part.made = True
    part.failing.clear()
    await tab.until("document.querySelectorAll('.tile img').length === 24")


async def shows_what_came_while_one_was_looked_at(part: Part, tab: Tab) -> None:
    await tab.click(".tile")
    await tab.until("document.querySelector('dialog[open] .shot img')")
    part.rows.append("another")
    await tab.until(says("#found", "newest 49"))
    assert "another" not in await tab.text("#tiles")
    await tab.press("Escape")
    await tab.until(says("#tiles", "another"))


async def test_page_bears_what_goes_wrong(tab: Tab):
    """From a proxy that does not answer yet to pictures that come late, in one visit."""
    part = Part()
    with acting(part) as url:
        await opens_once_the_proxy_answers(part, tab, url)
        await forgets_a_token_that_is_not_needed(tab)
        await says_only_of_the_proxy_that_it_does_not_answer(part, tab)
        await asks_for_the_newest_pictures_and_again_after_a_failure(part, tab)
        await shows_what_came_while_one_was_looked_at(part, tab)
