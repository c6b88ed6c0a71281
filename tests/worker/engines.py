"""Engines to work with: one that counts, and others that misbehave in one way each."""

import asyncio
from collections.abc import Collection

from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineDead, EngineFailed, EngineRefused, EngineUnfit
from caption_flow.image import decode


class CountingEngine:
    """Captions by a function, and knows how many requests are inside."""

    name = "counting"
    model = "none"
    decodes = False
    preparers = 0

    def __init__(self, capacity: int = 8, *, decodes: bool = False) -> None:
        self.capacity = self.holds = capacity
        self.decodes = decodes
        self.signs = 0
        self.inside = 0
        self.most = 0
        self.begun: list[str] = []  # the prompts, in order
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        """Nothing to load."""

    async def caption(self, request: Request) -> Output:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.begun.append(request.prompt)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            output = self.answer(request)
            self.signs += 1
            return output
        finally:
            self.inside -= 1

    def answer(self, request: Request) -> Output:
        return Output(f"{request.prompt} {len(request.data)}", "stop", 1, 2)

    async def rehearse(self, stage: Stage) -> None:
        """Any stage will do."""

    async def stop(self) -> None:
        """Nothing to free."""


class DecodingEngine(CountingEngine):
    """Takes images as they are, and looks at them itself."""

    def answer(self, request: Request) -> Output:
        limits = request.limits
        decode(request.data, max_pixels=limits.max_pixels, max_side=limits.max_side)
        return super().answer(request)


class FailingEngine(CountingEngine):
    """Cannot caption some images, so many times each."""

    def __init__(self, bad: Collection[bytes], *, times: int = 1_000_000) -> None:
        super().__init__()
        self._left = dict.fromkeys(bad, times)

    def answer(self, request: Request) -> Output:
        if self._left.get(request.data, 0) > 0:
            self._left[request.data] -= 1
            raise EngineFailed("It made no sense of this one.")
        return super().answer(request)


class MortalEngine(CountingEngine):
    """Dies of some images, with all that is inside, and is well again when started again."""

    def __init__(
        self, killers: Collection[bytes], *, starts: int = 1_000_000, capacity: int = 8
    ) -> None:
        super().__init__(capacity)
        self._killers = frozenset(killers)
        self._starts = starts  # that succeed
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.beside: dict[bytes, list[int]] = {}  # image -> how many were inside, at each try

    async def start(self) -> None:
        self._starts -= 1
        if self._starts < 0:
            raise EngineUnfit("The GPU has fallen off the bus.")
        self._death = asyncio.get_running_loop().create_future()

    async def caption(self, request: Request) -> Output:
        assert not self._death.done(), "asked while dead"
        captioning = asyncio.ensure_future(super().caption(request))
        await asyncio.wait({captioning, self._death}, return_when=asyncio.FIRST_COMPLETED)
        if not self._death.done():
            return captioning.result()
        captioning.cancel()
        await asyncio.wait({captioning})
        raise EngineDead("The engine is gone.")

    def answer(self, request: Request) -> Output:
        self.beside.setdefault(request.data, []).append(self.inside)
        if request.data in self._killers and not self._death.done():
            self._death.set_result(None)
        return super().answer(request)


class HangingEngine(CountingEngine):
    """Says nothing any more once it has seen some image, until it is started again."""

    def __init__(self, bad: bytes) -> None:
        super().__init__()
        self._bad = bad
        self.hung = False
        self.starts = 0

    async def start(self) -> None:
        self.hung = False
        self.starts += 1

    async def caption(self, request: Request) -> Output:
        self.hung = self.hung or request.data == self._bad
        if self.hung:
            await asyncio.Event().wait()
        return await super().caption(request)


class LateEngine(CountingEngine):
    """Fails on one prompt once all others wait inside for ever."""

    def __init__(self, bad: str) -> None:
        super().__init__()
        self._bad = bad
        self._other = asyncio.Event()

    async def caption(self, request: Request) -> Output:
        if request.prompt != self._bad:
            self._other.set()
            return await super().caption(request)
        self.begun.append(request.prompt)
        await self._other.wait()
        raise EngineFailed("It made no sense of this one.")


class RefusingEngine(CountingEngine):
    """Will not have one image, now or ever."""

    def __init__(self, bad: bytes) -> None:
        super().__init__()
        self._bad = bad

    def answer(self, request: Request) -> Output:
        if request.data == self._bad:
            raise EngineRefused("The prompt is longer than the model takes.")
        return super().answer(request)


class BrokenEngine(CountingEngine):
    """Raises what no engine should, on one image."""

    def __init__(self, bad: bytes) -> None:
        super().__init__()
        self._bad = bad

    def answer(self, request: Request) -> Output:
        if request.data == self._bad:
            raise ZeroDivisionError("a mistake in the engine")
        return super().answer(request)


class QuietEngine(CountingEngine):
    """Says nothing to some prompts."""

    def __init__(self, silent: Collection[str]) -> None:
        super().__init__()
        self._silent = silent

    def answer(self, request: Request) -> Output:
        text = "" if request.prompt in self._silent else f"about {request.prompt}"
        return Output(text, "stop", 3, 4)


class TellingEngine(CountingEngine):
    """Says which sampling it was asked for."""

    def answer(self, request: Request) -> Output:
        sampling = request.stage.sampling
        return Output(f"{sampling.temperature} {sampling.extra}", "stop", 1, 2)
