"""Feed: what a feeder has done so far, for whoever watches and for the last line."""

from collections import Counter
from collections.abc import Iterable

from caption_flow.config.sizes import spelt
from caption_flow.model import Offer


class Tally:
    """Counts what went into the queue, and what did not and why."""

    def __init__(self) -> None:
        self.samples = 0  # that entered
        self.bytes = 0  # of their images; none where the workers read them
        self.reasons: Counter[str] = Counter()  # of samples that were given up

    @property
    def failed(self) -> int:
        """How many samples were given up."""
        return self.reasons.total()

    def count(self, offers: Iterable[Offer]) -> None:
        """Add what an offer brought into the queue."""
        for offer in offers:
            if offer.failure is None:
                self.samples += 1
                self.bytes += len(offer.image)
            else:
                self.reasons[offer.failure.reason] += 1

    def figures(self) -> dict[str, float]:
        """Name the counts, each reason by itself."""
        reasons = {f"failed:{reason}": count for reason, count in self.reasons.items()}
        return {"samples": self.samples, "bytes": self.bytes, "failed": self.failed, **reasons}

    def sentence(self, *, shards: int, skipped: int) -> str:
        """Say what was done, of how many shards, and how much was passed since it is known."""
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
        fed = f"Fed {_counted(self.samples, 'sample')} ({spelt(self.bytes)})"
        given_up = f"gave up {self.failed:,}" + (f" ({why})" if why else "")
        return f"{fed}; planned {_counted(shards, 'shard')}, skipped {skipped:,} known; {given_up}."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
