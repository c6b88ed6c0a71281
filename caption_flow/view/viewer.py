"""View: the pages: what is asked of them and what they answer."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from caption_flow.dataset.gallery import Ask, Gallery, Row
from caption_flow.dataset.gallery.entries import KINDS
from caption_flow.dataset.pixels import NoPixels
from caption_flow.dataset.thumbnails import SIDES, Size, Thumbnails, TooMany
from caption_flow.model import Sample
from caption_flow.view.guard import Guard
from caption_flow.view.letters import Letters
from caption_flow.view.shown import dead, listed, whole
from caption_flow.web.assets import SHARED, assets
from caption_flow.web.site import Answer, Asked, Page, Site, refused, told

FILES = (*SHARED, "view.css", "view.js")
MOST_ROWS = 200  # of a page
_REMEMBERED = 4000  # samples whose pictures may be asked for
_PICTURE_SECONDS = 6.0  # below the time in which a request must be answered
# A picture stays what it is for as long as somebody looks at it.
_KEPT = {"Cache-Control": "private, max-age=600"}


class BadQuestion(Exception):
    """What is asked makes no sense; the sentence says why."""


class Viewer:
    """Answers for one job."""

    def __init__(
        self, name: str, gallery: Gallery, letters: Letters, thumbnails: Thumbnails
    ) -> None:
        self.name = name
        self._gallery = gallery
        self._letters = letters
        self._thumbnails = thumbnails
        self._samples: OrderedDict[str, Sample] = OrderedDict()  # by the keys of rows

    def site(self, guard: Guard) -> Site:
        """Make the pages, with a guard before them."""
        public = {
            path: guard.before(page, public=True)
            for path, page in assets("view.html", FILES).items()
        }
        pages: Mapping[str, Page] = {
            "/api/state": self._state,
            "/api/rows": self._rows,
            "/api/row": self._row,
            "/api/choices": self._choices,
            "/api/letters": self._dead,
            "/api/picture": self._picture,
        }
        private = {path: guard.before(_sensible(p), public=False) for path, p in pages.items()}
        return Site(public | private)

    async def _state(self, _: Asked) -> Answer:
        return told({"job": self.name, "state": self._gallery.state()})

    async def _rows(self, asked: Asked) -> Answer:
        window = _Window.of(asked)
        page = await asyncio.to_thread(
            self._gallery.page,
            _meant(asked),
            window.start,
            window.count,
            newest=asked.query.get("order") == "newest",
        )
        return told(
            {
                "rows": [self._remembered(row, listed(row)) for row in page.rows],
                "start": page.start,
                "total": page.total,
                "complete": page.complete,
                "notes": page.notes,
            }
        )

    async def _row(self, asked: Asked) -> Answer:
        part, id_ = asked.query.get("part", ""), asked.query.get("id", "")
        number = _number(asked, "number", 0, most=2**31)
        row = await asyncio.to_thread(self._gallery.row, part, number, id_)
        if row is None:
            return refused(404, "This row is gone: its part was merged, or has lost it.")
        return told(self._remembered(row, whole(row)))

    async def _choices(self, asked: Asked) -> Answer:
        kind, like = asked.query.get("kind", ""), asked.query.get("like", "")
        if kind not in KINDS:
            raise BadQuestion(f"kind is one of {', '.join(KINDS)}.")
        return told(await asyncio.to_thread(self._gallery.choices, kind, like))

    async def _dead(self, asked: Asked) -> Answer:
        window, seen = _Window.of(asked), await self._letters.newest()
        fitting = seen.fitting(asked.query.get("text", ""), asked.query.get("reason", ""))
        shown = fitting[window.start : window.start + window.count]
        return told(
            {
                "rows": [dead(letter) for letter in shown],
                "start": window.start,
                "total": len(fitting),
                "reasons": seen.reasons,
                "why": seen.why,
            }
        )

    async def _picture(self, asked: Asked) -> Answer:
        """Answer with a picture, or with why there is none: to the page that is no error."""
        size = _size(asked)
        sample = self._sample(asked)
        if sample is None:
            return told(_Missing("Show the page of this row first.", again=False))
        making = asyncio.wrap_future(self._thumbnails.of(sample, size))
        try:
            async with asyncio.timeout(_PICTURE_SECONDS):
                picture = await asyncio.shield(making)
        except TimeoutError:
            making.add_done_callback(_seen_to)
            return told(_Missing("It is still being read.", again=True))
        except NoPixels as exc:
            return told(_Missing(str(exc), again=isinstance(exc, TooMany)))
        return Answer(picture, "image/webp", headers=_KEPT)

    def _sample(self, asked: Asked) -> Sample | None:
        if entry := asked.query.get("letter"):
            letter = self._letters.find(entry)
            return None if letter is None else letter.sample
        key = asked.query.get("key", "")
        if key in self._samples:
            self._samples.move_to_end(key)
        return self._samples.get(key)

    def _remembered(self, row: Row, shown: dict[str, Any]) -> dict[str, Any]:
        """Keep in mind where the image of a row that is shown is found."""
        self._samples[shown["key"]] = row.sample
        self._samples.move_to_end(shown["key"])
        while len(self._samples) > _REMEMBERED:
            self._samples.popitem(last=False)
        return shown


class _Missing(Struct, frozen=True):
    why: str  # there is no picture
    again: bool  # there may be one soon


class _Window(Struct, frozen=True):
    start: int
    count: int

    @classmethod
    def of(cls, asked: Asked) -> "_Window":
        return cls(
            _number(asked, "start", 0, most=2**53), _number(asked, "count", 24, most=MOST_ROWS)
        )


def _meant(asked: Asked) -> Ask:
    """Say which rows are meant; a filter that is there and empty means rows that have none."""
    facets = tuple((kind, asked.query[kind]) for kind in KINDS if kind in asked.query)
    return Ask(asked.query.get("text", ""), facets)


def _number(asked: Asked, name: str, default: int, *, most: int) -> int:
    text = asked.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)):
        raise BadQuestion(f"{name} is a whole number.")
    return min(int(text), most)


def _size(asked: Asked) -> Size:
    size = asked.query.get("size", "small")
    for known in SIDES:
        if size == known:
            return known
    raise BadQuestion(f"size is one of {', '.join(SIDES)}.")


def _sensible(page: Page) -> Page:
    async def answering(asked: Asked) -> Answer:
        try:
            return await page(asked)
        except BadQuestion as exc:
            return refused(400, str(exc))

    return answering


def _seen_to(future: "asyncio.Future[bytes]") -> None:
    """Take note of how a picture ended that nobody waits for."""
    if not future.cancelled():
        future.exception()
