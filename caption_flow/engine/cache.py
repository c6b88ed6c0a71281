"""Engine: how full its cache of keys and values is, and what it finds there again.

vLLM tells after each step, to who asks for it before the model is loaded; that costs it some work,
so only who measures does.
"""

from typing import Any, Protocol, runtime_checkable

from msgspec import Struct


class CacheUse(Struct, frozen=True):
    """What an engine said of its cache over some steps."""

    filled: float  # share of it that requests took, on average
    highest: float  # and at most
    preempted: int  # times that a request had to leave it, to be computed once more
    looked_up: int  # tokens of prompts that were looked for in it; 0: that is off
    found: int  # of these, tokens that were there, as of a prompt that began likewise

    @property
    def reused(self) -> float | None:
        """Share of the tokens that had not to be computed; None where none was looked for."""
        return self.found / self.looked_up if self.looked_up else None


@runtime_checkable
class Watched(Protocol):
    """An engine that may tell."""

    def cache_use(self) -> CacheUse | None:
        """Say what there was since the last time it was asked; None where nothing tells."""
        ...


class CacheWatch:
    """Takes in what vLLM tells; what some version does not tell counts as nothing."""

    def __init__(self) -> None:
        self._steps = self._preempted = self._looked_up = self._found = 0
        self._filled = self._highest = 0.0

    def take(self) -> CacheUse | None:
        """Sum up what came since the last time."""
        use = None
        if self._steps:
            filled = self._filled / self._steps
            use = CacheUse(filled, self._highest, self._preempted, self._looked_up, self._found)
        self._steps = self._preempted = self._looked_up = self._found = 0
        self._filled = self._highest = 0.0
        return use

    def record(self, scheduler: Any, iteration: Any = None, *_: object, **__: object) -> None:
        """Take in a step; vLLM calls it so."""
        self._preempted += getattr(iteration, "num_preempted_reqs", 0)
        usage = getattr(scheduler, "kv_cache_usage", None)
        if usage is None:
            return
        self._steps += 1
        self._filled += usage
        self._highest = max(self._highest, usage)
        prefixes = getattr(scheduler, "prefix_cache_stats", None)
        self._looked_up += getattr(prefixes, "queries", 0)
        self._found += getattr(prefixes, "hits", 0)

    def log(self) -> None:
        """Nothing: who asks is told."""

    def log_engine_initialized(self) -> None:
        """Nothing, likewise."""

    def record_sleep_state(self, *_: object, **__: object) -> None:
        """Nothing: it never sleeps."""
