"""Worker, its engine's keeper: what died or hangs is started again.

Who was inside then hears EngineDead and is a suspect; who was not waits until the engine is
back, and hears EngineGone when it cannot be brought back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, cast

from caption_flow.engine.port import Engine, Output, Request
from caption_flow.errors import EngineDead, EngineGone, EngineUseless
from caption_flow.lifecycle import Beside, Drain, cancel
from caption_flow.retry import Backoff
from caption_flow.seats import Seats
from caption_flow.worker.meter import Meter

logger = logging.getLogger(__name__)

STARTS = 3  # tries to bring a dead engine back
RESTART_SECONDS = 1800.0  # for all of them; a model of any size has loaded once by then
START_BACKOFF = Backoff(first=1.0, ceiling=30.0)
# An engine that dies with so many different samples, without one caption between, is not killed
# by images.
MOST_KILLERS = 5
LOOKS_PER_TIMEOUT = 10


class Caretaker(Beside):
    """One engine, kept running for as long as the context lasts."""

    def __init__(self, engine: Engine, *, timeout: float, meter: Meter, drain: Drain) -> None:
        self.name = engine.name
        self.model = engine.model
        self.decodes = engine.decodes
        self.capacity = engine.capacity
        self.deaths = 0  # in all
        self._engine = engine
        self._timeout = timeout  # seconds without a sign of life, while requests are inside
        self._meter = meter
        self._drain = drain
        self.holds = engine.holds
        self._seats = Seats(engine.capacity)
        self._up = asyncio.Event()
        self._up.set()
        self._life = 1  # which start of the engine this is
        self._killers: set[str] = set()  # samples it died with since its last caption
        self._gone: EngineGone | None = None
        self._inside: dict[asyncio.Task[Any], Request] = {}
        self._struck: set[asyncio.Task[Any]] = set()  # cancelled by us, since the engine hung
        self._reviving: asyncio.Task[None] | None = None

    @property
    def gone(self) -> EngineGone | None:
        """Why the engine cannot be brought back; None while it can."""
        return self._gone

    @property
    def up(self) -> bool:
        """Whether the engine runs, as far as is known."""
        return self._up.is_set() and self._gone is None

    @property
    def preparers(self) -> int:
        """Processes that prepare images for the engine now."""
        return self._engine.preparers

    def resize(self, count: int) -> None:
        """Have so many requests inside from now on."""
        self._seats.resize(count)

    async def ask(self, request: Request, entered: Callable[[], None]) -> Output:
        """Run a request as soon as it may be inside, and say when it is.

        Raises EngineGone, and what Engine.caption raises.
        """
        async with self._seats:
            await self._wait_until_up()
            self._meter.enter()
            entered()
            try:
                output = await self._caption(request)
            finally:
                self._meter.exit()
        self._killers.clear()
        return output

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        if self._reviving is not None:
            await cancel(self._reviving)

    async def _wait_until_up(self) -> None:
        await self._up.wait()
        if self._gone is not None:
            raise self._gone

    async def _caption(self, request: Request) -> Output:
        life, task = self._life, cast("asyncio.Task[Any]", asyncio.current_task())
        self._inside[task] = request
        try:
            return await self._engine.caption(request)
        except EngineDead as exc:
            self._note_death(life, str(exc))
            raise
        except EngineGone as exc:
            self._give_up(exc)
            raise
        except asyncio.CancelledError:
            if task not in self._struck:
                raise
            self._struck.discard(task)
            if task.uncancel() > 0:  # by others too
                raise
            raise EngineDead(self._silence()) from None
        finally:
            del self._inside[task]

    async def _run(self) -> None:
        """Look for signs of life."""
        seen, since = self._sign(), time.monotonic()
        while True:
            await asyncio.sleep(self._timeout / LOOKS_PER_TIMEOUT)
            now = time.monotonic()
            if self._sign() != seen or not self._inside:
                seen, since = self._sign(), now
            elif now - since >= self._timeout:
                self._strike()

    def _sign(self) -> tuple[int, int]:
        return self._life, self._engine.signs

    def _strike(self) -> None:
        """Give a hung engine up, and free who waits in it."""
        self._note_death(self._life, self._silence())
        for task in self._inside:
            self._struck.add(task)
            task.cancel()

    def _silence(self) -> str:
        return (
            f"The engine gave no token for {self._timeout:g} s (engine_timeout), and is taken "
            "for dead."
        )

    def _note_death(self, life: int, why: str) -> None:
        if life != self._life:  # noted already
            return
        self._life += 1
        self.deaths += 1
        if len(samples := {request.sample for request in self._inside.values()}) == 1:
            self._killers |= samples
        self._up.clear()
        logger.warning("%s Starting it again; %d requests were inside", why, len(self._inside))
        self._reviving = asyncio.create_task(self._revive(why), name="revive")

    async def _revive(self, why: str) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                await self._start_again(why)
            logger.info("The engine is back after %.1f s", time.monotonic() - begun)
        except TimeoutError:
            self._give_up(EngineGone(f"{why} Starting it again took too long: its host may hang."))
        except EngineGone as exc:
            self._give_up(exc)
        finally:
            self._up.set()

    def _give_up(self, why: EngineGone) -> None:
        self._gone = why
        self._drain.ask()

    async def _start_again(self, why: str) -> None:
        if len(self._killers) >= MOST_KILLERS:
            raise EngineUseless(
                f"The engine died with {MOST_KILLERS} different samples, each alone, and captioned "
                f"none in between. The last time: {why} What it says of itself in this log may "
                "tell why."
            )
        for delay in islice(START_BACKOFF.delays(), STARTS):
            try:
                await self._engine.stop()
                await self._engine.start()
            except Exception as exc:  # of any kind: it is one start that failed
                failure = exc
                logger.warning("The engine does not start again: %s", exc)
            else:
                return
            if await self._drain.wait(delay):
                break
        raise EngineGone(f"The engine died ({why}) and does not start again: {failure}")
