"""How a process says that it lives: its last word, every few seconds, beside the job."""

import asyncio
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from caption_flow import __version__
from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Beside
from caption_flow.queue.ports import Member, Membership

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
LONGEST_FACT = 1000  # characters: some quote files and servers
LEAVE_SECONDS = 2.0  # for a courtesy; whoever must end may be in a hurry


def member_name(label: str) -> str:
    """Make a name no other process has: two of one name would be handed the same leases."""
    return f"{socket.gethostname()}-{label}-{secrets.token_hex(3)}"


class Herald(Beside):
    """Beats for as long as its context lasts, and says goodbye."""

    def __init__(
        self,
        queue: Membership,
        *,
        role: str,
        name: str,
        figures: Callable[[], Mapping[str, float]],
        facts: Callable[[], Mapping[str, str]] = dict,
        paused: Callable[[], bool] = lambda: False,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._state = "starting"
        self._news = asyncio.Event()
        self._queue = queue
        self._role = role
        self._name = name
        self._figures = figures
        self._facts = facts
        self._paused = paused
        self._draining = draining
        self._started = time.time()
        self.answered = -math.inf  # when the queue took a word last, on the monotonic clock

    @property
    def state(self) -> str:
        """What the process does, in a word."""
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._news.set()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._queue.leave(self.word())
        except (CaptionFlowError, TimeoutError) as exc:
            logger.debug("Left without a word: %s", exc)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._queue.beat(self.word())
                self.answered = time.monotonic()
            except CaptionFlowError as exc:
                logger.debug("No beat: %s", exc)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._news.wait()

    def word(self) -> Member:
        """Make the last word of now."""
        return Member(
            role=self._role,
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            seen=time.time(),
            state=self._told_state(),
            figures=dict(self._figures()),
            facts={name: _told(fact) for name, fact in self._all_facts().items()},
        )

    def _told_state(self) -> str:
        """Say what it does; one that does nothing yet, or cannot, says so in a pause too."""
        if self._draining() and self.state != "starting":
            return "draining"
        does = self.state.partition(":")[0]
        return "paused" if does == "working" and self._paused() else self.state

    def _all_facts(self) -> dict[str, str]:
        return {"version": __version__, **self._facts()}


def _told(fact: str) -> str:
    """Escape what is no text or no terminal should read: names of files may be anything."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in fact)
    return "".join(shown)[:LONGEST_FACT]
