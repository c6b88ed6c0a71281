"""Proxy: the page for people who watch a job, and the JSON that it is drawn from."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.thumbnails import Thumbnails
from caption_flow.monitor.report import document
from caption_flow.proxy.view import View
from caption_flow.proxy.watching.glance import Glance
from caption_flow.proxy.watching.passing import Passing, Read
from caption_flow.proxy.watching.pictures import KEPT_BYTES, PicturePage
from caption_flow.proxy.watching.wall import Wall
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob
from caption_flow.web.assets import SHARED, assets
from caption_flow.web.site import JSON, Answer, Asked, Page

INDEX = "watch.html"
OWN = ("watch.css", "watch.js", "chart.js", "tables.js")

FRESH_SECONDS = 1.0  # what is shown is no older, and nothing is read more often

_WORTH_PACKING = 2048  # bytes
_LEVEL = 3  # of gzip


def shell() -> Mapping[str, Page]:
    """Make the files of the page, which hold no data."""
    return assets(INDEX, (*SHARED, *OWN))


@contextmanager
def data(
    job: RedisJob, view: View, folder: PartFolder | None, read: Read | None
) -> Iterator[Mapping[str, Page]]:
    """Make what the page asks for. `read`: the image of a sample; None: there are no pictures."""

    def stages() -> Mapping[str, str]:
        known = view.newest.stages if view.newest else {}
        return {name: stage.output_field for name, stage in known.items()}

    inspector = RedisInspector(job.connections, job.job)
    wall = Wall(inspector, folder, stages)
    passing = Passing(inspector, read, lambda: [*stages()]) if read else None
    thumbnails = Thumbnails(passing.read, kept_bytes=KEPT_BYTES) if passing else None
    state, captions = _State(inspector, job.job), _Captions(wall, passing)
    try:
        yield {
            "/api/state": state,
            "/api/captions": captions,
            "/api/thumbnails": PicturePage(wall, thumbnails, captions.glance.get),
        }
    finally:
        state.glance.leave()
        captions.glance.leave()
        if thumbnails is not None:
            thumbnails.close()


class _Packed(Struct, frozen=True):
    """JSON, as it is and as it travels faster."""

    plain: bytes
    packed: bytes  # empty where that is not worth it

    @classmethod
    def of(cls, thing: object) -> "_Packed":
        plain = records.encode(thing)
        small = len(plain) < _WORTH_PACKING
        return cls(plain, b"" if small else gzip.compress(plain, _LEVEL, mtime=0))

    def answer(self, question: Asked) -> Answer:
        answer = Answer(self.plain, JSON)
        if self.packed and "gzip" in question.headers.get("accept-encoding", ""):
            packing = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            return replace(answer, body=self.packed, headers=packing)
        return answer


class _State:
    """Page: the state of the job, see monitor/report.py. All who look share one."""

    def __init__(self, inspector: RedisInspector, job: str) -> None:
        self._inspector = inspector
        self._job = job
        self.glance = Glance(self._look, seconds=FRESH_SECONDS)

    async def _look(self) -> _Packed:
        return _Packed.of(document(self._job, await self._inspector.snapshot()))

    async def __call__(self, question: Asked) -> Answer:
        return (await self.glance.get()).answer(question)


class _Captions:
    """Page: what is new on the wall, after the mark that `after` gives."""

    def __init__(self, wall: Wall, passing: Passing | None) -> None:
        self._wall = wall
        self._passing = passing
        self.glance = Glance(self._look, seconds=FRESH_SECONDS)

    async def _look(self) -> None:
        if self._passing is not None:
            await self._passing.look()
        await self._wall.look()

    async def __call__(self, question: Asked) -> Answer:
        await self.glance.get()
        told = self._wall.after(question.query.get("after", ""))
        # Long captions take 10 ms to pack, for each who looks, and workers are served meanwhile.
        packed = await asyncio.to_thread(_Packed.of, told)
        return packed.answer(question)
