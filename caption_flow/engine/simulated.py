"""Engine without a model: stated latencies and lengths, for benchmarks and for tests of the rest.

Its captions are a function of the image's bytes and the prompt, so that a caption which landed
on the wrong image is found out; what it says without an image names the prompt, which may hold what
an earlier stage has said. Every row it makes says `engine = "simulated"`.
"""

import asyncio
import hashlib
import heapq
import time
from contextlib import suppress

from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated_form import formed
from caption_flow.errors import EngineDead

_WORDS = ["quiet", "bright", "narrow", "old", "green", "round", "distant", "plain", "soft", "tall"]
_CAPTION = ("simulated", "caption")
_TEXT = ("simulated", "text")
_DIGITS = 32  # hex digits of the digest that stand in a caption


def simulated_caption(data: bytes, tokens: int) -> str:
    """Make the caption of an image: a digest of its bytes, then words up to the length."""
    return _said(_CAPTION, hashlib.sha256(data).hexdigest(), tokens)


def simulated_text(prompt: str, tokens: int) -> str:
    """Say what is said to a prompt without an image, likewise of the prompt."""
    return _said(_TEXT, hashlib.sha256(prompt.encode()).hexdigest(), tokens)


class SimulatedEngine:
    """Captions after a while, as many at once as it has slots.

    Its slots keep their own time, as those of an engine in another process do: one is free when its
    caption is due, however late that is fetched, and takes on what waits inside at that moment.
    """

    name = "simulated"
    preparers = 0

    def __init__(
        self, config: SimulatedConfig, *, capacity: int, holds: int = 0, slots: int = 0
    ) -> None:
        """`capacity`: slots that a job uses; `holds`: requests that may be inside, where more.

        `slots`: those that there are, where more: a bench also asks for as many.
        """
        self.model = "simulated"
        self.decodes = config.decode
        self.capacity = capacity
        self.holds = max(capacity, holds)
        self.signs = 0
        self._latency = config.latency
        self._tokens = config.tokens
        self._seed = config.seed.to_bytes(8, "big", signed=True)
        self._killers = frozenset(config.dies_of)
        self._death = asyncio.Event()
        self._count = max(capacity, slots)
        self._slots = [0.0] * self._count  # when each is free, on the monotonic clock: a heap

    async def start(self) -> None:
        """Live, once more."""
        self._death = asyncio.Event()
        self._slots = [0.0] * self._count

    async def caption(self, request: Request) -> Output:
        """Wait as long as a model would, then say something true about what it was given."""
        death = self._death  # of this life: a start before we wake begins another
        digest = hashlib.sha256(request.data or request.prompt.encode())
        if digest.hexdigest() in self._killers:
            death.set()
        latency, length = _draws(digest.digest() + request.prompt.encode() + self._seed)
        low, high = self._tokens
        tokens = low + int(length * (high - low + 1))
        shortest, longest = self._latency
        if longest > 0 or self._killers:
            await self._live(death, shortest + latency * (longest - shortest))
        self.signs += tokens
        return Output(
            text=_answer(request, digest, tokens),
            finish_reason="stop",
            prompt_tokens=len(request.prompt.split()),
            output_tokens=tokens,
        )

    async def _live(self, death: asyncio.Event, latency: float) -> None:
        now = time.monotonic()
        due = max(now, self._slots[0]) + latency
        heapq.heapreplace(self._slots, due)
        seconds = due - now
        if not self._killers:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(death.wait(), seconds)
        if death.is_set():
            raise EngineDead("The simulated engine has died, as it was told to.")

    async def rehearse(self, stage: Stage) -> None:
        """Nothing can be wrong with a stage."""

    async def stop(self) -> None:
        """Nothing to free."""


def _answer(request: Request, digest: "hashlib._Hash", tokens: int) -> str:
    form = request.stage.structured_outputs
    if form is not None and (answer := formed(form, digest.digest())) is not None:
        return answer
    return _said(_CAPTION if request.data else _TEXT, digest.hexdigest(), tokens)


def _said(head: tuple[str, str], digest: str, tokens: int) -> str:
    words = max(0, tokens - len(head) - 1)
    repeated = _WORDS * (words // len(_WORDS) + 1)
    return " ".join((*head, digest[:_DIGITS], *repeated[:words]))


def _draws(seed: bytes) -> tuple[float, float]:
    """Draw two numbers from [0, 1) by the image and the prompt: a job repeats itself exactly."""
    drawn = hashlib.blake2b(seed, digest_size=8).digest()
    return int.from_bytes(drawn[:4], "big") / 2**32, int.from_bytes(drawn[4:], "big") / 2**32
