"""Queue: when to look for leases that ran out, and from where on; see Consumer.

Consumers of one process may share it, so that what they ask does not grow with their number.
"""

import time
from collections import defaultdict


class Reclaims:
    """The looks of one consumer, or of several, at each of their streams."""

    def __init__(self, *, grace: float) -> None:
        """`grace`: seconds for others to renew, when the server was away."""
        self.cursors: dict[str, str] = defaultdict(lambda: "-")  # see reclaim.lua
        self.grouped: set[str] = set()  # streams whose groups are there, and tidy
        self._grace = grace
        self._next: dict[str, float] = {}  # on the monotonic clock
        self._rest = 0.0  # likewise: until then at no stream

    def due(self, stream: str, seconds: float) -> bool:
        """Whether to look now; the next time is so many seconds later."""
        now = time.monotonic()
        if now < self._rest or now < self._next.get(stream, 0.0):
            return False
        self._next[stream] = now + seconds
        return True

    def look_on(self, stream: str) -> None:
        """Look again at once: more may wait behind what was found."""
        self._next.pop(stream, None)

    def let_others_renew(self) -> None:
        """Look at nothing for a while: leases ran out in an outage, and their holders live."""
        self._rest = time.monotonic() + self._grace
