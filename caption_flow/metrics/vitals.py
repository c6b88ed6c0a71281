"""Metrics: how a process stands, written by the loop of its role and read from any thread.

What is here is replaced, never changed, so that nobody who reads needs a lock. A loop that is held
up, as by a model that loads, writes nothing; that can be seen as well.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeAlias

from caption_flow.herald import Herald
from caption_flow.lifecycle import Beside
from caption_flow.queue.ports import Member, Snapshot

EVERY_SECONDS = 1.0  # between two words
LOOK_SECONDS = 4.0  # for a look at the job; below what Prometheus waits for a scrape
LATE_SECONDS = 60.0  # for which the last look is told where the next takes longer
SILENT_SECONDS = 10.0  # without an answer of the queue, which is asked every other second
STILL_SECONDS = 15.0  # without a word of the loop

AT_WORK = frozenset({"working", "paused", "waiting"})

Look: TypeAlias = Callable[[], Coroutine[Any, Any, Snapshot]]


class Vitals:
    """What is known of one process."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.job = ""  # its name, once there is one
        self.state = "starting"  # in a word
        self.word: Member | None = None  # what it told its job last, where it is a member
        self.seen: Snapshot | None = None  # of the whole job, where it looks at that anyway
        self._heard = self._moved = -float("inf")  # when, on the monotonic clock
        self._look: tuple[Look, asyncio.AbstractEventLoop] | None = None
        self._looking: Future[Snapshot] | None = None  # the last look
        self._late: tuple[Snapshot, float] | None = None  # what one found, and when

    def see(self, snapshot: Snapshot, state: str) -> None:
        """Note how the whole job stands, in a process that looks at that anyway."""
        self.seen = snapshot
        self.state = state
        self._heard = time.monotonic()

    def hear(self, word: Member, answered: float) -> None:
        """Note what a member tells of itself, and when the queue took a word of it last."""
        self.word = word
        self.state = word.state.partition(":")[0]  # not why: that is not for everybody
        self._heard = answered

    def move(self) -> None:
        """Note that the loop of the role goes round."""
        self._moved = time.monotonic()

    def look_by(self, look: Look) -> None:
        """Learn how to look at the whole job; it is done in the loop that is running now."""
        self._look = look, asyncio.get_running_loop()

    @property
    def looks(self) -> bool:
        """Whether it looks at the whole job at all."""
        return self._look is not None or self.seen is not None

    async def snapshot(self) -> Snapshot | None:
        """Look at the whole job, from any loop; None where this process does not know it (now).

        A look that takes longer goes on, and the next who asks has what it finds. Raises
        CaptionFlowError where the queue does not tell, and TimeoutError.
        """
        if self._look is None:
            return self.seen if self.answered else None
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = self._begin(*self._look)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await asyncio.shield(asyncio.wrap_future(looking))
        except TimeoutError:
            if (late := self._late) and time.monotonic() - late[1] < LATE_SECONDS:
                return late[0]
            raise
        except asyncio.CancelledError:
            if looking.cancelled():  # since its loop ends
                return None
            raise

    def _begin(self, look: Look, loop: asyncio.AbstractEventLoop) -> Future[Snapshot]:
        asking = look()
        try:
            looking = asyncio.run_coroutine_threadsafe(asking, loop)
        except RuntimeError:  # the loop is closed: the process ends
            asking.close()
            looking = Future()
            looking.cancel()
        looking.add_done_callback(self._note)
        return looking

    def _note(self, looking: Future[Snapshot]) -> None:
        if not looking.cancelled() and looking.exception() is None:
            self._late = looking.result(), time.monotonic()

    @property
    def answered(self) -> bool:
        """Whether the queue answers this process."""
        return time.monotonic() - self._heard < SILENT_SECONDS

    @property
    def trouble(self) -> str:
        """Say what keeps it from its work, for everybody to read; "" where nothing does."""
        if self.state not in AT_WORK:
            return f"its state is {self.state}"
        if time.monotonic() - self._moved >= STILL_SECONDS:
            return f"nothing has moved in it for {time.monotonic() - self._moved:.0f} s"
        return "" if self.answered else "the queue does not answer it"


class Pulse(Beside):
    """Writes down how a process stands, for as long as its context lasts.

    `herald`: None where the process is no member of a job, but looks after those who are.
    """

    def __init__(self, vitals: Vitals, herald: Herald | None = None) -> None:
        self._vitals = vitals
        self._herald = herald

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        self._write()  # what has been done since the last second is in the last scrape

    async def _run(self) -> None:
        while True:
            self._write()
            await asyncio.sleep(EVERY_SECONDS)

    def _write(self) -> None:
        self._vitals.move()
        if self._herald is not None:
            self._vitals.hear(self._herald.word(), self._herald.answered)
