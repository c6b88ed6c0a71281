"""Proxy: the wall of the newest captions: those that wait for a part, and the last of the parts.

It keeps a bounded number of rows in the order in which it found them. Whoever looks asks for what
came after a mark, which is a time, and a row has the same key at each proxy of a job: behind a
balancer, each request may come to another one.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import filterfalse, islice

from msgspec import UNSET, Struct
from msgspec.structs import replace

from caption_flow.dataset.merged import is_merged
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.tail import tail
from caption_flow.errors import CaptionFlowError
from caption_flow.model import Sample
from caption_flow.proxy.watching.row import Row, of_caption, of_part, sample_of
from caption_flow.queue.ports import Inspector

logger = logging.getLogger(__name__)

KEPT = 400  # rows
KEPT_BYTES = 8 << 20  # of samples, which are kept longer: pages show rows that are gone here
AT_ONCE = 40  # read of what waits, in a look: a fast job has more, and nobody could read them
TOLD = 120  # in an answer
SLACK = 5.0  # seconds by which two proxies may see a row apart, and their clocks differ

_SAMPLE_BYTES = 600  # that a sample takes beside its text
_DIGITS = 20  # of a mark


class _Found(Struct, frozen=True):
    number: int  # when, in microseconds since the epoch; no two are the same
    key: str
    row: Row


class Told(Struct, frozen=True):
    """Rows that are new to who asked, and perhaps some that it knows."""

    mark: str  # what to ask with the next time
    rows: list[tuple[str, Row]]  # with their keys, the oldest first


class Wall:
    """The newest captions of a job."""

    def __init__(
        self,
        inspector: Inspector,
        folder: PartFolder | None,
        stages: Callable[[], Mapping[str, str]],
    ) -> None:
        """`stages`: which output each stage writes."""
        self._inspector = inspector
        self._folder = folder
        self._stages = stages
        self._last = 0  # number of the newest row
        self._found: OrderedDict[str, _Found] = OrderedDict()  # by sample id
        self._samples = _Samples()
        self._part = _Part()  # the newest that was read

    async def look(self) -> None:
        """Find what is new."""
        if self._folder is not None:
            await self._look_at_parts(self._folder)
        for caption in reversed(await self._inspector.captions(AT_ONCE)):
            if caption.outcomes:
                self._add(caption.sample, of_caption(caption))

    def after(self, mark: str) -> Told:
        """Tell the newest rows that were found after a mark; of one that is none, all."""
        since = _time(mark)
        # Another proxy, which has given it, may have found rows a little earlier than this one.
        exact = since == self._last or any(one.number == since for one in self._found.values())
        begin = since if exact else since - _micros(SLACK)
        newer = (one for one in reversed(self._found.values()) if one.number > begin)
        rows = [(one.key, one.row) for one in islice(newer, TOLD)]
        return Told(str(max(self._last, since)), rows[::-1])

    def samples(self, keys: Iterable[str]) -> dict[str, Sample]:
        """Say which samples rows are about, as far as they are known."""
        return {key: sample for key in keys if (sample := self._samples.get(key)) is not None}

    def _add(self, sample: Sample, row: Row) -> None:
        known = self._found.get(sample.id)
        if known is not None and row.at - known.row.at < 1.0:
            return  # the same, in a part by now
        self._found.pop(sample.id, None)
        self._last = max(self._last + 1, _micros(time.time()))
        key = _key(sample.id, row.at)
        self._found[sample.id] = _Found(self._last, key, row)
        self._samples.keep(key, _alone(sample))
        while len(self._found) > KEPT:
            self._found.popitem(last=False)

    async def _look_at_parts(self, folder: PartFolder) -> None:
        try:
            part = await asyncio.to_thread(self._newest, folder)
        except CaptionFlowError as exc:
            logger.debug("No look at the parts: %s", exc)
            return
        for sample, row in part.rows:
            self._add(sample, row)
        self._part = replace(part, rows=[])

    def _newest(self, folder: PartFolder) -> "_Part":
        """Read the end of the newest part, where there is another than before."""
        try:
            changed = folder.path.stat().st_mtime_ns
        except OSError:  # there is none yet
            return self._part
        if changed == self._part.changed:
            return self._part
        name = self._name_of_newest(folder)
        rows = self._end_of(folder, name) if name > self._part.name else []
        return _Part(changed, max(name, self._part.name), rows)

    def _name_of_newest(self, folder: PartFolder) -> str:
        """Name the newest part; of those that others were merged into, where nothing is known."""
        names = folder.published()
        if self._part.name:
            return max(filterfalse(is_merged, names), default="")
        return max(names, key=lambda name: (not is_merged(name), name), default="")

    def _end_of(self, folder: PartFolder, name: str) -> list[tuple[Sample, Row]]:
        try:
            end = tail(folder, name, KEPT if not self._found else AT_ONCE)
        except CaptionFlowError as exc:  # which is not tried again each second
            logger.debug("No look at part %s: %s", name, exc)
            return []
        stages = self._stages()
        return [(sample_of(row), of_part(row, end.outputs, stages)) for row in end.rows]


class _Part(Struct, frozen=True):
    """The newest part."""

    changed: int = 0  # when the folder of the parts was, in nanoseconds
    name: str = ""
    rows: list[tuple[Sample, Row]] = []  # of its end, that are not on the wall yet


class _Samples:
    """Samples by the keys of their rows, the newest as far as there is room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Sample] = OrderedDict()
        self._size = 0  # bytes, about

    def get(self, key: str) -> Sample | None:
        return self._kept.get(key)

    def keep(self, key: str, sample: Sample) -> None:
        if (before := self._kept.pop(key, None)) is not None:
            self._size -= _size(before)
        self._kept[key] = sample
        self._size += _size(sample)
        while self._size > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._size -= _size(oldest)


def _key(id_: str, at: float) -> str:
    """Name a row. To the second: a part rounds its time a little."""
    return blake2b(f"{at:.0f} {id_}".encode(), digest_size=12).hexdigest()


def _time(mark: str) -> int:
    """Read a mark; what lies ahead of us, nobody has given."""
    if not (mark.isascii() and mark.isdecimal() and len(mark) <= _DIGITS):
        return 0
    return min(int(mark), _micros(time.time() + SLACK))


def _micros(seconds: float) -> int:
    return int(seconds * 1e6)


def _alone(sample: Sample) -> Sample:
    """Leave out what may be large of a sample."""
    return replace(sample, columns={}, sampling=UNSET)


def _size(sample: Sample) -> int:
    texts = (sample.id, sample.dataset, sample.shard, sample.chunk, sample.source)
    where = "" if sample.reference is UNSET else sample.reference.url
    return _SAMPLE_BYTES + sum(map(len, texts)) + len(where)
