"""Bench: an engine that is loaded already, lent to the worker of a pipeline."""

from msgspec.structs import replace

from caption_flow.bench.fresh import fresh
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Engine, Output, Request


class Lent:
    """Starts and stops for who has borrowed it; it is loaded anew only where it has died."""

    def __init__(self, engine: Engine, *, repeated: bool) -> None:
        """`repeated`: the same few images come again and again, and shall be new each time."""
        self.name = engine.name
        self.model = engine.model
        self.decodes = engine.decodes
        self.capacity = engine.capacity
        self.holds = engine.holds
        self._engine = engine
        self._repeated = repeated
        self._started = False
        self._numbers: dict[str, int] = {}  # by sample

    @property
    def signs(self) -> int:
        """Signs of life."""
        return self._engine.signs

    @signs.setter
    def signs(self, signs: int) -> None:
        self._engine.signs = signs

    @property
    def preparers(self) -> int:
        """Processes that prepare images."""
        return self._engine.preparers

    async def start(self) -> None:
        """Begin to be lent; later on: start again."""
        if self._started:
            await self._engine.start()
        self._started = True

    async def caption(self, request: Request) -> Output:
        """Run a request."""
        shown = self._repeated and request.data
        return await self._engine.caption(self._new(request) if shown else request)

    async def rehearse(self, stage: Stage) -> None:
        """Try what a stage says."""
        await self._engine.rehearse(stage)

    async def stop(self) -> None:
        """Go on being loaded: who has lent it stops it."""

    def _new(self, request: Request) -> Request:
        """Show an image as one that was never seen; to all prompts on one sample as the same."""
        number = self._numbers.setdefault(request.sample, len(self._numbers))
        name = f"{request.sha256}-{number}-run"
        if request.image is not None:
            return replace(request, sha256=name)
        return replace(request, data=fresh(request.data, (1 << 63) + number), sha256=name)
