"""The page of `view` in a real browser."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.desk import Desk, wait_until
from tests.view.parts import NEEDLE, numbered, part_name, write_part
from tests.view.viewing import Viewing
from tests.web.browser import Tab, browser

ROWS = 130  # three pages
HOSTILE = "<img src=x onerror=alert(1)> a caption of a stranger"
SETTLED = "!document.querySelector('#tiles').hasAttribute('aria-busy')"


def rows() -> list[dict[str, Any]]:
    made = numbered(0, ROWS)
    made[0]["captions"] = made[0]["tags"] = [HOSTILE]
    return made


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path / "browser") as opened:
        await opened.look(width=1280)
        yield opened


def pages(desk: Desk, *words: str) -> Viewing:
    write_part(desk.folder / "got", part_name(0), rows())
    return Viewing(desk, "got", *words)


async def found(tab: Tab, words: str) -> None:
    """Wait until this is said of what is found, and shown."""
    await tab.until(f"document.querySelector('#found').innerText === {words!r} && {SETTLED}")


async def ids(tab: Tab) -> list[int]:
    return [int(text[-12:-4]) for text in await tab.texts(".tile .from")]


async def test_rows_are_paged_searched_filtered_and_opened(desk: Desk, tab: Tab):
    viewing = pages(desk)
    await tab.open(viewing.address)
    await found(tab, "130 captions")
    assert await ids(tab) == list(range(48))
    assert (await tab.texts(".tile .text"))[0] == HOSTILE
    assert await tab.do("document.querySelectorAll('.tile img').length") == 0  # nor one of theirs

    await tab.press("ArrowRight")
    await tab.until("document.querySelector('#page').value === '2'")
    await tab.until("document.querySelector('.tile .from').innerText.includes('00000048')")
    assert await ids(tab) == list(range(48, 96))

    await tab.until("document.querySelector('select[name=flag]').options.length === 2")
    await tab.choose("select[name=flag]", "caption:too_short")
    await found(tab, "2 found")
    assert await ids(tab) == [9, 109]
    await tab.click("#clear")
    await found(tab, "130 captions")

    await tab.press("/")
    await tab.type("input.search", NEEDLE)
    await found(tab, "1 found")
    assert await ids(tab) == [7]
    assert await tab.texts(".tile mark") == [NEEDLE]

    await tab.click(".tile")
    await tab.until("document.querySelector('dialog').innerText.includes('Columns of the sample')")
    assert await tab.texts("dialog .output h3") == ["captions", "tags"]
    shown = await tab.text("dialog")
    assert "3f2a9c1d" in shown
    assert "CC" in shown

    assert tab.errors == []
    assert {urlsplit(url).netloc for url in tab.asked} == {urlsplit(viewing.address).netloc}


async def test_parts_that_come_are_shown(desk: Desk, tab: Tab):
    viewing = pages(desk)
    await asyncio.to_thread(wait_until, viewing.is_indexed, "the index")
    await tab.open(f"{viewing.address}#text=afternoon&tab=")
    await found(tab, "129 found")
    write_part(desk.folder / "got", part_name(1), numbered(ROWS, 50))
    await found(tab, "179 found")

    await tab.click("#clear")
    await found(tab, "180 captions")
    await tab.choose("select[name=order]", "newest")
    await tab.until("document.querySelector('.tile .from').innerText.includes('00000179')")
    write_part(desk.folder / "got", part_name(2), numbered(ROWS + 50, 2))
    await found(tab, "182 captions")
    assert await ids(tab) == list(range(181, 133, -1))


async def test_neighbours_of_a_row_are_found_though_its_part_was_rewritten(desk: Desk, tab: Tab):
    viewing = pages(desk)
    await tab.open(viewing.address)
    await found(tab, "130 captions")
    write_part(desk.folder / "got", part_name(0), rows()[1:])
    await tab.click(".tile:nth-child(3)")
    await tab.until("document.querySelector('dialog').innerText.includes('Columns of the sample')")
    assert "00000002" in await tab.text("dialog h2")
    await found(tab, "129 captions")
    assert await ids(tab) == list(range(1, 49))
    await tab.press("ArrowRight")
    await tab.until("document.querySelector('dialog h2').innerText.includes('00000003')")
    assert tab.errors == []


async def test_address_brings_back_what_was_shown(desk: Desk, tab: Tab):
    viewing = pages(desk)
    await tab.open(f"{viewing.address}#text={NEEDLE}&tab=")
    await tab.until("document.querySelector('input.search').value !== ''")
    await found(tab, "1 found")
    assert await ids(tab) == [7]


async def test_dead_letters_that_are_not_seen_say_so(desk: Desk, tab: Tab):
    await tab.open(pages(desk).address)
    await tab.click("#tab-dead")
    await tab.until("document.querySelector('#trouble').innerText.includes('no Redis')")


async def test_token_comes_with_the_address_and_stays_in_none(desk: Desk, tab: Tab):
    viewing = pages(desk, "--token", "a-token-of-letters")
    await tab.open(viewing.address.partition("#")[0])
    await tab.until("document.querySelector('#trouble').innerText.includes('it has a token')")
    await tab.open("about:blank")
    await tab.open(viewing.address)
    await found(tab, "130 captions")

    assert "token" not in await tab.do("location.href")
    assert not [url for url in tab.asked if "token" in urlsplit(url).query]
