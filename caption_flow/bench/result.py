"""Bench: all that was measured."""

from collections.abc import Sequence

from msgspec import Struct

from caption_flow.bench.asked import Answers
from caption_flow.bench.ceiling import Pace
from caption_flow.bench.pool import Bad
from caption_flow.bench.sides import Sides
from caption_flow.bench.steady import Steady

UNSTEADY = 0.2  # between two measurements of one thing


class EnginePaces(Struct, frozen=True):
    """One engine by itself."""

    engine: str
    model: str
    stages: tuple[str, ...]
    capacity: int  # requests at once, as configured
    paces: tuple[Pace, ...]  # with what is configured first, then with other loads
    sides: Sides | None = None
    after: Pace | None = None  # as it is configured, once more when the pipeline was measured
    prompts: int = 1  # that it is asked on one image

    @property
    def ceiling(self) -> Pace:
        """Its pace as it is configured: what slows down one of two measurements is not its own."""
        now = self.paces[0]
        return now if self.after is None else max(now, self.after, key=lambda pace: pace.rate)

    @property
    def unsteady(self) -> bool:
        """Whether it went so unevenly that the machine must have had something else to do."""
        if self.after is None:
            return False
        rates = self.paces[0].rate, self.after.rate
        return min(rates) < (1 - UNSTEADY) * max(rates)


class Fed(Struct, frozen=True):
    """What the whole pipeline was given."""

    samples: int
    repeated: bool  # whether the same few images came again and again


class Result(Struct, frozen=True):
    """A bench."""

    engines: tuple[EnginePaces, ...]
    answers: Answers
    fed: Fed
    steady: Steady
    written: int  # captions that the pipeline brought into parts
    failed: int  # samples that it gave up
    bad: Sequence[Bad]
    cores: int
    gpus: int

    @property
    def ceiling(self) -> float:
        """Captions a second: no more than the slowest of the engines makes."""
        return min(engine.ceiling.rate for engine in self.engines)

    @property
    def share(self) -> float:
        """What the pipeline makes of that."""
        return self.steady.rate / self.ceiling

    @property
    def tokens(self) -> float:
        """Tokens put out a second by the pipeline."""
        return self.steady.rate * self.answers.output_tokens / self.answers.captions
