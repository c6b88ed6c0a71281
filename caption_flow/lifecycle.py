"""How a process ends: asked once it drains, asked again after a while it goes.

SIGTERM and SIGINT set an event that every role watches. What the event means is the role's. A role
that has not begun yet just ends.
"""

import asyncio
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar
from weakref import WeakSet

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_FORCED = 1
# Between two signals that ask twice. A stop of the whole group, as of systemd, reaches us from
# there and from our parent within a moment: that is asking once.
TWICE_SECONDS = 1.0
LEAVE_SECONDS = 2.0  # for a courtesy; whoever must end may be in a hurry
_AGAIN_SECONDS = 0.05  # between two cancellations of a task that goes on

_EARLY = b"Stopped before it had begun.\n"
_early: list[int] = []  # signals that came before anything listened for them


def leave_on_signals(code: int) -> None:
    """End with this code at the first SIGTERM or SIGINT, until a Drain listens for them."""

    def leave(number: int, _: object) -> None:
        # Should a library swallow the exception, the role still ends as soon as it begins.
        _early.append(number)
        os.write(2, _EARLY)
        raise SystemExit(code)

    for number in SIGNALS:
        signal.signal(number, leave)


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Find what makes the fastest event loops there are; None: asyncio itself."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait for their end; what they raise is nobody's any more.

    Not once but until they end: up to Python 3.11 `asyncio.wait_for`, in which redis-py sends,
    passes over a cancellation that comes when it is just done.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def to_its_end(call: Callable[[], T]) -> T:
    """Call in a thread, and wait for the end of that also when cancelled.

    What the call works with can then be closed: nothing uses it any more, and nothing is opened.
    """
    calling = asyncio.get_running_loop().run_in_executor(None, call)
    cancelled = False
    while not calling.done():
        try:
            await asyncio.wait([calling])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError from calling.exception()
    return calling.result()


class Beside(ABC):
    """A context that runs a task of its own for as long as it lasts."""

    @abstractmethod
    async def _run(self) -> None: ...

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=type(self).__name__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._task)


class Telling(Beside):
    """One that has something to tell, and tells the rest at its end, if that is quick."""

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._tell()

    @abstractmethod
    async def _tell(self) -> None: ...


class OutOfTime(Exception):
    """Something was not done in the time that is left once a process should end."""


class Drain:
    """The wish that a process, or a part of it, ends cleanly."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._asked_at = 0.0  # on the monotonic clock
        self._parts: WeakSet[Drain] = WeakSet()
        self.in_vain = False  # something was waited for beyond its time
        self._limits: dict[asyncio.Timeout, float] = {}  # seconds that each has once asked
        self._signalled_at: float | None = None  # first, on the monotonic clock

    def part(self) -> "Drain":
        """Make one for a part: asked whenever this one is, and by itself where that is wanted."""
        part = Drain()
        self._parts.add(part)
        if self.asked:
            part.ask()
        return part

    def ask(self) -> None:
        """Begin to drain."""
        if not self.asked:
            self._asked_at = time.monotonic()
            self._asked.set()
            for limit, seconds in self._limits.items():
                limit.reschedule(asyncio.get_running_loop().time() + seconds)
        for part in self._parts:
            part.ask()

    @property
    def asked(self) -> bool:
        """Whether to drain."""
        return self._asked.is_set()

    def left(self, seconds: float) -> float:
        """Say how many are left of so many seconds; they begin when it is asked."""
        return max(0.0, self._asked_at + seconds - time.monotonic()) if self.asked else seconds

    async def within(self, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
        """Call; once asked, for so long at most. OutOfTime then."""
        limit = asyncio.timeout(seconds if self.asked else None)
        try:
            async with limit:
                self._limits[limit] = seconds
                try:
                    return await call()
                finally:
                    del self._limits[limit]
        except TimeoutError as exc:
            if limit.expired():
                self.in_vain = True
                raise OutOfTime from exc
            raise

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked, at most so long; True when asked."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            pass
        return self.asked

    async def cut(self, work: Coroutine[Any, Any, None]) -> None:
        """Work until that is done, or until asked: then it is cancelled."""
        working, asked = asyncio.create_task(work), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            await cancel(working, asked)

    def on_signals(self) -> None:
        """Drain at the first SIGTERM or SIGINT; end at once at one that comes a second later."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        if _early:
            self._signalled()

    def stay_on_signals(self) -> None:
        """Go on so when the loop has ended, since something may be left to do in good order."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: self._signalled())

    def _signalled(self) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
        elif now - self._signalled_at >= TWICE_SECONDS:
            # Leases end by themselves, so that nothing is lost by going now.
            os._exit(EXIT_FORCED)
        self.ask()
