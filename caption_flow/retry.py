"""When to try again: jittered exponential back-off with a ceiling."""

import random
from collections.abc import Iterator
from itertools import count

from msgspec import Struct

_MOST_DOUBLINGS = 64  # far past any ceiling, and no overflow


class Backoff(Struct, frozen=True):
    """Delays that double up to a ceiling, each drawn from the upper half of its range.

    "Equal jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/:
    never so short that the waiting is in vain, never all waiters at once.
    """

    first: float = 0.1  # seconds
    ceiling: float = 10.0  # seconds

    def delays(self) -> Iterator[float]:
        """Yield the seconds to wait before each next try, without end."""
        for failures in count(1):
            yield self.delay(failures)

    def delay(self, failures: int) -> float:
        """Draw the seconds to wait after so many failures, one or more."""
        doubled = min(failures - 1, _MOST_DOUBLINGS)
        span = min(self.ceiling, self.first * 2.0**doubled)
        return span * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
