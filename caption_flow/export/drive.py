"""Export: rows go to a writer, and how far that is is noted, so that a killed export goes on."""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.export.draft import Draft
from caption_flow.export.flow import Flow, Step
from caption_flow.export.ports import Progress, Writer

SETTLE_SECONDS = 5.0  # of work that a killed export does again, at most

# What is done, how many rows so far, and of how many; None: nobody knows.
See: TypeAlias = Callable[[str, int, int | None], None]


class Meter:
    """Tells how many rows of the parts were read."""

    def __init__(self, see: See, doing: str, total: int | None) -> None:
        self._see = see
        self._doing = doing
        self._total = total
        self._done = 0

    def __call__(self, rows: int) -> None:
        """Add rows."""
        self._done += rows
        self._see(self._doing, self._done, self._total)


class Written(Struct, frozen=True):
    """What was exported."""

    samples: int
    rows: int  # the same, but for captions with a row each


class _Driven:
    """An export on its way."""

    def __init__(self, flow: Flow, writer: Writer, draft: Draft) -> None:
        begun = draft.progress or Progress()
        self._flow = flow
        self._writer = writer
        self._draft = draft
        self._passed = begun  # the last mark before what is settled
        self._marks: deque[Progress] = deque()
        self._rows = begun.rows
        self._skip = begun.settled - begun.rows  # rows that come again and are written already
        self._settle_at = time.monotonic() + SETTLE_SECONDS
        self.samples = begun.samples

    def run(self, meter: Meter) -> Written:
        for step in self._flow.steps(self._passed.mark, self.samples):
            self._take(step)
            meter(step.read)
            if time.monotonic() >= self._settle_at:
                self._settle()
        state = self._writer.finish()
        rows = self._rows
        done = Progress(self._passed.mark, self.samples, rows, rows, state, finished=True)
        self._draft.save(done)
        return Written(self.samples, rows)

    def _take(self, step: Step) -> None:
        known = min(self._skip, len(step.rows))
        self._skip -= known
        rows = step.rows.after(known) if known else step.rows
        if len(rows):
            self._writer.write(rows)
        self._rows += len(step.rows)
        self.samples = step.samples
        self._marks.append(Progress(step.mark, step.samples, self._rows))

    def _settle(self) -> None:
        settled = self._writer.settle()
        while self._marks and self._marks[0].rows <= settled:
            self._passed = self._marks.popleft()
        state = self._writer.state()
        self._draft.save(replace(self._passed, settled=settled, state=state))
        self._settle_at = time.monotonic() + SETTLE_SECONDS


def drive(flow: Flow, writer: Writer, draft: Draft, meter: Meter) -> Written:
    """Export what is not exported yet, to the draft."""
    with closing(writer), _without_gc():
        return _Driven(flow, writer, draft).run(meter)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Rows make millions of objects and no circles; to look for these takes a third of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
