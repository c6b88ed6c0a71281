"""Proxy: the wall of the newest captions: those that wait for a part, and the last of the parts.

It keeps a bounded number of rows in the order in which it found them, each under a key that no
other row gets, so that whoever looks asks for what came after.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from msgspec import UNSET, Struct
from msgspec.structs import replace

from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.tail import tail
from caption_flow.errors import CaptionFlowError
from caption_flow.model import Sample
from caption_flow.proxy.watching.row import Row, of_caption, of_part, sample_of
from caption_flow.queue.ports import Inspector

logger = logging.getLogger(__name__)

KEPT = 400  # rows
AT_ONCE = 40  # read of what waits, in a look: a fast job has more, and nobody could read them
TOLD = 120  # in an answer


class _Found(Struct, frozen=True):
    number: int
    sample: Sample
    row: Row


class Told(Struct, frozen=True):
    """Rows that are new to who asked."""

    mark: str  # what to ask with the next time
    kept: int  # rows on the wall
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
        self._run = secrets.token_hex(4)  # numbers of another process are not ours
        self._last = 0
        self._found: OrderedDict[str, _Found] = OrderedDict()  # by sample id
        self._seen = 0  # when the folder of the parts changed last, as far as it was read
        self._part = ""  # the newest that was read

    async def look(self) -> None:
        """Find what is new."""
        if self._folder is not None:
            await self._look_at_parts(self._folder)
        for caption in reversed(await self._inspector.captions(AT_ONCE)):
            if caption.outcomes:
                self._add(caption.sample, of_caption(caption))

    def after(self, mark: str) -> Told:
        """Tell the newest rows that were found after a mark; of one that is not ours, all."""
        run, _, number = mark.partition("-")
        since = int(number) if run == self._run and number.isdecimal() else 0
        newer = (one for one in reversed(self._found.values()) if one.number > since)
        rows = [(self._key(one.number), one.row) for one in islice(newer, TOLD)]
        return Told(self._key(self._last), len(self._found), rows[::-1])

    def samples(self, keys: list[str]) -> dict[str, Sample]:
        """Say which samples rows are about, as far as they are kept."""
        wanted = set(keys)
        named = ((self._key(one.number), one.sample) for one in self._found.values())
        return {key: sample for key, sample in named if key in wanted}

    def _key(self, number: int) -> str:
        return f"{self._run}-{number}"

    def _add(self, sample: Sample, row: Row) -> None:
        known = self._found.get(sample.id)
        if known is not None and row.at - known.row.at < 1.0:
            return  # the same, in a part by now
        self._found.pop(sample.id, None)
        self._last += 1
        self._found[sample.id] = _Found(self._last, _alone(sample), row)
        while len(self._found) > KEPT:
            self._found.popitem(last=False)

    async def _look_at_parts(self, folder: PartFolder) -> None:
        try:
            found = await asyncio.to_thread(self._newest, folder)
        except CaptionFlowError as exc:
            logger.debug("No look at the parts: %s", exc)
            return
        for sample, row in found:
            self._add(sample, row)

    def _newest(self, folder: PartFolder) -> list[tuple[Sample, Row]]:
        """Read the end of the newest part, where there is another than before."""
        try:
            changed = folder.path.stat().st_mtime_ns
        except OSError:  # there is none yet
            return []
        if changed == self._seen:
            return []
        self._seen = changed
        part = max(folder.published(), default="")
        if part == self._part:
            return []
        self._part = part
        end = tail(folder, part, KEPT if not self._found else AT_ONCE)
        stages = self._stages()
        return [(sample_of(row), of_part(row, end.outputs, stages)) for row in end.rows]


def _alone(sample: Sample) -> Sample:
    """Leave out what may be large of a sample."""
    return replace(sample, columns={}, sampling=UNSET)
