"""Chaos, what is done to whom: the seed decides what and in which order, the run decides when."""

import random
import time
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

REDIS = "redis"
LINE = "line"  # between remote workers and proxies
ROLES = ("worker", "remote", "proxy", "sink", "feed")
DEADLY = ("kill", "crash")  # the victim dies without a word


class Deed(Struct, frozen=True):
    """One thing that is done to one process."""

    what: str
    whom: str  # a role, Redis, or the line
    nth: int  # which of them, of Redis' groups, or of the connections, counted around
    seconds: float  # how long it lasts, if it lasts


class _Kind(Struct, frozen=True):
    """One kind of deed."""

    what: str
    per_kill: float  # how many, for each process that dies without a word
    victims: dict[str, int]  # who may suffer it, and how often in comparison
    seconds: tuple[float, float] = (0.0, 0.0)  # shortest and longest


_ELSEWHERE = {"remote": 42, "proxy": 24}
_KINDS = (
    # SIGKILL; Redis is away for that long.
    _Kind("kill", 0.88, {"worker": 42, "sink": 32, "feed": 20, REDIS: 6, **_ELSEWHERE}, (0.0, 0.5)),
    # SIGKILL, and the disk has forgotten that much.
    _Kind("crash", 0.12, {REDIS: 1}, (0.2, 1.2)),
    # SIGSTOP, for longer than a lease; for Redis, shorter than the patience for an answer.
    _Kind("pause", 0.25, {"worker": 5, "sink": 5, "feed": 2, "remote": 5, "proxy": 4}, (2.5, 5.0)),
    _Kind("pause", 0.05, {REDIS: 1}, (0.5, 4.0)),
    # SIGTERM.
    _Kind("stop", 0.12, {"worker": 2, "sink": 2, "feed": 1, "remote": 2, "proxy": 2}),
    # All connections closed.
    _Kind("cut", 0.08, {REDIS: 1}),
    # One connection closed; all of them stand still, also for longer than a lease; one goes dead,
    # which both ends find out only by hearing nothing.
    _Kind("cut", 0.25, {LINE: 1}),
    _Kind("halt", 0.1, {LINE: 1}, (0.2, 4.0)),
    _Kind("die", 0.1, {LINE: 1}),
    # As often as asked for: FLUSHALL; XGROUP DESTROY; a replica takes over, behind by that much.
    _Kind("flush", 0.0, {REDIS: 1}),
    _Kind("ungroup", 0.0, {REDIS: 1}),
    _Kind("failover", 0.0, {REDIS: 1}, (0.0, 1.0)),
    # On a cluster: the slot of the lane goes to another master.
    _Kind("migrate", 0.0, {REDIS: 1}),
)


def deeds(seed: int, kills: int, more: Mapping[str, int], there: Collection[str]) -> list[Deed]:
    """Draw so many kills and other deeds among them, done to those who are there.

    `more` says how many of what is asked for.
    """
    chance = random.Random(seed)
    drawn: list[Deed] = []
    for kind in _KINDS:
        victims = {whom: weight for whom, weight in kind.victims.items() if whom in there}
        count = round(kills * kind.per_kill) + more.get(kind.what, 0)
        drawn += _drawn(kind, victims, count if victims else 0, chance)
    chance.shuffle(drawn)
    return drawn


def _drawn(
    kind: _Kind, victims: Mapping[str, int], count: int, chance: random.Random
) -> list[Deed]:
    return [
        Deed(kind.what, whom, chance.randrange(60), chance.uniform(*kind.seconds))
        for whom in _shared(victims, count)
    ]


def _shared(victims: Mapping[str, int], count: int) -> Iterator[str]:
    """Share deeds out among victims, as exactly as whole numbers allow."""
    whole, passed, given = sum(victims.values()), 0, 0
    for victim, weight in victims.items():
        passed += weight
        due = round(count * passed / whole)
        yield from [victim] * (due - given)
        given = due


class Pace:
    """When the next deed is due: all of them are spread evenly over nearly all samples.

    Over all of them, the job would be done before the last deeds are. Not sooner than the roles
    could do anything in between, and not later than a kill should be, however slowly the samples
    go.
    """

    LEAST, MOST = 0.25, 1.2  # seconds between two deeds
    SHARE = 0.95  # of the samples

    def __init__(self, samples: int, deeds: int) -> None:
        self._step = self.SHARE * samples / (deeds + 1)
        self._done = 0
        self._last = time.monotonic()

    def is_due(self, captioned: int) -> bool:
        """Whether to do the next one, with so many samples captioned."""
        waited = time.monotonic() - self._last
        behind = captioned >= self._step * (self._done + 1)
        return waited >= self.MOST or (behind and waited >= self.LEAST)

    def step(self) -> None:
        """One is done."""
        self._done += 1
        self._last = time.monotonic()
