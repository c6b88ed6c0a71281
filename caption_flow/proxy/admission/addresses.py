"""Proxy: what an address may do before a token has let it in."""

import time
from collections import OrderedDict
from collections.abc import Callable

from caption_flow.proxy.admission.tally import Tally

_MINUTE, _TEN_MINUTES = 60.0, 600.0
# Of each row, so that no number of addresses that could be served holds up an innocent one: for
# that, each must have been counted as often as an address may, within the time.
_KNOCK_SLOTS, _FAILURE_SLOTS = 1 << 14, 1 << 17
_FAMILIAR = 20_000  # pairs of address and token


class Addresses:
    """Counts handshakes, requests for pages and failed logins by address."""

    def __init__(
        self,
        *,
        handshakes_per_minute: int,
        failed_logins: int,
        pages_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._knocks = Tally(handshakes_per_minute, _MINUTE, slots=_KNOCK_SLOTS, clock=clock)
        self._pages = Tally(pages_per_minute, _MINUTE, slots=_KNOCK_SLOTS, clock=clock)
        self._failures = Tally(failed_logins, _TEN_MINUTES, slots=_FAILURE_SLOTS, clock=clock)
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()

    def knock(self, address: str) -> float:
        """Count a handshake, if there may be one; or give the seconds until there may."""
        return _counted(self._knocks, address)

    def ask(self, address: str) -> float:
        """Count a request for a page; answers as `knock`."""
        return _counted(self._pages, address)

    def banned(self, address: str, sha256: str) -> float:
        """Give the seconds until a token may be tried from there; 0: now.

        One that was good there before may be tried always: where several share an address, as
        behind one router, the mistakes of one must not keep the others out.
        """
        return 0.0 if (address, sha256) in self._familiar else self._failures.wait(address)

    def failed(self, address: str) -> float:
        """Count a failed login; answers as `banned`."""
        self._failures.add(address)
        return self._failures.wait(address)

    def passed(self, address: str, sha256: str) -> None:
        """Keep in mind that a token was good there."""
        self._familiar[address, sha256] = None
        self._familiar.move_to_end((address, sha256))
        if len(self._familiar) > _FAMILIAR:
            self._familiar.popitem(last=False)


def _counted(tally: Tally, address: str) -> float:
    wait = tally.wait(address)
    if not wait:
        tally.add(address)
    return wait
