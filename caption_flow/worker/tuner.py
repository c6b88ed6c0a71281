"""Worker: how much it does at once, chosen from what is measured.

Pure: numbers in, numbers out. Each choice grows at once when it is too small, since then a slot
may be empty, and shrinks slowly and only when it is much too large, so that none of them swings.
"""

import math

from msgspec import Struct

from caption_flow.worker.held import HELD_BYTES

AHEAD_FIRST = 16  # samples claimed ahead at first, at least
AHEAD_LEAST = 4
AHEAD_MOST = 4096  # as many as a proxy sends at once
FETCH_SAMPLES = 8  # images asked for at once; more a time are no faster
FETCHES_LEAST = 2  # at once: while one group is parsed, the next is on its way
FETCHES_MOST = 16
BATCH_LEAST = 64  # samples settled at once, at most, where that is quick
BATCH_MOST = 256  # a larger script would hold Redis up for others
CLAIM_SECONDS = 0.2  # of work come with a claim and those before it: fewer, fuller claims
SAFETY = 1.5  # what is measured is a mean
RATE_SECONDS = 3.0  # over which a rate is averaged
BURST_SECONDS = 30.0  # until the memory of a burst has faded to a third
SHRINK_AT = 0.7  # of what is chosen: less wanted than that shrinks it
SHRINK_SECONDS = 5.0  # in which it comes down to a third of the way


class Measured(Struct, frozen=True):
    """What was seen since the last look, and means of what things take."""

    seconds: float  # since the last look
    requests: int  # that left the engine
    samples: int  # that were settled
    late: float = 0.0  # seconds by which the event loop did less than it should have
    claim: float = 0.0  # seconds until claimed samples are there
    fetch: float = 0.0  # until a group of images is
    prepare: float = 0.0  # until an image is as the engine takes it
    settle: float = 0.0  # until the queue has answered to what was settled
    image: float = 0.0  # bytes
    preparers: int = 0  # processes in which requests are that have no slot yet, one in each


class Chosen(Struct, frozen=True):
    """What is done at once."""

    claim_ahead: int  # samples claimed that are not in the engine yet
    in_flight: int  # requests inside the engine, with those that wait there for a slot
    fetches: int  # groups of images on their way
    complete_batch: int  # samples settled with one call, at most


class _Flow:
    """How many leave in a second, and how many at once."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.burst = 0.0  # most in one look, lately
        self._measured = 0.0  # seconds since the first left

    def note(self, count: int, seconds: float) -> None:
        if count or self._measured:
            self._measured += seconds
            # At first the mean of all there is, so that it does not rise from nothing.
            weight = seconds / min(RATE_SECONDS, self._measured)
            self.rate += min(1.0, weight) * (count / seconds - self.rate)
        self.burst = max(count, self.burst * math.exp(-seconds / BURST_SECONDS))


class Tuner:
    """Chooses for one engine of so many slots, in which so many requests may be."""

    def __init__(self, *, capacity: int, most: int) -> None:
        self._capacity = capacity
        self._most = max(capacity, most)
        self._requests, self._samples = _Flow(), _Flow()
        self._ahead = float(max(AHEAD_FIRST, capacity))
        self._spare = float(min(self._most - capacity, max(1, capacity // 4)))
        self._fetches = float(FETCHES_LEAST)
        self._batch = float(BATCH_LEAST)

    @property
    def chosen(self) -> Chosen:
        """What was chosen last."""
        return Chosen(
            claim_ahead=math.ceil(self._ahead),
            in_flight=self._capacity + math.ceil(self._spare),
            fetches=math.ceil(self._fetches),
            complete_batch=math.ceil(self._batch),
        )

    def look(self, measured: Measured) -> Chosen:
        """Choose anew; by nothing that was measured before the engine has given something."""
        seconds = max(measured.seconds, 1e-6)
        self._requests.note(measured.requests, seconds)
        self._samples.note(measured.samples, seconds)
        if self._requests.rate and self._samples.rate:
            share = seconds / SHRINK_SECONDS
            self._ahead = _moved(self._ahead, self._wanted_ahead(measured), share)
            self._spare = _moved(self._spare, self._wanted_spare(measured), share)
            self._fetches = _moved(self._fetches, self._wanted_fetches(measured), share)
            self._batch = _moved(self._batch, self._wanted_batch(measured), share)
        return self.chosen

    def _wanted_ahead(self, measured: Measured) -> float:
        """What leaves at once, and what leaves until others have come in its place."""
        # Twice that of a claim: there may be space just after the last one was sent.
        until = 2 * measured.claim + measured.fetch + measured.prepare + measured.late
        rate, burst = self._samples.rate, self._samples.burst
        most = min(AHEAD_MOST, HELD_BYTES / max(measured.image, 1.0))
        return _within(AHEAD_LEAST, burst + rate * (CLAIM_SECONDS + SAFETY * until), most)

    def _wanted_spare(self, measured: Measured) -> float:
        """What leaves in one look, late as the loop may be, and what is inside and not ready."""
        room = self._most - self._capacity
        return _within(min(1, room), self._requests.burst + measured.preparers, room)

    def _wanted_fetches(self, measured: Measured) -> float:
        groups = SAFETY * self._samples.rate * measured.fetch / FETCH_SAMPLES
        return _within(FETCHES_LEAST, groups, FETCHES_MOST)

    def _wanted_batch(self, measured: Measured) -> float:
        """What comes while the last one is on its way, since they go one after the other."""
        batch = SAFETY * self._samples.rate * (measured.settle + measured.late)
        return _within(BATCH_LEAST, batch, BATCH_MOST)


def _within(least: float, wanted: float, most: float) -> float:
    return max(least, min(wanted, most))


def _moved(now: float, wanted: float, share: float) -> float:
    """Go up at once, down by a share of the way, and nowhere for little."""
    if wanted > now:
        return wanted
    return now + min(1.0, share) * (wanted - now) if wanted < SHRINK_AT * now else now
