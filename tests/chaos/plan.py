"""Chaos, what is to be run: how much, by whom, and how often somebody dies."""

from typing import Literal

from msgspec import Struct

from tests.chaos import mischief
from tests.chaos.mischief import LINE, REDIS, Deed

PER_KILL = 1.5  # seconds for which the samples should last, for each kill
# Likewise for each master of a cluster that is replaced, in which nothing else is done: else all is
# captioned before the last deeds, and who is killed then has nothing in hand.
PER_MASTER = 6.0
_REPLACING = {"kill", "crash", "pause", "failover"}


class Plan(Struct, frozen=True):
    """The arguments of the command."""

    seed: int = 7
    samples: int = 20_000
    kills: int = 60
    workers: int = 2  # on Redis
    remote: int = 2  # through proxies
    proxies: int = 2
    image_bytes: int = 0  # of an image, at least
    feeders: int = 2
    sinks: int = 2
    aof: Literal["everysec", "always"] = "everysec"
    flush: int = 1  # how often Redis is emptied
    ungroup: int = 2  # how often a group is destroyed
    failover: int = 1  # how often a replica takes Redis' place
    cluster: bool = False  # three masters instead of one Redis, each with its replica
    migrate: int = 0  # how often a lane goes to another of them
    lanes: int = 1  # of the job, on a cluster

    @property
    def seconds(self) -> float:
        """How long the samples should last."""
        replaced = sum(deed.whom == REDIS and deed.what in _REPLACING for deed in self.deeds())
        return 10.0 + self.kills * PER_KILL + self.cluster * replaced * PER_MASTER

    @property
    def cast(self) -> dict[str, int]:
        """How many of each role."""
        return {
            "worker": self.workers,
            "remote": self.remote,
            "proxy": self.proxies,
            "sink": self.sinks,
            "feed": self.feeders,
        }

    def deeds(self) -> list[Deed]:
        """What is done to whom, in order: the same for the same seed."""
        more = {"flush": self.flush, "ungroup": self.ungroup, "failover": self.failover}
        more["migrate"] = self.migrate
        there = {role for role, count in self.cast.items() if count}
        there |= {REDIS, LINE} if self.proxies and self.remote else {REDIS}
        return mischief.deeds(self.seed, self.kills, more, there)
