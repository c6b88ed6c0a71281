"""The pictures on the page of a proxy: made small, bounded, and read on their way."""

import asyncio
import io
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import msgspec
import pytest
from PIL import Image

from caption_flow.dataset.pixels import NoPixels, OutOfReach, Pixels
from caption_flow.dataset.thumbnails import Thumbnails
from caption_flow.model import Sample
from caption_flow.proxy.watching import passing
from caption_flow.proxy.watching.pictures import PicturePage
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from caption_flow.web.site import Asked
from tests.made import caption, jpeg
from tests.proxy.house import House, house, publish
from tests.proxy.watched import attentive_page, captions, home, named
from tests.roles import Roles
from tests.web.asking import get

__all__ = ["attentive_page", "home"]


async def test_picture_of_a_row_is_small(home: House):
    await home.roles.finish(range(4))
    keys = {row["id"]: key for key, row in (await captions(home))["rows"]}
    told = (await get(home.port, f"/api/thumbnails?keys={','.join(keys.values())}")).json

    small = Image.open(io.BytesIO(b64decode(told["ready"][keys["00003.jpg"]])))
    assert (small.format, small.size) == ("WEBP", (320, 213))
    assert sorted(told["none"]) == sorted([keys["00001.jpg"], keys["00002.jpg"]])
    assert told["later"] == []

    told = (await get(home.port, f"/api/thumbnails?size=large&keys={keys['00003.jpg']}")).json
    [large] = told["ready"].values()
    assert Image.open(io.BytesIO(b64decode(large))).size == (900, 600)


async def test_only_what_is_on_the_wall_has_a_picture(home: House):
    await home.roles.finish(range(1))
    key = (await captions(home))["rows"][0][0]
    wrong = ["00003.jpg", "..%2F..%2Fetc%2Fpasswd", f"{key}0", ""]
    for one in wrong:
        told = (await get(home.port, f"/api/thumbnails?keys={one}")).json
        assert (told["ready"], told["later"]) == ({}, [])


async def test_pictures_of_an_answer_are_bounded(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.proxy.watching.pictures.MOST", 2)
    await home.roles.finish(range(6))
    keys = [key for key, _ in (await captions(home))["rows"]]
    told = (await get(home.port, f"/api/thumbnails?keys={','.join(keys[3:])}")).json

    assert set(told["ready"]) == set(keys[3:5])


@pytest.fixture
async def afar(connections: Connections, roles: Roles) -> AsyncIterator[House]:
    """A proxy of a job whose images are on another host."""
    await publish(roles)
    async with house(connections, roles, read=Pixels().of) as opened:
        yield opened


async def pictured(home: House) -> tuple[list[str], list[str]]:
    """The ids of rows that have a picture, and of those that have none."""
    names = {key: row["id"] for key, row in (await captions(home))["rows"]}
    told = (await get(home.port, f"/api/thumbnails?keys={','.join(names)}")).json
    assert told["later"] == []
    return sorted(map(names.get, told["ready"])), sorted(map(names.get, told["none"]))


async def test_image_from_afar_is_read_on_its_way(afar: House):
    await afar.roles.finish(range(1))
    assert await pictured(afar) == ([], named(0))

    await afar.roles.offer([jpeg(n, 30) for n in (1, 2)], first=1)
    await captions(afar)
    await afar.roles.finish_waiting()

    assert await pictured(afar) == (named(1, 2), named(0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What images on their way are asked for; there are none."""
    heard: list[Any] = []

    async def images(_: RedisInspector, *which: Any, **bounds: Any) -> dict[str, bytes]:
        heard.append((which, bounds))
        return {}

    monkeypatch.setattr(RedisInspector, "images", images)
    return heard


async def test_no_image_is_read_on_its_way_where_none_is_missed(home: House, asked: list[Any]):
    await home.roles.offer([jpeg(n) for n in (4, 5)], first=4)
    await captions(home)
    await home.roles.finish_waiting()
    assert await pictured(home) == (named(4, 5), [])
    await captions(home)

    assert asked == []


async def test_no_image_is_read_on_its_way_for_a_file_that_is_gone(home: House, asked: list[Any]):
    """The data set is here, and gives its other images."""
    await home.roles.finish(range(1, 3))
    assert await pictured(home) == ([], named(1, 2))
    await captions(home)

    assert asked == []


async def test_images_that_are_kept_take_bounded_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passing, "KEPT_BYTES", 250)
    numbers = count()

    class Endless:
        async def images(self, *_: Any, **__: Any) -> dict[str, bytes]:
            return {f"{next(numbers)}": bytes(100)}

    def nowhere(_: Sample) -> bytes:
        raise OutOfReach("it lies elsewhere")

    keeper = passing.Passing(Endless(), nowhere, lambda: ["caption"])
    sample = caption(1).sample
    with pytest.raises(NoPixels):
        keeper.read(sample)
    for _ in range(9):
        await keeper.look()

    assert keeper.read(msgspec.structs.replace(sample, id="8")) == bytes(100)
    with pytest.raises(NoPixels):
        keeper.read(msgspec.structs.replace(sample, id="6"))


async def test_picture_that_takes_long_is_to_be_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    """And nothing of the request is left behind."""
    monkeypatch.setattr("caption_flow.proxy.watching.pictures.WAIT_SECONDS", 0.05)
    begin = threading.Event()

    def slow(_: Sample) -> bytes:
        begin.wait(60)
        return jpeg(1)

    with made_by(slow) as page:
        before = asyncio.all_tasks()
        assert await page() == {"ready": {}, "none": [], "later": ["key"]}
        assert asyncio.all_tasks() == before
        begin.set()
        while (told := await page())["later"]:
            pass
        assert set(told["ready"]) == {"key"}


async def test_picture_that_finds_no_room_is_to_be_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    with made_by(lambda _: jpeg(1)) as page:
        monkeypatch.setattr("caption_flow.dataset.thumbnails._MOST_WAITING", 0)
        assert await page() == {"ready": {}, "none": [], "later": ["key"]}
        monkeypatch.undo()
        assert (await page())["later"] == []


@contextmanager
def made_by(
    read: passing.Read,
) -> Iterator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Ask for the picture of one row, which some reading gives."""

    class OneRow:
        def samples(self, keys: list[str]) -> dict[str, Sample]:
            return {key: caption(1).sample for key in keys}

    async def look() -> None: ...

    thumbnails = Thumbnails(read)
    page = PicturePage(OneRow(), thumbnails, look)  # type: ignore[arg-type]

    async def ask() -> dict[str, Any]:
        told: dict[str, Any] = msgspec.json.decode((await page(Asked("", {"keys": "key"}))).body)
        return told

    try:
        yield ask
    finally:
        thumbnails.close()


async def test_where_no_image_is_at_hand_there_is_no_picture(
    connections: Connections, roles: Roles
):
    await publish(roles)
    async with house(connections, roles) as home:
        await roles.finish(range(1))
        [[key, _]] = (await captions(home))["rows"]
        told = (await get(home.port, f"/api/thumbnails?keys={key}")).json

    assert told == {"ready": {}, "none": [key], "later": []}
