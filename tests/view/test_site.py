"""The pages of `view`, asked over HTTP as a browser asks."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import Struct
from PIL import Image

from caption_flow.dataset.gallery import Gallery
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.pixels import NoPixels
from caption_flow.dataset.thumbnails import Thumbnails
from caption_flow.errors import QueueUnreachable
from caption_flow.model import DeadLetter, Failure, Sample
from caption_flow.view import viewer as module
from caption_flow.view.guard import Guard
from caption_flow.view.letters import Letters
from caption_flow.view.viewer import Viewer
from caption_flow.web.http import listening
from tests.e2e.desk import wait_until
from tests.image.makers import encode, picture
from tests.view.parts import numbered, part_name, write_part

ROWS = 30
TOKEN = "a-token-of-32-letters-and-digits"


class Answered(Struct):
    status: int
    kind: str
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


def letter(number: int, reason: str = "corrupt") -> DeadLetter:
    sample = Sample(f"cats/{number}.jpg", "photos", "cats", "cats:0", f"/data/cats/{number}.jpg")
    return DeadLetter(f"{number}-0", sample, Failure(reason, f"it is broken, {number}", 1e9))


def read(sample: Sample) -> bytes:
    """All images are there but one."""
    if sample.id.endswith("00003.jpg"):
        raise NoPixels("it is not there any more")
    return encode(picture(), "PNG")


def is_indexed(gallery: Gallery) -> bool:
    state = gallery.state()
    return state.indexed == ROWS and not state.indexing


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    folder = PartFolder(tmp_path, "photos")
    write_part(folder.path, part_name(0), numbered(0, ROWS))
    with Gallery(folder, tmp_path / "cache") as opened:
        wait_until(lambda: is_indexed(opened), "the rows to be indexed")
        yield opened


Ask = Callable[[], Sequence[DeadLetter]]


class House:
    """Opens the pages, and asks."""

    def __init__(self, gallery: Gallery, stack: ExitStack) -> None:
        self._gallery = gallery
        self._stack = stack

    @asynccontextmanager
    async def open(
        self,
        guard: Guard | None = None,
        letters: Ask | None = None,
        images: Callable[[Sample], bytes] = read,
    ) -> AsyncIterator["Asking"]:
        thumbnails = Thumbnails(images)
        self._stack.callback(thumbnails.close)
        found = Viewer("photos", self._gallery, Letters(letters, "They are not seen."), thumbnails)
        async with listening(found.site(guard or Guard()), "127.0.0.1", 0) as port:
            yield Asking(port)


class Asking:
    def __init__(self, port: int) -> None:
        self._port = port

    async def get(
        self, path: str, headers: dict[str, str] | None = None, **asked: object
    ) -> Answered:
        def ask() -> Answered:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
            connection.request("GET", f"{path}?{urlencode(asked)}", headers=headers or {})
            answer = connection.getresponse()
            return Answered(answer.status, answer.headers["Content-Type"], answer.read())

        return await asyncio.to_thread(ask)


@pytest.fixture
def house(gallery: Gallery) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(gallery, stack)


async def test_page_of_rows(house: House):
    async with house.open() as asking:
        told = (await asking.get("/api/rows", start=8, count=3)).told

    assert [row["number"] for row in told["rows"]] == [8, 9, 10]
    assert (told["start"], told["total"], told["complete"]) == (8, ROWS, True)
    assert told["rows"][1]["flags"] == ["caption:too_short"]
    assert {one["stage"] for one in told["rows"][0]["stages"]} == {"caption", "tag"}


async def test_rows_are_searched_and_filtered(house: House):
    async with house.open() as asking:
        found = [
            (await asking.get("/api/rows", **asked)).told["total"]
            for asked in (
                {"text": "okapi"},
                {"flag": "caption:too_short"},
                {"finish": "length", "contributor": ""},
                {"text": "okapi", "flag": "caption:too_short"},
            )
        ]

    assert found == [1, 1, 1, 0]


async def test_row_by_itself_tells_all(house: House):
    async with house.open() as asking:
        [row] = (await asking.get("/api/rows", start=9, count=1)).told["rows"]
        asked = {name: row[name] for name in ("part", "number", "id")}
        told = (await asking.get("/api/row", **asked)).told
        gone = await asking.get("/api/row", **(asked | {"id": "another"}))

    assert told["columns"] == {"licence": numbered(0, 10)[9]["licence"], "year": "1999"}
    assert told["facts"]["Prompts"] == "3f2a9c1d"
    assert "Stage tag" in told["facts"]
    assert gone.status == 404


async def test_picture_of_a_row_that_was_shown(house: House):
    async with house.open() as asking:
        before = (await asking.get("/api/picture", key=f"{part_name(0)}@0-0-0#1")).told
        rows = (await asking.get("/api/rows", count=5)).told["rows"]
        made = await asking.get("/api/picture", key=rows[1]["key"])
        missing = (await asking.get("/api/picture", key=rows[3]["key"], size="large")).told

    assert before["why"] == "Show the page of this row first."
    assert made.kind == "image/webp"
    assert Image.open(BytesIO(made.body)).size == picture().size
    assert missing == {"why": "it is not there any more", "again": False}


async def test_row_of_a_part_that_was_rewritten_has_its_own_picture(
    house: House, gallery: Gallery, tmp_path: Path
):
    """Those who made rows may take them back: then others stand in their places."""

    def drawn(sample: Sample) -> bytes:
        return encode(Image.new("RGB", (100 + int(sample.id[-12:-4]), 50)), "PNG")

    async with house.open(images=drawn) as asking:
        before = (await asking.get("/api/rows", count=3)).told["rows"]
        write_part(tmp_path / "photos", part_name(0), numbered(0, ROWS)[1:])
        await asyncio.to_thread(
            wait_until, lambda: gallery.state().rows == ROWS - 1, "the part to be seen"
        )
        rows = before + (await asking.get("/api/rows", count=3)).told["rows"]
        pictures = [(await asking.get("/api/picture", key=row["key"])).body for row in rows]

    assert len({row["key"] for row in rows}) == 6
    assert [Image.open(BytesIO(body)).width for body in pictures] == [
        100 + int(row["id"][-12:-4]) for row in rows
    ]


async def test_picture_that_takes_long_is_asked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_PICTURE_SECONDS", 0.01)
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(sample: Sample) -> bytes:
        asyncio.run_coroutine_threadsafe(ready.wait(), loop).result(60)
        return read(sample)

    async with house.open(images=slow) as asking:
        [row] = (await asking.get("/api/rows", count=1)).told["rows"]
        waiting = await asking.get("/api/picture", key=row["key"])
        ready.set()
        async with asyncio.timeout(60):
            while (found := await asking.get("/api/picture", key=row["key"])).kind != "image/webp":
                assert found.told["again"]

    assert waiting.told["again"] is True


async def test_picture_that_waits_behind_too_many_is_asked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.dataset.thumbnails._MOST_WAITING", 0)
    async with house.open() as asking:
        [row] = (await asking.get("/api/rows", count=1)).told["rows"]
        told = (await asking.get("/api/picture", key=row["key"])).told

    assert told["again"] is True


async def test_dead_letters_are_searched_and_counted_by_reason(house: House):
    dead = [letter(1), letter(2, "too_many_pixels"), letter(3)]
    async with house.open(letters=lambda: dead) as asking:
        told = (await asking.get("/api/letters", text="broken 3", reason="corrupt")).told
        every = (await asking.get("/api/letters", count=2)).told
        made = await asking.get("/api/picture", letter="1-0")

    assert [row["id"] for row in told["rows"]] == ["cats/3.jpg"]
    assert told["rows"][0]["facts"]["Given up"] == "2001-09-09 01:46:40 UTC by the feeder"
    assert (every["total"], len(every["rows"])) == (3, 2)
    assert every["reasons"] == {"corrupt": 2, "too_many_pixels": 1}
    assert made.kind == "image/webp"


async def test_dead_letters_that_cannot_be_read_now_say_so(house: House):
    def away() -> Sequence[DeadLetter]:
        raise QueueUnreachable("No answer from Redis.")

    async with house.open(letters=away) as asking:
        there = (await asking.get("/api/letters")).told
    async with house.open() as asking:
        never = (await asking.get("/api/letters")).told

    assert (there["rows"], there["why"]) == ([], "No answer from Redis.")
    assert never["why"] == "They are not seen."


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/rows", {"start": "-1"}),
        ("/api/rows", {"count": "many"}),
        ("/api/rows", {"start": "9" * 400}),
        ("/api/row", {"part": part_name(0), "number": "x"}),
        ("/api/choices", {"kind": "secrets"}),
        ("/api/picture", {"size": "endless"}),
    ],
)
async def test_question_without_sense_is_refused(house: House, path: str, asked: dict[str, str]):
    async with house.open() as asking:
        assert (await asking.get(path, **asked)).status == 400


async def test_no_part_but_of_the_job_is_read(house: House, tmp_path: Path):
    write_part(tmp_path / "others", "part-theirs", numbered(0, 3))
    for part in ("../others/part-theirs", str(tmp_path / "others" / "part-theirs"), ""):
        async with house.open() as asking:
            asked = {"part": part, "number": 0, "id": numbered(0, 1)[0]["id"]}
            assert (await asking.get("/api/row", **asked)).status == 404


async def test_page_of_another_name_is_refused(house: House):
    async with house.open() as asking:
        for host in ("evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"):
            for path in ("/", "/api/rows"):
                assert (await asking.get(path, {"Host": host})).status == 403
        for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert (await asking.get("/api/rows", {"Host": host})).status == 200
        elsewhere = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
        assert (await asking.get("/api/rows", elsewhere)).status == 403


async def test_token_is_demanded_where_there_is_one(house: House):
    async with house.open(Guard(TOKEN)) as asking:
        for path in ("state", "rows", "row", "choices", "letters", "picture"):
            assert (await asking.get(f"/api/{path}")).status == 401
            wrong = {"Authorization": "Bearer another"}
            assert (await asking.get(f"/api/{path}", wrong)).status == 401
        bearing = {"Authorization": f"Bearer {TOKEN}", "Host": "any.example"}
        assert (await asking.get("/api/rows", bearing)).status == 200
        assert (await asking.get("/", {"Host": "any.example"})).status == 200


async def test_files_of_the_page_are_there(house: House):
    async with house.open() as asking:
        for name in ("", *module.FILES):
            assert (await asking.get(f"/{name}")).status == 200
