"""The wall of the newest captions, on the page of a proxy."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from caption_flow.dataset.pixels import Pixels
from caption_flow.model import Caption
from caption_flow.proxy.watching import row, wall
from caption_flow.proxy.watching.row import of_caption
from caption_flow.queue.connect import Connections
from tests.dataset.mergers import merged
from tests.made import caption, folder_source, outcome
from tests.proxy.house import House, house
from tests.proxy.watched import ROWS, attentive_page, captions, home, ids, named, write_part
from tests.roles import Roles
from tests.web.asking import get

__all__ = ["attentive_page", "home"]


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


async def test_wall_takes_no_merged_part_for_new(home: House, monkeypatch: pytest.MonkeyPatch):
    """Whose last rows are not the newest ones."""
    monkeypatch.setattr(wall, "KEPT", 2)
    for first in (2, 0):
        await home.roles.finish(range(first, first + 2))
        await write_part(home, 2)
        before = await captions(home)
    merged(home.roles.folder, home.roles.folder.published())

    assert ids(await captions(home, before["mark"])) == []


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
