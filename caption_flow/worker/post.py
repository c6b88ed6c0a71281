"""Worker: one engine of a process, kept while Workers around it come and go."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from caption_flow.engine.port import Engine
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import Failure, Lease
from caption_flow.queue.ports import WorkQueue
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.duty import Duty
from caption_flow.worker.served import Served
from caption_flow.worker.worker import Worker

logger = logging.getLogger(__name__)

SHARES = (
    "free_share",
    "idle_share",
    "free_lately",
    "idle_lately",
)  # figures that are shares of the time
_LASTING = (
    "samples",
    "captions",
    "failed",
    "declined",
    "images",
    "engine_deaths",
)  # stay when it leaves


class Shift(Struct, frozen=True):
    """A Worker at an engine, with what ends it."""

    worker: Worker
    caretaker: Caretaker
    queue: WorkQueue
    drain: Drain  # of this Worker alone


class Post:
    """The engine, the stages that it is for, and the Worker that serves there now, if any."""

    def __init__(
        self, engine: Engine, needed: Served, *, failed: Callable[[Exception], None]
    ) -> None:
        """`needed`: what the engine is for. `failed` hears what ended a Worker before its time."""
        self.engine = engine
        self.stages = [stage.name for stage in needed.stages]
        self.up = True  # when its last Worker left
        self.share = needed.share  # of how many engines on one device it was started as one
        self.past: Counter[str] = Counter()  # figures of Workers that have left
        self._failed = failed
        self._shift: Shift | None = None
        self._working: asyncio.Task[None] | None = None

    @property
    def running(self) -> "asyncio.Task[None] | None":
        """The Worker's run, while it lasts."""
        return None if self._working is None or self._working.done() else self._working

    @property
    def alive(self) -> bool:
        """Whether its engine runs now; not while one that died is started again."""
        return self._shift is None or self._shift.caretaker.up

    @property
    def figures(self) -> dict[str, float]:
        """What the Worker of now counts."""
        return {} if self._shift is None else self._shift.worker.figures()

    @property
    def last(self) -> tuple[Lease, Failure] | None:
        """What failed last with the Worker of now, and why."""
        return None if self._shift is None else self._shift.worker.last

    @property
    def declining(self) -> str:
        """What keeps the Worker of now from all samples that come."""
        return "" if self._shift is None else self._shift.worker.declining

    def serves(self, needed: Served | None) -> bool:
        """Whether the engine is still needed, and has no more of its device than it may have."""
        return needed is not None and self.share >= needed.share

    def begin(self, shift: Shift) -> None:
        """Let a Worker serve."""
        self._shift = shift
        self._working = asyncio.create_task(self._run(shift), name="worker")

    async def adopt(self, duty: Duty) -> None:
        """Let the Worker go by other settings from its next sample on."""
        if self._shift is not None:
            await self._shift.worker.adopt(duty)

    async def rehearse(self, duty: Duty) -> None:
        """Try what stages say that the engine was not started with; raises as Engine.rehearse."""
        if self._shift is None or self._shift.caretaker.up:
            for stage in duty.stages.values():
                await self.engine.rehearse(stage)

    async def relieve(self) -> None:
        """Let the Worker leave: what it has not begun goes back, what is inside is finished."""
        if self._shift is None or self._working is None:
            return
        self._shift.drain.ask()
        await asyncio.wait({self._working})
        self.up = self._shift.caretaker.up
        figures = self.figures
        self.past.update({name: int(figures[name]) for name in _LASTING})
        self._shift = self._working = None

    async def close(self) -> None:
        """Free the engine; a Worker that is still there can say nothing any more."""
        if self._working is not None:
            await cancel(self._working)
        await self.engine.stop()

    async def _run(self, shift: Shift) -> None:
        try:
            await shift.worker.run()
            await shift.queue.close()
        except Exception as exc:  # of any kind: it ends the whole process, in good order
            self._failed(exc)
