"""Chaos, what is to be run: how much, by whom, and how often somebody dies."""

from typing import Literal

from msgspec import Struct

from tests.chaos import mischief
from tests.chaos.mischief import Deed

PER_KILL = 1.5  # seconds for which the samples should last, for each kill


class Plan(Struct, frozen=True):
    """The arguments of the command."""

    seed: int = 7
    samples: int = 20_000
    kills: int = 60
    workers: int = 3
    feeders: int = 2
    sinks: int = 2
    aof: Literal["everysec", "always"] = "everysec"
    flush: int = 1  # how often Redis is emptied
    ungroup: int = 2  # how often a group is destroyed
    failover: int = 1  # how often a replica takes Redis' place

    @property
    def seconds(self) -> float:
        """How long the samples should last."""
        return 10.0 + self.kills * PER_KILL

    @property
    def cast(self) -> dict[str, int]:
        """How many of each role."""
        return {"worker": self.workers, "sink": self.sinks, "feed": self.feeders}

    def deeds(self) -> list[Deed]:
        """What is done to whom, in order: the same for the same seed."""
        more = {"flush": self.flush, "ungroup": self.ungroup, "failover": self.failover}
        return mischief.deeds(self.seed, self.kills, more)
