"""The page of a proxy in a real browser, over a job of real processes."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e.desk import Desk, wait_until
from tests.e2e.jobs import Job, embedded
from tests.e2e.pictures import draw, rows
from tests.redis_server import free_port
from tests.web.browser import Tab, browser

COUNT = 60  # images in each of two shards
TOKEN = "token-of-a-watcher"
DOCUMENT: dict[str, Any] = {
    "job": "photos",
    "engine": "simulated",
    "host": "127.0.0.1",
    "dataset": {"dataset_path": "./photos"},
    "simulated": {"latency": [0.3, 0.6], "tokens": [20, 60]},
    "vllm": {
        "batch_size": 4,
        "stages": [
            {
                "name": "look",
                "prompts": ["Look."],
                "quality": [{"check": "too_long", "words": 40, "retries": 0}],
            },
            {
                "name": "tell",
                "prompts": ["Tell {captions}"],
                "requires": ["look"],
                "output_field": "title",
            },
        ],
    },
    "storage": {"rows_per_part": 50, "seconds_per_part": 5},
    "proxy": {"page": {"loopback": False}},
    "auth": {
        "worker_tokens": [{"name": name, "token": f"token-of-{name}"} for name in ("ann", "bob")],
        "monitor_tokens": [{"name": "watcher", "token": TOKEN}],
    },
}


class Watched:
    """A job whose page is looked at."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.job: Job = embedded(desk.folder / "caption_data", "photos")

    def feed(self) -> None:
        """Start all but the workers."""
        for place, shard in enumerate(("coast", "city/night")):
            draw(self.desk.folder / "photos" / shard, COUNT, first=place * COUNT)
        document = self.desk.folder / "job.yaml"
        document.write_text(yaml.safe_dump(DOCUMENT | {"port": self.port}))
        running = self.desk.start("orchestrator", "--config", document)
        wait_until(lambda: running.ended or "Orchestrator ready" in running.out, "a job")
        assert not running.ended, running.err

    def work(self) -> None:
        """Let a worker of each contributor come."""
        for name in ("ann", "bob"):
            url = f"ws://127.0.0.1:{self.port}"
            self.desk.start("worker", "--server", url, "--token", f"token-of-{name}")

    def rows(self) -> list[dict[str, Any]]:
        return rows(self.desk.folder / "caption_data" / "photos")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Desk(tmp_path / "desk") as desk:
        yield Watched(desk)


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browser(tmp_path / "browser") as opened:
        await opened.look(width=1280)
        yield opened


async def shown(tab: Tab) -> list[str]:
    """The ids of all tiles that fit, wherever they begin."""
    while await tab.do("!document.querySelector('#more').hidden"):
        await tab.click("#more")
    return sorted(await tab.texts(".tile .from"))


async def search(tab: Tab, text: str = "", **chosen: str) -> list[str]:
    """Search and filter, and nothing else; gives the ids that are found."""
    for field in ("shard", "stage", "contributor", "flag"):
        await tab.choose(f"select[name={field}]", chosen.get(field, ""))
    await tab.type(".search", text)
    said = json.dumps(text)
    await tab.until(f"document.querySelector('.search').value === {said}")
    await tab.do("new Promise((done) => setTimeout(done, 300))")  # for who types on
    return await shown(tab)


def ids(found: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(row["id"] for row in found)


async def shows_no_figure_without_a_token(watched: Watched, tab: Tab) -> None:
    await tab.open(f"{watched.url}/")
    await tab.until("!document.querySelector('#door').hidden")
    assert await tab.do("document.querySelector('#watch').hidden")
    await tab.type("#token", "token-of-ann")
    await tab.press("Enter")
    await tab.until("document.querySelector('#refusal').innerText.includes('role worker')")
    assert tab.answers[f"{watched.url}/api/state"] == 403
    assert all("403" in error for error in tab.errors)  # a browser notes what is refused
    tab.errors.clear()
    await tab.type("#token", TOKEN)
    await tab.press("Enter")
    await tab.until("!document.querySelector('#watch').hidden")


async def says_that_nobody_works(tab: Tab) -> None:
    await tab.until("document.querySelector('#limit').innerText.includes('No worker runs')")
    assert "No caption has been made yet." in await tab.text("#no-tiles")


async def shows_figures_that_move(tab: Tab) -> None:
    await tab.until("/[1-4] \\/ 4/.test(document.querySelector('#workers').innerText)")
    first = await tab.text("#share")
    await tab.until(f"document.querySelector('#share').innerText !== {json.dumps(first)}")
    await tab.until("document.querySelectorAll('#workers tbody tr').length === 2")
    await tab.until("document.querySelectorAll('.tile img').length > 5")
    await tab.until("document.querySelector('#chart .curve')")
    shards = "document.querySelector('#shards').innerText"
    await tab.until(f"/(coast|night).*[1-9]\\d? %/s.test({shards})")


async def says_when_it_is_done(tab: Tab) -> None:
    await tab.until("document.querySelector('#state').innerText === 'Done'")
    assert await tab.text("#share") == "100 %"
    assert await tab.text("#books .captioned b") == str(2 * COUNT)
    await tab.until("document.querySelectorAll('#board tbody tr').length === 2")


async def finds_what_is_searched_for(tab: Tab, found: list[dict[str, Any]]) -> None:
    assert await search(tab) == ids(found)
    some = found[7]
    digest = some["captions"][0].split()[2]
    assert await search(tab, digest.upper()) == [some["id"]]
    assert await search(tab, f"plain {digest[:12]}") == [some["id"]]
    assert await search(tab, "nothing of the kind") == []
    assert await search(tab, "coast/0000") == [f"coast/0000{n}.jpg" for n in range(10)]
    await search(tab, digest, stage="tell")
    assert (await tab.text(".tile .text")).startswith(some["title"][0][:30])


async def filters_by_all_there_is(tab: Tab, found: list[dict[str, Any]]) -> None:
    coast = [row for row in found if row["shard"] == "coast"]
    assert await search(tab, shard="coast") == ids(coast)
    flagged = [row for row in found if row["quality_flags"] == ["look:too_long"]]
    assert 0 < len(flagged) < len(found)
    assert await search(tab, flag="look:too_long") == ids(flagged)
    of_ann = [row for row in found if "ann" in {made["contributor"] for made in row["stages"]}]
    assert 0 < len(of_ann) < len(found)
    assert await search(tab, contributor="ann") == ids(of_ann)
    both = [row for row in coast if row in flagged and row in of_ann]
    assert await search(tab, shard="coast", flag="look:too_long", contributor="ann") == ids(both)


async def shows_all_stages_of_one(tab: Tab, found: list[dict[str, Any]]) -> None:
    await search(tab, shard="coast")
    await tab.click(".tile")
    await tab.until("document.querySelector('dialog[open] .shot img')")
    assert await tab.texts("dialog h3") == ["captions · look", "title · tell"]
    title = await tab.text("dialog h2")
    [row] = [row for row in found if row["id"] == title]
    assert await tab.texts("dialog .output p") == [row["captions"][0], row["title"][0]]
    await tab.press("ArrowRight")
    await tab.until(f"document.querySelector('dialog h2').innerText !== {json.dumps(title)}")
    await tab.press("ArrowLeft")
    await tab.until(f"document.querySelector('dialog h2').innerText === {json.dumps(title)}")
    await tab.press("Escape")
    await tab.until("!document.querySelector('dialog[open]')")


async def sorts_and_opens_workers(tab: Tab) -> None:
    await tab.click("#workers th:nth-child(1) button")
    assert [name[:3] for name in await tab.texts("#workers td .name")] == ["bob", "ann"]
    await tab.click("#workers .opener")
    assert "engine deaths" in await tab.text("#workers .below")


async def is_as_wide_as_a_phone_and_as_dark_as_the_night(tab: Tab) -> None:
    for width, dark in ((390, True), (390, False), (1280, True)):
        await tab.look(width=width, dark=dark)
        assert await tab.do("document.documentElement.scrollWidth") <= width
        assert await is_dark(tab) == dark
        beside = "getComputedStyle(document.querySelector('.columns')).gridTemplateColumns"
        assert len((await tab.do(beside)).split()) == (1 if width < 600 else 2)
        right = "document.querySelector('#workers .below dl').getBoundingClientRect().right"
        assert await tab.do(right) <= width
    await tab.click("#theme")
    assert not await is_dark(tab)


async def is_dark(tab: Tab) -> bool:
    ground = await tab.do("getComputedStyle(document.documentElement).backgroundColor")
    return int(ground.split("(")[1].split(",")[0]) < 128


async def asks_nobody_else_and_keeps_its_token(watched: Watched, tab: Tab) -> None:
    web = [url for url in tab.asked if urlsplit(url).scheme not in {"blob", "data"}]
    assert {urlsplit(url).netloc for url in web} == {f"127.0.0.1:{watched.port}"}
    assert not any("token" in url for url in web)
    assert await tab.do("document.cookie") == ""
    assert await tab.do("Object.keys(localStorage)") == ["caption-flow.theme"]
    await tab.click("#leave")
    await tab.until("!document.querySelector('#door').hidden")
    assert await tab.do("sessionStorage.length") == 0


async def test_running_job_is_watched(watched: Watched, tab: Tab):
    """From the token to the last caption, in one visit."""
    watched.feed()
    await shows_no_figure_without_a_token(watched, tab)
    await says_that_nobody_works(tab)
    watched.work()
    await shows_figures_that_move(tab)
    watched.job.wait_for("captioned", 2 * COUNT)
    await says_when_it_is_done(tab)

    found = watched.rows()
    await finds_what_is_searched_for(tab, found)
    await filters_by_all_there_is(tab, found)
    await shows_all_stages_of_one(tab, found)
    await sorts_and_opens_workers(tab)
    await is_as_wide_as_a_phone_and_as_dark_as_the_night(tab)

    assert tab.errors == []
    await asks_nobody_else_and_keeps_its_token(watched, tab)
