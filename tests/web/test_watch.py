"""The page of a proxy in a real browser, where the proxy fails and its members have troubles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from caption_flow.queue.ports import Member
from tests.e2e.desk import wait_until
from tests.web.acting import NOW, Part, acting
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


def member(name: str, captions: float, *, seen: float = NOW, **more: Any) -> Member:
    figures = {"captions": captions, "samples": 9000.0, **more.pop("figures", {})}
    state = more.pop("state", "working")
    return Member("worker", name, "host-a", 7, NOW - 1000, seen, state, figures)


def beat(part: Part, seconds: float, **captions: float) -> None:
    """Let time go by, and members say what they have done; the others are silent."""
    part.at += seconds
    known = {one.name: one for one in part.members}
    said = {name: member(name, done, seen=part.at) for name, done in captions.items()}
    part.members = tuple((known | said).values())


async def opens_once_the_proxy_answers(part: Part, tab: Tab, url: str) -> None:
    part.failing["/api/door"] = 503
    await tab.open(url)
    await tab.until(says("#refusal", "Not now."))
    part.failing.clear()
    await tab.until(SEEN)
    assert (await tab.texts("#rates b"))[0] == "\N{EN DASH}"  # too early for a rate


async def forgets_a_token_that_is_not_needed(tab: Tab) -> None:
    await tab.do("sessionStorage.setItem('caption-flow.token', 'of-yesterday'), location.reload()")
    await tab.until("!sessionStorage.length")
    await tab.until(SEEN)


async def says_only_of_the_proxy_that_it_does_not_answer(part: Part, tab: Tab) -> None:
    part.failing["/api/state"] = 500
    await tab.until(says("#lost", "Not now."))
    part.failing["/api/state"] = 502
    await tab.until(says("#lost", "The proxy does not answer (502)."))
    part.failing.clear()
    await tab.until("document.querySelector('#lost').hidden")
    part.speaking.clear()
    await tab.until(says("#lost", "The proxy does not answer."))
    part.speaking.set()
    await tab.until("document.querySelector('#lost').hidden")
    tab.errors.clear()  # a browser notes what is refused
    part.strange = True
    await soon(lambda: tab.errors)
    assert "TypeError" in tab.errors[0]
    assert await tab.do("document.querySelector('#lost').hidden")
    part.strange = False


async def shows_states_with_their_reasons(part: Part, tab: Tab) -> None:
    why = "It has no model: of 2, none is there."
    stages = {f"slots:{stage}": 4.0 for stage in ("look", "tell")} | {"clock_ahead": -75.0}
    idle = member("ann", 0, state=f"idle: {why}", figures={**stages, "running:look": 3.0})
    part.members = (idle,)
    await tab.until(f"document.querySelector('#workers .why')?.title === {why!r}")
    assert await tab.texts("#workers .badge.warn") == ["idle"]
    await tab.click("#workers .opener")
    detail = await tab.text("#workers .below")
    assert f"idle: {why}" in detail
    assert "slots 4 · running 3" in detail
    assert "-1 min 15 s" in detail


async def counts_only_on_who_is_heard(part: Part, tab: Tab) -> None:
    beat(part, 5, cat=0, bob=50_000)
    await tab.until(says("#workers-sum", "together 49.8 captions"))
    beat(part, 10, cat=50, bob=50_000)
    await tab.until(says("#workers-sum", "together 5 captions"))
    beat(part, 10, cat=20, bob=50_000)  # it began anew
    await tab.until(says("#workers-sum", "together < 0.1 captions"))
    beat(part, 10, cat=50, bob=50_000)
    await tab.until(says("#workers-sum", "together 3 captions"))
    beat(part, 21, bob=50_000)
    await tab.until(says("#workers-sum", "together 0 captions"))


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


async def begins_anew_with_another_job(part: Part, tab: Tab) -> None:
    await tab.do("window.known = true")
    part.job, part.rows = "drawings", []
    await tab.until(f"{says('#job', 'drawings')} && !window.known")
    await tab.until(says("#no-tiles", "No caption has been made yet."))


async def test_page_bears_what_goes_wrong(tab: Tab):
    """From a proxy that does not answer yet to pictures that come late, in one visit."""
    part = Part()
    with acting(part) as url:
        await opens_once_the_proxy_answers(part, tab, url)
        await forgets_a_token_that_is_not_needed(tab)
        await says_only_of_the_proxy_that_it_does_not_answer(part, tab)
        await shows_states_with_their_reasons(part, tab)
        await counts_only_on_who_is_heard(part, tab)
        await asks_for_the_newest_pictures_and_again_after_a_failure(part, tab)
        await shows_what_came_while_one_was_looked_at(part, tab)
        await begins_anew_with_another_job(part, tab)
