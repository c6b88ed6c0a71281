"""Worker: looks at what things take here, and has as much done at once as its tuner chooses."""

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

from caption_flow.worker.mean import Mean
from caption_flow.worker.tuner import Chosen, Measured, Tuner

LOOK_SECONDS = 0.05  # between two looks at what has left
_FADES = 0.98  # what is left of the worst lateness after a look


class Means(Struct, frozen=True):
    """What things take, each as it is measured where it is done; see Measured."""

    claim: Mean
    fetch: Mean
    prepare: Mean
    settle: Mean
    image: Mean


class Pace:
    """Of one Worker."""

    def __init__(
        self, tuner: Tuner, means: Means, *, preparers: Callable[[], int] = lambda: 0
    ) -> None:
        """`preparers`: processes that prepare images inside the engine."""
        self._preparers = preparers
        self._tuner = tuner
        self._means = means
        self._late = 0.0

    @property
    def chosen(self) -> Chosen:
        """What is done at once now."""
        return self._tuner.chosen

    async def run(
        self, left: Callable[[], tuple[int, int]], choose: Callable[[Chosen], None]
    ) -> None:
        """Look again and again; `left` tells how many requests and samples have left so far."""
        requests, samples = left()
        looked = time.monotonic()
        choose(chosen := self.chosen)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            passed = time.monotonic() - looked
            looked += passed
            before, (requests, samples) = (requests, samples), left()
            measured = self._measured(passed, requests - before[0], samples - before[1])
            if (now := self._tuner.look(measured)) != chosen:
                choose(chosen := now)

    def _measured(self, seconds: float, requests: int, samples: int) -> Measured:
        self._late = max(self._late * _FADES, seconds - LOOK_SECONDS)
        means = self._means
        return Measured(
            seconds=seconds,
            requests=requests,
            samples=samples,
            late=self._late,
            claim=means.claim.value,
            fetch=means.fetch.value,
            prepare=means.prepare.value,
            settle=means.settle.value,
            image=means.image.value,
            preparers=self._preparers(),
        )
