"""What is held: encoded images of a bounded number of bytes, whatever servers send."""

import asyncio

import pytest

from caption_flow.worker import held
from caption_flow.worker.held import Download, Held, NoRoom
from tests.roles import running, until


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_BYTES", 100)


def test_downloads_share_the_room_there_is():
    images = Held()
    first, second = Download(images, "1-0"), Download(images, "2-0")
    first.take(60)
    second.take(40)

    with pytest.raises(NoRoom):
        first.take(1)

    assert images.bytes == 100
    assert images.full


def test_who_finds_no_room_lets_the_others_go_on():
    images = Held()
    first, second = Download(images, "1-0"), Download(images, "2-0")
    first.take(60)
    second.take(40)

    second.drop()
    first.take(40)

    assert images.bytes == 100


def test_an_image_that_is_alone_may_be_of_any_size():
    images = Held()
    download = Download(images, "1-0")

    for _ in range(5):
        download.take(60)

    assert images.bytes == 300


async def test_an_image_without_room_waits_for_as_much_as_it_may_need():
    images = Held()
    images.add("whole", 60)
    images.add("other", 20)
    download = Download(images, "1-0")
    with pytest.raises(NoRoom):
        download.take(24)
    async with running(download.room()) as waiting:
        images.drop("other")
        await asyncio.sleep(0)
        assert not waiting.done()  # 24 would do, but it may end there again

        images.drop("whole")
        await until(waiting.done)


async def test_no_download_begins_while_all_room_is_taken():
    images = Held()
    images.add("whole", 100)
    async with running(Download(images, "1-0").room()) as waiting:
        await asyncio.sleep(0)
        assert not waiting.done()

        images.drop("whole")
        await until(waiting.done)


def test_what_is_dropped_twice_is_dropped_once():
    images = Held()
    images.add("1-0", 10)
    images.add("2-0", 20)

    images.drop("1-0")
    images.drop("1-0")

    assert images.bytes == 20
