"""What the page of a proxy shows: the state, the wall of the newest captions, their pictures."""

import asyncio
import gzip
import io
from base64 import b64decode
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from PIL import Image

from caption_flow.dataset.pixels import NoPixels, Pixels
from caption_flow.errors import QueueUnreachable
from caption_flow.model import Caption, Sample
from caption_flow.proxy.watching import passing, row, wall
from caption_flow.proxy.watching.glance import Glance
from caption_flow.proxy.watching.row import of_caption
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from tests.proxy.house import House, house, publish
from tests.roles import Roles, caption, folder_source, jpeg, outcome, pictures
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


async def test_state_is_the_document_of_the_job(home: House):
    await home.roles.finish(range(3))
    told = (await get(home.port, "/api/state")).json

    assert told["job"] == home.roles.job.job
    assert told["books"]["completed"] == 3
    assert told["limit"]["sentence"]
    assert [one["stream"] for one in told["streams"]] == ["chunks", "samples:caption", "captions"]


async def test_wall_shows_what_waits_for_a_part(home: House):
    await home.roles.finish(range(3))
    [first, *_] = (await captions(home))["rows"]

    assert first[1] | {"facts": {}} == {
        "id": "00000.jpg",
        "shard": ".",
        "source": "/00000.jpg",
        "width": 8,
        "height": 8,
        "captions": {"captions": ["caption of 0"]},
        "stages": [{"stage": "caption", "contributor": "", "outputs": ["captions"]}],
        "contributor": "",
        "flags": [],
        "at": 1_700_000_000.25,
        "facts": {},
    }
    assert first[1]["facts"] == {"Model": "none", "Worker": "w", "Tokens": "7"}


async def test_wall_tells_what_came_after_a_mark(home: House):
    await home.roles.finish(range(3))
    told = await captions(home)
    assert ids(told) == named(0, 1, 2)
    assert ids(await captions(home, told["mark"])) == []

    await home.roles.finish(range(3, 5))
    assert ids(await captions(home, told["mark"])) == named(3, 4)


@pytest.mark.parametrize("mark", ["nonsense", "-", "ffffffff-2", "-1", "٣-٣"])
async def test_mark_of_another_proxy_tells_all(home: House, mark: str):
    await home.roles.finish(range(3))
    assert ids(await captions(home, quote(mark))) == named(0, 1, 2)


async def test_caption_that_goes_into_a_part_stays_on_the_wall_once(home: House):
    await home.roles.finish(range(4))
    before = await captions(home)
    await write_part(home, 4)

    assert ids(await captions(home, before["mark"])) == []
    assert ids(await captions(home)) == named(0, 1, 2, 3)


async def test_wall_begins_with_the_last_of_the_newest_part(home: House):
    await home.roles.finish(range(4))
    await write_part(home, 4)
    told = await captions(home)

    assert ids(told) == named(0, 1, 2, 3)
    [_, first] = told["rows"][0]
    assert first["captions"] == {"captions": ["caption of 0"]}
    assert first["stages"] == [{"stage": "caption", "contributor": "", "outputs": ["captions"]}]
    assert (first["width"], first["at"]) == (8, 1_700_000_000.25)


async def test_wall_keeps_and_tells_so_many(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wall, "KEPT", 5)
    monkeypatch.setattr(wall, "TOLD", 3)
    await home.roles.finish(range(9))
    told = await captions(home)

    assert (told["kept"], ids(told)) == (5, named(6, 7, 8))


def test_row_of_a_stranger_takes_bounded_room():
    texts = {f"output {n}": ["x" * 100_000] * 50 for n in range(3)}
    long = msgspec.structs.replace(
        caption(1).sample, id="y" * 10_000, columns={"story": "z" * 100_000}
    )
    found = of_caption(Caption("1-0", long, (outcome(texts),)))

    assert len(msgspec.json.encode(found)) < 4 * row.MOST_TEXT
    assert sum(len(some) for some in found.captions.values()) <= 24


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


async def test_no_image_is_read_on_its_way_where_none_is_missed(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    async def images(_: RedisInspector, *which: Any, **bounds: Any) -> dict[str, bytes]:
        asked.append((which, bounds))
        return {}

    monkeypatch.setattr(RedisInspector, "images", images)
    await home.roles.offer([jpeg(n) for n in (4, 5)], first=4)
    await captions(home)
    await home.roles.finish_waiting()
    assert await pictured(home) == (named(4, 5), [])
    await captions(home)

    assert asked == []


async def test_images_that_are_kept_take_bounded_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passing, "KEPT_BYTES", 250)
    numbers = count()

    class Endless:
        async def images(self, *_: Any, **__: Any) -> dict[str, bytes]:
            return {f"{next(numbers)}": bytes(100)}

    def nowhere(_: Sample) -> bytes:
        raise NoPixels("it lies elsewhere")

    keeper = passing.Passing(Endless(), nowhere, lambda: ["caption"])
    sample = caption(1).sample
    with pytest.raises(NoPixels):
        keeper.read(sample)
    for _ in range(9):
        await keeper.look()

    assert keeper.read(msgspec.structs.replace(sample, id="8")) == bytes(100)
    with pytest.raises(NoPixels):
        keeper.read(msgspec.structs.replace(sample, id="6"))


async def test_where_no_image_is_at_hand_there_is_no_picture(
    connections: Connections, roles: Roles
):
    await publish(roles)
    async with house(connections, roles) as home:
        await roles.finish(range(1))
        [[key, _]] = (await captions(home))["rows"]
        told = (await get(home.port, f"/api/thumbnails?keys={key}")).json

    assert told == {"ready": {}, "none": [key], "later": []}


async def test_what_is_long_is_packed_for_who_takes_that(home: House):
    await home.roles.finish(range(ROWS))
    plain = await get(home.port, "/api/captions")
    packed = await get(home.port, "/api/captions", Accept_Encoding="gzip")

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body) == plain.body


async def test_all_who_look_at_once_share_a_look():
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return looks

    glance = Glance(look, seconds=1000.0)
    assert await asyncio.gather(*(glance.get() for _ in range(100))) == [1] * 100


async def test_look_in_vain_is_shared_too():
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        raise QueueUnreachable("No answer.")

    glance = Glance(look, seconds=1000.0)
    told = await asyncio.gather(*(glance.get() for _ in range(9)), return_exceptions=True)

    assert looks == 1
    assert all(isinstance(one, QueueUnreachable) for one in told)


async def test_later_look_is_another():
    found = iter(range(9))

    async def look() -> int:
        return next(found)

    glance = Glance(look, seconds=0.0)
    assert [await glance.get() for _ in range(3)] == [0, 1, 2]
