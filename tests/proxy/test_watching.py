"""What the page of a proxy shows: the state, the wall of the newest captions, their pictures."""

import asyncio
import gzip
import io
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from PIL import Image

from caption_flow.dataset.pixels import NoPixels, OutOfReach, Pixels
from caption_flow.dataset.thumbnails import Thumbnails
from caption_flow.errors import QueueUnreachable
from caption_flow.model import Caption, Sample
from caption_flow.proxy.watching import passing, row, wall
from caption_flow.proxy.watching.glance import Glance
from caption_flow.proxy.watching.pictures import PicturePage
from caption_flow.proxy.watching.row import of_caption
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from caption_flow.web.site import Asked
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


@pytest.mark.parametrize("mark", ["nonsense", "-", "0", "ffffffff-2", "-1", "٣", "²", "9" * 5000])
async def test_mark_that_is_none_tells_all(home: House, mark: str):
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

    assert ids(told) == named(6, 7, 8)
    monkeypatch.setattr(wall, "TOLD", 9)
    assert ids(await captions(home)) == named(4, 5, 6, 7, 8)


async def test_picture_of_a_row_that_is_gone_from_the_wall_can_be_had(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    """A page shows rows longer than the wall has them."""
    monkeypatch.setattr(wall, "KEPT", 2)
    await home.roles.finish(range(3, 5))
    keys = [key for key, _ in (await captions(home))["rows"]]
    await home.roles.finish(range(5, 8))
    assert ids(await captions(home)) == named(6, 7)

    told = (await get(home.port, f"/api/thumbnails?keys={','.join(keys)}")).json
    assert set(told["ready"]) == set(keys)


async def test_samples_of_rows_take_bounded_room(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wall, "KEPT_BYTES", 3 * wall._SAMPLE_BYTES)
    await home.roles.finish(range(3, 9))
    keys = [key for key, _ in (await captions(home))["rows"]]
    told = (await get(home.port, f"/api/thumbnails?keys={','.join(keys)}")).json

    assert set(told["ready"]) == set(keys[-2:])


@pytest.fixture
async def both(
    home: House, connections: Connections, roles: Roles, tmp_path: Path
) -> AsyncIterator[tuple[House, House]]:
    """Two proxies of a job, as behind a balancer."""
    read = Pixels(lambda: folder_source(tmp_path / "pictures")).of
    async with house(connections, roles, read=read) as other:
        yield home, other


async def test_each_request_may_come_to_another_proxy(both: tuple[House, House]):
    """What is told again is told under the same key; nothing is left out, or begins anew."""
    known: dict[str, str] = {}
    mark = ""
    for number in range(ROWS):
        await both[0].roles.finish([number])
        told = await captions(both[number % 2], mark)
        mark = told["mark"]
        known |= {key: row["id"] for key, row in told["rows"]}
        assert sorted(known.values()) == named(*range(number + 1))


async def test_mark_of_another_proxy_tells_little_again(
    both: tuple[House, House], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wall, "SLACK", 0.0)
    await both[0].roles.finish(range(3))
    await captions(both[1])
    told = await captions(both[0])

    again = await captions(both[1], told["mark"])
    assert (ids(again), again["mark"]) == ([], told["mark"])


async def test_picture_of_a_row_of_another_proxy_can_be_had(both: tuple[House, House]):
    await both[0].roles.finish(range(3, 6))
    keys = [key for key, _ in (await captions(both[0]))["rows"]]
    told = (await get(both[1].port, f"/api/thumbnails?keys={','.join(keys)}")).json

    assert set(told["ready"]) == set(keys)


async def test_row_has_the_same_key_in_a_part(both: tuple[House, House]):
    await both[0].roles.finish(range(3))
    waiting = await captions(both[0])
    await write_part(both[0], 3)
    written = await captions(both[1])

    assert [key for key, _ in written["rows"]] == [key for key, _ in waiting["rows"]]


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


async def test_no_image_is_read_on_its_way_for_a_file_that_is_gone(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    """The data set is here, and gives its other images."""
    asked = []

    async def images(_: RedisInspector, *which: Any, **bounds: Any) -> dict[str, bytes]:
        asked.append((which, bounds))
        return {}

    monkeypatch.setattr(RedisInspector, "images", images)
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


async def test_look_goes_on_though_who_asked_has_gone():
    looks = 0
    begin = asyncio.Event()

    async def look() -> int:
        nonlocal looks
        looks += 1
        await begin.wait()
        return looks

    glance = Glance(look, seconds=1000.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await glance.get()
    begin.set()

    assert await glance.get() == 1
    assert looks == 1


async def test_look_ends_with_what_it_is_for():
    looking = asyncio.Event()
    ended = asyncio.Event()

    async def look() -> None:
        looking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    glance = Glance(look, seconds=1000.0)
    asking = asyncio.create_task(glance.get())
    await looking.wait()
    glance.leave()

    await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking
