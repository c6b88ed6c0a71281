"""Worker: samples of a job of others that are handed back, since it is we who do not take them.

An address that this host does not allow, a file that another's token may read, a host that is not
reached from here: none of it says that the image is bad, so none of it gives the sample up. Others
find it after a while, with the reason. Who declines one after the other claims less and less.
"""

import logging
import time

from msgspec import UNSET

from caption_flow.config.sampling import Sampling
from caption_flow.errors import CaptionFlowError, CutOff
from caption_flow.fetch import FetchFailed
from caption_flow.fetch.failures import FORBIDDEN, FORBIDDEN_ADDRESS, TIMEOUT, UNREACHABLE
from caption_flow.logs import about
from caption_flow.model import Lease, Sample
from caption_flow.retry import Backoff
from caption_flow.worker import permitted

logger = logging.getLogger(__name__)

REACHES = 3  # times that a host which is not reached from one place is left to others
IN_A_ROW = 16  # samples, after which a rest is due
REST = Backoff(first=1.0, ceiling=60.0)
_PLACES = frozenset({UNREACHABLE, TIMEOUT, FORBIDDEN})  # may be otherwise from elsewhere
_KNOWN = frozenset(Sampling.__struct_fields__) - {Sampling.REST}


# Not which one: a job could ask for names that only our network knows, and be told the answers.
_NO_ADDRESS = "its address is none that this worker may fetch from"


class Declined(CaptionFlowError):
    """A sample is not for this worker; it may be for others."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.reason = "declined"
        self.detail = detail


class Declines:
    """Tells what is declined, and when to rest."""

    def __init__(self, *, of_others: bool = False) -> None:
        self._of_others = of_others  # whose job it is
        self.count = 0  # declined in all
        self.why = ""  # all are declined now; "" while some are not
        self._row = 0  # declined since the last that was captioned
        self._rests_until = 0.0  # on the monotonic clock
        self._told: set[str] = set()

    @property
    def resting(self) -> bool:
        """Whether to claim nothing for now."""
        return time.monotonic() < self._rests_until

    def check(self, sample: Sample) -> None:
        """Raise Declined for what a sample may not ask for."""
        if self._of_others and sample.sampling is not UNSET:
            for why in permitted.sampling("sampling", sample.sampling, _KNOWN):
                raise Declined("".join(c if c.isprintable() else "\ufffd" for c in why))

    def takes(self, lease: Lease, exc: Exception) -> bool:
        """Whether a failure is no attempt of the sample, since it is ours."""
        if not self._of_others or not self._is_ours(lease, exc):
            return False
        self.count += 1
        self._row += 1
        if self._row % IN_A_ROW == 0:
            self.why = f"hands back samples: {self.detail(exc, str(exc))}"
            self._rests_until = time.monotonic() + REST.delay(self._row // IN_A_ROW)
        reason = getattr(exc, "reason", "")
        first = reason not in self._told
        self._told.add(reason)
        level = logging.WARNING if first else logging.DEBUG
        sample = lease.sample
        logger.log(
            level, "Handed back %s, and will all like it: %s", sample.id, exc, extra=about(sample)
        )
        return True

    def detail(self, exc: Exception, said: str) -> str:
        """Say why, as far as that is others' business."""
        private = isinstance(exc, FetchFailed) and exc.reason == FORBIDDEN_ADDRESS
        return _NO_ADDRESS if private else said

    def captioned(self) -> None:
        """Note that not all is declined."""
        self._row = 0
        self.why = ""

    def _is_ours(self, lease: Lease, exc: Exception) -> bool:
        if isinstance(exc, Declined | CutOff):
            return True
        if not isinstance(exc, FetchFailed):
            return False
        if exc.reason == FORBIDDEN_ADDRESS or (exc.reason == FORBIDDEN and _on_the_hub(lease)):
            return True
        before = sum(f.reason == exc.reason and not f.own for f in lease.failures)
        return exc.reason in _PLACES and before < REACHES


def _on_the_hub(lease: Lease) -> bool:
    """Tell files for which we show no token: only the hub knows that others might."""
    reference = lease.sample.reference
    return reference is not UNSET and reference.hub
