"""Images are read ahead, and come in the order of the rows."""

import threading
from typing import cast

import pyarrow as pa
import pytest

from caption_flow.dataset.pixels import NoPixels, OutOfReach, Pixels
from caption_flow.export import images
from caption_flow.export.images import Images, OutOfSight
from caption_flow.model import Sample
from tests.image.makers import encode, picture

PNG = encode(picture(), "PNG")


class Slow:
    """The first image of all is there last."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self._others = threading.Event()

    def several(self, samples: list[Sample]) -> list[bytes | NoPixels]:
        self.asked.append([one.id for one in samples])
        if samples[0].shard == "a":
            assert self._others.wait(60)
        else:
            self._others.set()
        return [PNG + one.id.encode() for one in samples]

    def close(self) -> None:
        """Nothing is open."""


def rows(ids: list[str], size: int = 1000) -> pa.RecordBatch:
    shards = [id_.partition("/")[0] for id_ in ids]
    return pa.RecordBatch.from_pydict({"id": ids, "shard": shards, "bytes": [size] * len(ids)})


def test_images_come_in_the_order_of_the_rows_whichever_is_there_first():
    pixels = Slow()
    reading = Images(cast("Pixels", pixels))
    ids = ["a/2", "b/1", "a/10", "c/1", "a/1"]
    found = [image.data.removeprefix(PNG).decode() for image in reading.of(rows(ids))]
    reading.close()

    assert found == ids
    assert sorted(pixels.asked) == [["a/1", "a/2", "a/10"], ["b/1"], ["c/1"]]


def test_no_more_images_are_read_than_have_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "_AHEAD_BYTES", 1_000_000)
    pixels = Slow()
    reading = Images(cast("Pixels", pixels))
    given = reading.of(rows([f"b/{number:02}" for number in range(10)], 500_000))
    next(given)

    assert sum(map(len, pixels.asked)) <= 4
    assert len(list(given)) == 9
    reading.close()


def test_where_none_can_be_read_at_all_it_ends():
    class Away(Slow):
        def several(self, samples: list[Sample]) -> list[bytes | NoPixels]:
            return [OutOfReach("the disk is away.") for _ in samples]

    reading = Images(cast("Pixels", Away()))
    with pytest.raises(OutOfSight, match=r"cannot be read: the disk is away\. --dataset PATH"):
        list(reading.of(rows(["a/1"])))
    reading.close()


def test_what_is_no_image_is_told_instead_of_written():
    class Pages(Slow):
        def several(self, samples: list[Sample]) -> list[bytes | NoPixels]:
            return [b"<html>sorry</html>" for _ in samples]

    reading = Images(cast("Pixels", Pages()))
    [found] = reading.of(rows(["b/1"]))
    reading.close()

    assert found.data == b""
    assert found.error
