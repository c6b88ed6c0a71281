"""Engine `openai`: requests go to whichever server has a slot free, and elsewhere if that fails.

Only what is a request's own fault is held against its sample. A server that is busy, down or
wrongly configured is none, and requests wait for it or go to others. Where a failure may be
either's, a trial question tells (`asking`).
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence

from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.openai.asking import Asked, Asker
from caption_flow.engine.openai.bell import Bell
from caption_flow.engine.openai.line import Line
from caption_flow.engine.openai.pool import Pool
from caption_flow.engine.openai.server import Server
from caption_flow.engine.openai.trouble import Down, Spoilt, Trouble
from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineUnfit, EngineUseless
from caption_flow.lifecycle import Drain, cancel

logger = logging.getLogger(__name__)

SIGN_SECONDS = 0.5  # between two signs of life
AGAIN_SECONDS = 0.5  # at most, before the second try; twice as much before the third


class OpenaiEngine:
    """A pool of servers behind one port."""

    name = "openai"
    preparers = 0
    decodes = False

    def __init__(
        self,
        config: OpenaiConfig,
        stages: Sequence[Stage],
        *,
        capacity: int,
        environ: Mapping[str, str],
        drain: Drain,
    ) -> None:
        self.model = ", ".join(dict.fromkeys(_models(config, stages)))
        self.capacity = self.holds = capacity
        self.signs = 0
        self._config = config
        self._stages = stages
        self._environ = environ
        self._drain = drain  # when asked, nobody waits any longer for a server to come back
        self._line: Line | None = None
        self._asker: Asker
        self._servers: list[Server] = []
        self._pools: dict[str, Pool] = {}  # by the stages' model
        self._bell = Bell()
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Try all servers, and wait until there is one for each stage."""
        self._servers = [self._server(endpoint) for endpoint in self._config.endpoints]
        self._pools = {}
        self._line = Line()
        self._asker = Asker(self._line, self._stages)
        self._living = asyncio.create_task(self._live(), name="signs")
        waiting = list(self._servers)
        while not self._drain.asked:
            met = await asyncio.gather(*(self._meet(server) for server in waiting))
            together = zip(waiting, met, strict=True)
            waiting = [server for server, well in together if not (well or server.aside)]
            if self._is_served(waiting):
                return
            logger.info("Waiting for a server; a stop of this process ends that")
            await self._drain.wait(min(server.opens_in() for server in waiting))

    async def caption(self, request: Request) -> Output:
        """Run one request, see the port."""
        asked, last = Asked(request), None
        pool = self._pool(request.stage.model)
        while True:
            spoilt = asked.spoilt
            async with pool.slot(avoid=last) as (last, begun):
                output = await self._asker.ask(last, asked, begun)
            if output is not None:
                return output
            if asked.spoilt > spoilt:
                await asyncio.sleep(random.uniform(0, AGAIN_SECONDS * 2**spoilt))  # noqa: S311

    async def rehearse(self, stage: Stage) -> None:
        """Servers come and go, and each tells with the first request what it will not have."""

    async def stop(self) -> None:
        """Close all connections."""
        if self._living is not None:
            await cancel(self._living)
        if self._line is not None:
            await self._line.close()

    def _server(self, endpoint: Endpoint) -> Server:
        return Server(endpoint, self._environ, most=self.capacity, bell=self._bell)

    def _pool(self, model: str) -> Pool:
        if model not in self._pools:
            serving = self._config.serving(model)
            servers = [server for server in self._servers if server.endpoint in serving]
            self._pools[model] = Pool(servers, self._bell, self._drain)
        return self._pools[model]

    async def _live(self) -> None:
        """Give signs of life: it is the requests that may hang, and each has a time-out."""
        while True:
            await asyncio.sleep(SIGN_SECONDS)
            self.signs += 1
            if self._drain.asked:
                self._bell.ring()

    async def _meet(self, server: Server) -> bool:
        """Try a server before any sample depends on it; False where it is to be met again."""
        serving = [s for s in self._stages if server.endpoint in self._config.serving(s.model)]
        try:
            await self._asker.look_at_models(server, serving)
        except Down as exc:
            server.down(exc)
            return False
        except Trouble:  # it may have no list, or its key be for nothing else
            pass
        found = [await self._asker.trial(server, stage) for stage in serving]
        return not any(isinstance(trouble, Down | Spoilt) for trouble in found)

    def _is_served(self, waiting: list[Server]) -> bool:
        """Tell whether each stage has a server that is up, or raise EngineUnfit if it has none."""
        pools = [self._pool(stage.model) for stage in self._stages]
        try:
            return all(pool.has_other_than(waiting) for pool in pools)
        except EngineUseless as exc:
            raise EngineUnfit(str(exc)) from exc


def _models(config: OpenaiConfig, stages: Sequence[Stage]) -> list[str]:
    return [e.model or stage.model for stage in stages for e in config.serving(stage.model)]
