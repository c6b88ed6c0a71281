"""Screen: looks at a job again and again, and keeps what was seen last."""

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

from caption_flow.errors import QueueUnreachable
from caption_flow.lifecycle import Beside
from caption_flow.model import Caption, DeadLetter
from caption_flow.monitor.newest import Newest
from caption_flow.monitor.speeds import Speeds
from caption_flow.monitor.workers import Listed, workers
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Snapshot

LATE_SECONDS = 3.0  # for an answer, after which we say that we wait for it


class Sight(Struct, frozen=True):
    """A job at one look, with what earlier ones have left."""

    job: str
    snapshot: Snapshot
    workers: list[Listed]  # by name
    captions: tuple[Caption, ...]  # the newest first
    letters: tuple[DeadLetter, ...]  # likewise
    seen: float  # when, on the monotonic clock

    @property
    def age(self) -> float:
        """How many seconds ago it was."""
        return time.monotonic() - self.seen


class Lookout(Beside):
    """Looks for as long as its context lasts."""

    def __init__(
        self, office: Office, *, every: float, most: int, seen: Callable[[], None]
    ) -> None:
        """`every`: seconds between two looks; `most`: captions, and as many dead letters, that are
        kept; `seen` is called after each look.
        """
        self.sight: Sight | None = None
        self.failure: Exception | None = None  # what ends the looking for good
        self._office = office
        self._every = every
        self._most = most
        self._seen = seen
        self._speeds = Speeds()
        self._captions = Newest(most)
        self._letters: tuple[DeadLetter, ...] = ()
        self._books = (-1, -1)  # completed and dead, when entries were read last
        self._trouble = ""
        self._asked: float | None = None  # when, on the monotonic clock; None: nothing is asked

    @property
    def trouble(self) -> str:
        """Say why what is seen may have changed since; "" while all is well."""
        if self._trouble:
            return self._trouble
        waited = time.monotonic() - self._asked if self._asked else 0.0
        if waited < LATE_SECONDS:
            return ""
        known = self._office.trouble
        return str(known) if known else f"No answer for {waited:.0f} s."

    async def _run(self) -> None:
        try:
            while True:
                begun = time.monotonic()
                await self._look()
                self._seen()
                await asyncio.sleep(max(0.0, begun + self._every - time.monotonic()))
        except Exception as exc:  # of any kind: nobody else would notice the end of this task
            self.failure = exc
            self._seen()

    async def _look(self) -> None:
        self._asked = time.monotonic()
        try:
            snapshot = await self._office.snapshot()
            await self._read_entries(snapshot)
        except QueueUnreachable as exc:
            self._trouble = str(exc)
            return
        finally:
            self._asked = None
        self._trouble = ""
        self._speeds.note(snapshot.members)
        self.sight = Sight(
            self._office.job,
            snapshot,
            workers(snapshot, self._speeds),
            self._captions.all,
            self._letters,
            time.monotonic(),
        )

    async def _read_entries(self, snapshot: Snapshot) -> None:
        """Read the newest captions and dead letters, if there are others than before."""
        completed, dead = self._books
        if self._most and snapshot.counts.completed != completed:
            self._captions.add(await self._office.captions(self._most))
        if self._most and snapshot.counts.dead != dead:
            self._letters = tuple(await self._office.dead_letters(self._most))
        self._books = (snapshot.counts.completed, snapshot.counts.dead)
