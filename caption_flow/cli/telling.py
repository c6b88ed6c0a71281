"""Command line: progress for the program that has started us, one JSON object a second.

A thread of its own writes, so that a line comes on time while a model loads. docs/driving.md tells
what each field means.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, TextIO

import click
import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from caption_flow.cli.printing import results
from caption_flow.cli.rate import Rate
from caption_flow.errors import CaptionFlowError
from caption_flow.herald import Herald
from caption_flow.lifecycle import Beside, Drain
from caption_flow.logs import speak_as
from caption_flow.model import Counts

EVERY_SECONDS = 1.0  # between two lines
LOOK_SECONDS = 0.9  # for an answer of the queue, until the next look


class Line(Struct, frozen=True):
    """One line; None where nobody knows (yet)."""

    time: float  # seconds since the epoch
    role: str  # the command
    job: str | None = None
    name: str | None = None  # of the member
    state: str = "starting"
    detail: str = ""  # more on the state, for people
    planned: int | None = None  # samples, as all that follow
    plan_done: bool | None = None  # whether that is all
    captioned: int | None = None
    dead: int | None = None
    in_flight: int | None = None
    rate: float = 0.0  # settled, a second
    eta_seconds: float | None = None
    workers: int | None = None  # live ones of the job
    figures: Mapping[str, float] = field(default_factory=dict)  # what this process counts
    exit_code: int | None = None  # in the last line


class Teller:
    """Knows how things stand, and tells it where that is wanted."""

    def __init__(self, role: str, out: TextIO | None) -> None:
        """`out`: None where it is not wanted."""
        self.wanted = out is not None
        self.code = 0  # with which it ends, unless by an error
        self._out = out
        self._drain: Drain | None = None
        self._line = Line(time.time(), role)
        self._rate = Rate()
        self._over = Event()
        self._thread = Thread(target=self._tell_on, name="teller", daemon=True)

    def learn(self, counts: Counts | None = None, **told: Any) -> None:
        """Take note of what has become known: books, and fields of a line."""
        if counts is not None:
            self._rate.note(counts)
            left = self._rate.left(counts)
            told |= {
                "planned": counts.planned,
                "plan_done": counts.plan_done,
                "captioned": counts.captioned,
                "dead": counts.dead,
                "in_flight": counts.in_flight,
                "rate": round(self._rate.now, 3),
                "eta_seconds": None if left is None else round(left, 1),
            }
        self._line = replace(self._line, **told)

    def follow(self, drain: Drain) -> Drain:
        """Tell, too, when a role is asked to end."""
        self._drain = drain
        return drain

    @property
    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._drain is not None and self._drain.asked

    @property
    def done(self) -> bool:
        """Whether nothing was left to do when it ended."""
        line = self._line
        settled = (line.captioned or 0) + (line.dead or 0)
        return not self.stopped or bool(line.plan_done and settled == line.planned)

    def begin(self) -> None:
        """Tell from now on."""
        if self.wanted:
            self._thread.start()

    def end(self, code: int, state: str, detail: str = "") -> None:
        """Tell a last time."""
        if self.wanted:
            self._over.set()
            self._thread.join()
            self.learn(exit_code=code, state=state, detail=detail)
            self._tell()

    def _tell_on(self) -> None:
        while self._tell() and not self._over.wait(EVERY_SECONDS):
            pass

    def _tell(self) -> bool:
        """Write a line; False where nobody reads any more, which is no reason to stop working."""
        line = replace(self._line, time=round(time.time(), 3))
        if self.stopped and line.exit_code is None:
            line = replace(line, state="draining")
        try:
            print(msgspec.json.encode(line).decode(), file=self._out, flush=True)
        except OSError:
            return False
        return True


class Looking(Beside):
    """Looks for a teller at a process that is a member, for as long as its context lasts."""

    def __init__(
        self, teller: Teller, herald: Herald, counts: Callable[[], Awaitable[Counts]]
    ) -> None:
        self._teller = teller
        self._herald = herald
        self._counts = counts

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        # What has been done since the last look is in the last line.
        self._teller.learn(figures=self._herald.word().figures)

    async def _run(self) -> None:
        while self._teller.wanted:
            await self._look()
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        word = self._herald.word()
        state, _, detail = word.state.partition(": ")
        self._teller.learn(name=word.name, state=state, detail=detail, figures=word.figures)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                self._teller.learn(await self._counts())
        except (CaptionFlowError, TimeoutError) as exc:
            self._teller.learn(detail=str(exc) or "The queue does not answer.")


@contextmanager
def telling(role: str, progress: str | None) -> Iterator[Teller]:
    """Tell how a role stands while the context lasts, and at last how it ended."""
    speak_as(role=role)
    if progress is None:
        yield Teller(role, None)
        return
    with results() as out:
        teller = Teller(role, out)
        teller.begin()
        try:
            yield teller
        except BaseException as exc:
            code = _code_of(exc)
            said = str(exc) if isinstance(exc, CaptionFlowError) else ""
            teller.end(code, "failed" if code else "stopped", said)
            raise
        teller.end(teller.code, "done" if teller.done else "stopped")


def _code_of(error: BaseException) -> int:
    """Say with which code the process ends by an error."""
    if isinstance(error, CaptionFlowError | click.ClickException):
        return error.exit_code
    return int(error.code or 0) if isinstance(error, SystemExit) else 1
