"""Engine `openai`: one server, and how it is doing."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Mapping

from caption_flow.config.openai import Endpoint
from caption_flow.engine.openai.bell import Bell
from caption_flow.engine.openai.dialect import Dialect
from caption_flow.engine.openai.pace import Begun, Pace, Spacing
from caption_flow.engine.openai.trouble import Busy, Trouble
from caption_flow.errors import ConfigError
from caption_flow.retry import Backoff

logger = logging.getLogger(__name__)

BUSY_BACKOFF = Backoff(first=0.5, ceiling=30.0)
DOWN_BACKOFF = Backoff(first=1.0, ceiling=60.0)
LONGEST_WAIT = 600.0  # seconds, of what a server may ask for
_SAID_SECONDS = 60.0  # between two lines about a server that is busy


class Server:
    """An endpoint: whether it takes one more request now, and what it has answered so far."""

    def __init__(
        self, endpoint: Endpoint, environ: Mapping[str, str], *, most: int, bell: Bell
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.url
        self.key = _key(endpoint, environ)
        self.dialect = Dialect(endpoint)
        self.aside = ""  # why it is asked nothing any more
        self.taken = 0  # requests so far
        self.trying = asyncio.Lock()  # one trial at a time
        self._pace = Pace(most)
        self._spacing = Spacing(endpoint.requests_per_minute)
        self._bell = bell
        self._rests_until = 0.0
        self._failures = 0  # in a row
        # When the youngest request had begun that it has answered, by stage.
        self._proven: dict[str, float] = {}
        self._said_at = -math.inf

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {**self.endpoint.headers, "Content-Type": "application/json", **key}

    @property
    def free(self) -> int:
        """How many more requests it takes."""
        return self._pace.free

    @property
    def resting(self) -> bool:
        """Whether it is left alone for a while."""
        return self._rests_until > time.monotonic()

    def opens_in(self) -> float:
        """Return the seconds until it takes one more; infinite where only others' ends tell."""
        if self.aside or self.free <= 0:
            return math.inf
        return max(0.0, max(self._rests_until, self._spacing.next) - time.monotonic())

    def enter(self) -> Begun:
        """Take a request in."""
        self.take_turn()
        self.taken += 1
        return self._pace.enter(time.monotonic())

    def take_turn(self) -> None:
        """Count a request among those of the minute."""
        self._spacing.take(time.monotonic())

    def leave(self) -> None:
        """Let it out."""
        self._pace.leave()
        self._bell.ring()

    def is_proven(self, stage: str) -> bool:
        """Tell whether it has answered a request of this stage, so that it can."""
        return stage in self._proven

    def has_worked_since(self, stage: str, then: float) -> bool:
        """Tell whether it has answered a request of this stage that had begun after that time."""
        return self._proven.get(stage, -math.inf) > then

    def answered(self, stage: str, begun: Begun) -> None:
        """Note an answer."""
        self._pace.answered(begun, time.monotonic())
        self.works(stage, begun.at)

    def works(self, stage: str, begun: float) -> None:
        """Note that it does what it is there for."""
        self._failures = 0
        self._proven[stage] = max(begun, self._proven.get(stage, begun))

    def slow_down(self, begun: Begun) -> None:
        """Note that it has more to do than it can."""
        self._pace.refused(begun)

    def busy(self, trouble: Busy, begun: Begun) -> None:
        """Leave it alone as long as it asks, and then ask it less."""
        self._failures += self._pace.refused(begun)
        asked = min(trouble.wait, LONGEST_WAIT)
        # Not all workers at the same moment.
        later = asked * random.uniform(1.0, 1.1)  # noqa: S311 - no secret depends on it
        self._rest(later or BUSY_BACKOFF.delay(self._failures))
        if (now := time.monotonic()) - self._said_at >= _SAID_SECONDS:
            self._said_at = now
            logger.warning(
                "%s has enough to do (%s); it gets %d requests at once for now",
                *(self.name, trouble, self._pace.limit),
            )

    def down(self, trouble: Trouble) -> None:
        """Leave it alone for a while."""
        if self.resting:  # others have told
            return
        self._pace.collapse()
        self._failures += 1
        delay = DOWN_BACKOFF.delay(self._failures)
        self._rest(delay)
        logger.warning("%s does not work: %s. Next try in %.0f s", self.name, trouble, delay)

    def set_aside(self, why: Trouble) -> None:
        """Ask it nothing any more."""
        if self.aside:
            return
        hint = _hint(why, self.endpoint)
        self.aside = f"{self.name} refuses: {str(why).rstrip('.')}{hint}"
        logger.warning("%s It is asked no more", self.aside)
        self._bell.ring()

    def _rest(self, seconds: float) -> None:
        self._rests_until = max(self._rests_until, time.monotonic() + seconds)


_UNAUTHORIZED = frozenset({401, 403})
_ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405, 410})


def _hint(why: Trouble, endpoint: Endpoint) -> str:
    """Say what to do about a server that refuses."""
    status = getattr(why, "status", 0)
    if status in _UNAUTHORIZED:
        if endpoint.api_key_env is None:
            return ". Name the variable that holds its key in api_key_env."
        return f". Check the key in {endpoint.api_key_env}."
    if status in _ELSEWHERE:
        return ". Check its base_url and the model's name."
    return ". Check what it is asked: its settings, the sampling and the form of the stage."


def _key(endpoint: Endpoint, environ: Mapping[str, str]) -> str | None:
    name = endpoint.api_key_env
    if name is None:
        return None
    key = environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"{name} is not set, the variable with the key for {endpoint.url}. Set it in the "
            "worker's environment."
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name} holds no key that can be sent: it has odd characters.")
    return key
