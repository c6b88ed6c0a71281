"""Worker: one sample, from its encoded image to its outcome.

Pixels are decoded in other threads, so that neither the engine nor the queue waits for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import UNSET, Struct, UnsetType
from PIL.Image import Image

from caption_flow.config.broadcast import Broadcast, fingerprint
from caption_flow.config.resampling import resampled
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.errors import BadImage, EngineFailed
from caption_flow.image import decode, fit
from caption_flow.model import Lease, Outcome, Picture
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.gate import Gate

# Decoded images held for the next free slots: what a slot never waits for, yet bounded memory.
DECODED_AHEAD = 0.25  # of the engine's capacity
DECODED_AHEAD_LEAST = 4


class _Prepared(Struct, frozen=True):
    """An image as the engine gets it."""

    data: bytes
    pixels: Image | None = None  # where the engine wants them
    picture: Picture | UnsetType = UNSET  # where it is we who looked at it first


class Captioner:
    """Runs samples through the engine, as many requests at once as it has slots."""

    def __init__(
        self,
        engine: Caretaker,
        settings: Broadcast,
        *,
        version: int,
        worker: str,
        contributor: str,
        threads: int,
    ) -> None:
        self._engine = engine
        self._images = settings.images
        self._stages = {stage.name: (stage, fingerprint(stage)) for stage in settings.stages}
        self._version = version
        self._worker = worker
        self._contributor = contributor
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._gate = Gate()
        ahead = max(DECODED_AHEAD_LEAST, int(engine.capacity * DECODED_AHEAD))
        self._decoded = asyncio.Semaphore(engine.capacity + ahead)

    async def caption(
        self,
        lease: Lease,
        data: bytes,
        *,
        alone: bool,
        admitted: Callable[[], Awaitable[None]],
        entered: Callable[[], None],
    ) -> Outcome:
        """Caption one sample, `alone` with no other beside it, be it decoded or captioned.

        `admitted` is called before anything is done with it, `entered` when its first request
        goes to the engine. Raises BadImage, and what Caretaker.ask and `admitted` raise.
        """
        stage, prompts = self._stages[lease.stage]
        stage = resampled(stage, lease.sample.sampling)
        async with self._decoded, self._gate.passed(alone=alone):
            await admitted()
            image = await self._prepare(lease, data)
            outputs = await self._run(lease, stage, image, entered)
        texts = [output.text for output in outputs if output.text]
        if not texts:
            raise EngineFailed("The model answered with nothing.")
        return Outcome(
            stage=stage.name,
            outputs={stage.output_field: texts},
            engine=self._engine.name,
            model=outputs[-1].model or self._engine.model,
            prompts=prompts,
            prompt_tokens=sum(output.prompt_tokens for output in outputs),
            output_tokens=sum(output.output_tokens for output in outputs),
            finish_reasons=[output.finish_reason for output in outputs],
            settings_version=self._version,
            attempt=lease.attempt,
            worker=self._worker,
            contributor=self._contributor,
            captioned_at=time.time(),
            picture=image.picture,
        )

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _prepare(self, lease: Lease, data: bytes) -> _Prepared:
        unseen = lease.sample.reference is not UNSET
        if not (unseen or self._engine.decodes):
            return _Prepared(data)
        loop = asyncio.get_running_loop()
        work = self._look if unseen else self._pixels
        image = await loop.run_in_executor(self._threads, work, data)
        _check_unchanged(lease, image.picture)
        return image

    def _look(self, data: bytes) -> _Prepared:
        """Do what the feeder does with the images that it reads."""
        limits = self._images
        fed, picture = fit(
            data,
            max_side=limits.max_side,
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
        )
        return self._pixels(fed, picture) if self._engine.decodes else _Prepared(fed, None, picture)

    def _pixels(self, data: bytes, picture: Picture | UnsetType = UNSET) -> _Prepared:
        limits = self._images
        pixels = decode(data, max_pixels=limits.max_pixels, max_side=limits.max_side)
        return _Prepared(data, pixels, picture)

    async def _run(
        self,
        lease: Lease,
        stage: Stage,
        image: _Prepared,
        entered: Callable[[], None],
    ) -> list[Output]:
        requests = [
            Request(
                f"{lease.entry}:{lease.attempt}:{n}",
                lease.sample.id,
                stage,
                prompt,
                image.data,
                image.pixels,
            )
            for n, prompt in enumerate(stage.prompts)
        ]
        if len(requests) == 1:
            return [await self._engine.ask(requests[0], entered)]
        asked = [asyncio.ensure_future(self._engine.ask(request, entered)) for request in requests]
        try:
            return await asyncio.gather(*asked)
        finally:
            for task in asked:  # those whose outputs nobody waits for any more
                task.cancel()


def _check_unchanged(lease: Lease, picture: Picture | UnsetType) -> None:
    """Refuse an image that is another than the one that an earlier stage captioned."""
    if picture is UNSET:
        return
    for outcome in lease.outcomes:
        seen = outcome.picture
        if seen is not UNSET and seen.sha256 != picture.sha256:
            detail = f'it is another one than the stage "{outcome.stage}" has captioned'
            raise BadImage("image_changed", detail)
