"""Engine: images decoded, and a model's processor run, in other processes.

The worker's process hands encoded images over and takes tensors; one thread of it waits for each.
How many processes there are is told, or found out from what the engine lacks.
"""

import asyncio
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from caption_flow.config.schema import Preparing
from caption_flow.engine.aside import aside
from caption_flow.engine.port import Request
from caption_flow.engine.preparing.child import Answer, Job
from caption_flow.engine.preparing.files import allow
from caption_flow.engine.preparing.load import Load
from caption_flow.engine.preparing.processes import Processes
from caption_flow.engine.preparing.sizing import Sizer
from caption_flow.errors import BadImage, EngineDead, EngineFailed, EngineRefused
from caption_flow.seats import Seats

logger = logging.getLogger(__name__)

CHILD = "caption_flow.engine.preparing.child"
LOOK_SECONDS = 0.5  # between two looks whether there should be more or fewer


class Preparers:
    """Processes for the engine with this configuration of vLLM. Made in a running event loop."""

    def __init__(
        self,
        config: Any,
        count: Preparing,
        *,
        slots: int,
        most: int,
        holds: int = 0,
        module: str = CHILD,
    ) -> None:
        """`slots`: of the engine. `most`: processes, where it is not told how many.

        `holds`: images that may be prepared and not with the engine yet, where that is more.
        """
        allow(max(slots, holds))
        first = 1 if count == "auto" else count
        self.processes = Processes(module, pickle.dumps(config), first)
        self.load = Load(slots)
        self.load.count = first
        self._closed = False
        self._seats = Seats(first)  # a process for each who sits
        self._threads = ThreadPoolExecutor(max(first, most), thread_name_prefix="prepare")
        self._tuning: asyncio.Task[None] | None = None
        if count == "auto":
            self._tuning = asyncio.create_task(self._tune(Sizer(most)), name="preparers")

    @property
    def count(self) -> int:
        """How many processes there may be now."""
        return self.processes.count

    async def begin(self) -> None:
        """Start one process, before an image waits for it; EngineDead where that cannot be."""
        await aside(self.processes.begin)

    async def prepare(self, prompt: dict[str, Any], request: Request) -> dict[str, Any]:
        """Make inputs of a prompt and the image of a request.

        BadImage, EngineRefused or EngineFailed where that cannot be; EngineDead at the end.
        """
        loop = asyncio.get_running_loop()
        with self.load.one("asked"):
            async with self._seats:
                if self._closed:
                    raise EngineDead("The engine is being stopped.")
                with self.load.one("at work"):
                    call = partial(self._prepare, prompt, request)
                    return await loop.run_in_executor(self._threads, call)

    async def close(self) -> None:
        """End all of them; those that wait are told at once."""
        self._closed = True
        if self._tuning is not None:
            self._tuning.cancel()
        self._threads.shutdown(wait=False)
        await aside(self.processes.close)  # each has memory to give back, which takes a while

    async def _tune(self, sizer: Sizer) -> None:
        """Have more or fewer of them, as the engine needs."""
        delay = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, delay = delay, self.processes.delay
            seen = self.load.look(max(0.0, delay - before))
            count = self.count
            if count < self.load.count:
                sizer.limit(count)
            elif self.processes.starting:
                sizer.forget()  # what it will change is not to be seen yet
            else:
                count = sizer.look(count, seen)
            if count != self.load.count:
                logger.info("Processes that prepare images: %d at most now", count)
                self._seats.resize(count)
                self.load.count = count
                await aside(partial(self.processes.resize, count))

    def _prepare(self, prompt: dict[str, Any], request: Request) -> dict[str, Any]:
        job = msgspec.msgpack.encode(Job(prompt, request.sha256, request.limits))
        said, *made = self.processes.ask([job, request.data])
        answer = msgspec.msgpack.decode(said, type=Answer)
        if answer.bad is not None:
            raise BadImage(*answer.bad)
        if answer.refused is not None:
            raise EngineRefused(answer.refused)
        if answer.failed is not None:
            raise EngineFailed(answer.failed)
        from caption_flow.engine.preparing.inputs import unpacked  # noqa: PLC0415 - imports vLLM

        return unpacked(made)
