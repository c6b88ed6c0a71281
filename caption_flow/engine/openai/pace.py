"""Engine `openai`: how many requests a server is sent at once, found by trying.

More while that pays: throughput is requests inside over the mean time of one (Little's law). Half
when the server says that it has enough, and back to just below that. What did not pay or was
refused is tried again, ever more rarely, since servers get busier and less busy.
"""

from msgspec import Struct

START = 4  # requests
# Requests, at one limit, before it is judged: fewer say little where captions differ in length.
_LEAST_MEASURED = 16
_LEAST_ROUNDS = 4  # but a server that gets few at once should not have to answer for so long
_PAYS = 0.25  # part of what would be gained if no request waited for another
_FIRST_CALM, _MOST_CALM = 8, 256  # measurements at a good limit before more is tried again
_STEP = 4  # a quarter is then added


class Begun(Struct, frozen=True):
    """A request that is inside."""

    at: float  # seconds on the monotonic clock
    era: int
    full: bool  # no other could have gone in beside it


class Pace:
    """Requests inside one server, and how many may be."""

    def __init__(self, most: int) -> None:
        self.limit = min(START, most)
        self.inside = 0
        self._most = most
        self._good = most  # what is believed to be borne
        self._answered = False  # since it was refused last
        self._era = 0  # which limit this is
        self._seconds = 0.0
        self._measured = 0
        self._below: _Level | None = None  # the limit that was raised to this one
        self._calm = 0
        self._patience = _FIRST_CALM

    @property
    def free(self) -> int:
        """How many more may go in."""
        return self.limit - self.inside

    def enter(self, now: float) -> Begun:
        """Let one in."""
        self.inside += 1
        return Begun(now, self._era, self._is_full)

    def leave(self) -> None:
        """Let one out, however it went."""
        self.inside -= 1

    def answered(self, begun: Begun, now: float) -> None:
        """Learn from one that was answered well, before it leaves."""
        self._answered = True
        if begun.era != self._era or not (begun.full or self._is_full):
            return
        self._seconds += now - begun.at
        self._measured += 1
        if self._measured >= max(self.limit, min(_LEAST_MEASURED, self.limit * _LEAST_ROUNDS)):
            self._judge(self.limit * self._measured / max(self._seconds, 1e-9))

    def refused(self, begun: Begun) -> bool:
        """Halve, since one more was too many; once for all that were sent under the old limit.

        Returns whether it was the first of them.
        """
        if begun.era != self._era:
            return False
        fewer = max(1, min(self.limit, self.inside) - 1)
        # Who refuses all has no quota left, which tells nothing of how many at once it bears.
        good = fewer if self._answered else self._good
        self._answered = False
        self._retreat(good, max(1, min(fewer, self.limit // 2)))
        self._era += 1  # also where it is 1 and stays so
        return True

    def collapse(self) -> None:
        """Begin anew, one by one: the server was away."""
        self._set(1)
        self._below = None

    @property
    def _is_full(self) -> bool:
        return self.inside >= self.limit

    def _judge(self, rate: float) -> None:
        if self._below is not None and not self._paid(self._below, rate):
            self._retreat(self._below.limit, self._below.limit)
            return
        self._below = _Level(self.limit, rate)
        if self.limit < self._good:
            self._set(min(self.limit * 2, self._good))
            return
        self._calm += 1
        if self._calm >= self._patience:
            self._good = min(self._most, self.limit + max(1, self.limit // _STEP))
        self._set(self._good)

    def _paid(self, below: "_Level", rate: float) -> bool:
        possible = self.limit / below.limit - 1
        return rate >= below.rate * (1 + possible * _PAYS) or possible <= 0

    def _retreat(self, good: int, limit: int) -> None:
        if self._calm >= self._patience:  # it was an attempt at more, and in vain
            self._patience = min(_MOST_CALM, self._patience * 2)
        self._calm = 0
        self._good = good
        self._below = None
        self._set(limit)

    def _set(self, limit: int) -> None:
        self._era += limit != self.limit
        self.limit = limit
        self._seconds, self._measured = 0.0, 0


class _Level(Struct, frozen=True):
    """What was measured at a limit."""

    limit: int
    rate: float  # requests a second


class Spacing:
    """Lets one request begin after the other, so many a minute."""

    def __init__(self, per_minute: int | None) -> None:
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self.next = 0.0  # when one may begin, on the monotonic clock

    def take(self, now: float) -> None:
        """Take the next turn."""
        self.next = max(now, self.next) + self._seconds
