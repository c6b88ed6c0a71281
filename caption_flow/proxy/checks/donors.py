"""Proxy: samples whose columns images with known captions are shown with.

Rather those that went to other contributors: who is shown an image has not seen their columns.
"""

import random
from collections import deque

from caption_flow.model import Sample

MOST_EACH = 8  # samples that one contributor was sent last
MOST_CONTRIBUTORS = 16  # that were sent something last


class Donors:
    """The latest samples of the job that went to contributors."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Sample]] = {}  # by contributor, the latest last

    def add(self, contributor: str, sample: Sample) -> None:
        """Note what a contributor is sent."""
        samples = self._samples.pop(contributor, None) or deque(maxlen=MOST_EACH)
        samples.append(sample)
        self._samples[contributor] = samples
        if len(self._samples) > MOST_CONTRIBUTORS:
            del self._samples[next(iter(self._samples))]

    def take(self, contributor: str) -> Sample | None:
        """Give one that somebody else was sent, once; or one of its own; None: there is none."""
        others = [who for who, samples in self._samples.items() if samples and who != contributor]
        if others:
            return self._samples[random.choice(others)].popleft()  # noqa: S311 - no secret
        own = self._samples.get(contributor)
        return own[0] if own else None
