"""Proxy: how often each of any number of addresses did something of late, in fixed memory.

An address has four counters, chosen by a secret hash, and the lowest is right: it is too high only
where all four are shared with others. So nobody has to be forgotten for others, and whoever comes
from very many addresses can neither fill the memory nor free one that has to wait.
"""

import hashlib
import secrets
import time
from array import array
from collections.abc import Callable

_ROWS = 4
_BYTES = 4  # of a hash, for each row


class Tally:
    """Counts by address, at most so many in so many seconds; what is older fades."""

    def __init__(
        self,
        most: int,
        seconds: float,
        *,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._slots = slots
        self._clock = clock
        self._secret = secrets.token_bytes(16)
        self._begun = clock()
        self._now, self._before = self._nothing(), self._nothing()

    def add(self, address: str) -> None:
        """Count once more."""
        self._turn()
        places = self._places(address)
        count = min(self._now[place] for place in places) + 1
        for place in places:
            self._now[place] = max(self._now[place], count)

    def wait(self, address: str) -> float:
        """Give the seconds until it may be counted once more; 0: it may now."""
        passed = self._turn()
        places = self._places(address)
        now = min(self._now[place] for place in places)
        before = min(self._before[place] for place in places)
        # What was counted in the span before weighs less the more of this one has passed.
        if now + before * (1 - passed) < self._most:
            return 0.0
        if now < self._most:
            return self._seconds * (1 - (self._most - now) / before - passed)
        return self._seconds * (2 - self._most / now - passed)

    def _turn(self) -> float:
        """Begin another span where one is over; answers how much of it has passed, below 1."""
        passed = (self._clock() - self._begun) / self._seconds
        if passed >= 1:
            self._before = self._now if passed < 2 else self._nothing()  # noqa: PLR2004 - spans
            self._now = self._nothing()
            self._begun += int(passed) * self._seconds
        return passed % 1

    def _places(self, address: str) -> list[int]:
        digest = hashlib.blake2b(
            address.encode(), key=self._secret, digest_size=_ROWS * _BYTES
        ).digest()
        return [
            row * self._slots
            + int.from_bytes(digest[row * _BYTES : (row + 1) * _BYTES]) % self._slots
            for row in range(_ROWS)
        ]

    def _nothing(self) -> "array[int]":
        return array("I", bytes(4 * _ROWS * self._slots))
