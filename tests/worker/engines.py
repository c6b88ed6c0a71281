"""Engines to work with: one that counts, and others that misbehave in one way each."""

import asyncio
from collections.abc import Collection

from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineDead, EngineFailed


class CountingEngine:
    """Captions by a function, and knows how many requests are inside."""

    name = "counting"
    model = "none"
    decodes = False

    def __init__(self, capacity: int = 8, *, decodes: bool = False) -> None:
        self.capacity = capacity
        self.decodes = decodes
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
            return self.answer(request)
        finally:
            self.inside -= 1

    def answer(self, request: Request) -> Output:
        return Output(f"{request.prompt} {len(request.data)}", "stop", 1, 2)

    async def stop(self) -> None:
        """Nothing to free."""


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


class DyingEngine(CountingEngine):
    """Is gone for good after some captions."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def answer(self, request: Request) -> Output:
        self._left -= 1
        if self._left < 0:
            raise EngineDead("The engine is gone.")
        return super().answer(request)


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
