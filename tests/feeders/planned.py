"""How much memory it takes to plan a shard."""

import tracemalloc
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from caption_flow.dataset.source import Source

RUN = 1000  # what a planner takes at a time


class Planned(NamedTuple):
    """Samples that were planned, and the most bytes that it took beyond what was taken before."""

    samples: int
    python: int
    arrow: int


def plan(source: Source, shard: str) -> Planned:
    """List a shard as a planner does, and keep nothing of it."""
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        names = source.names(shard, None)
        samples, arrow = 0, 0
        while run := list(islice(names, RUN)):
            samples += len(run)
            arrow = max(arrow, pa.total_allocated_bytes() - before)
        _, python = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Planned(samples, python, arrow)
