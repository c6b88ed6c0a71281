"""Bench: the whole pipeline while it runs evenly: without its beginning and its end."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

_LEAST_LOOKS = 3


class Look(Struct, frozen=True):
    """How a run stands at a moment."""

    at: float  # seconds on the monotonic clock
    captions: int  # that the worker has made
    free: float  # share of the last seconds in which a slot was free
    idle: float  # likewise, while the worker held a sample for it
    worker_cpu: float  # seconds that its process has used
    machine_cpu: tuple[float, float] | None = None  # busy and all seconds of all cores
    limit: str = ""  # what holds the job up
    why: str = ""  # the same in a sentence


class Steady(Struct, frozen=True):
    """What a run did in its steady part."""

    captions: int
    seconds: float
    free: float
    idle: float
    worker_cores: float  # that the worker's process used
    machine_busy: float | None  # share of all cores; None where nothing tells
    limit: str = ""  # what held it up at most of the looks
    limit_share: float = 0.0  # of the looks
    why: str = ""

    @property
    def rate(self) -> float:
        """Captions a second."""
        return self.captions / self.seconds if self.seconds else 0.0


def steady(looks: Sequence[Look], *, wanted: int, load: int) -> Steady:
    """Take the part in which the engine was full as far as that could be.

    `wanted`: samples of the run, of which `load` are in the engine at once: the first of them find
    it empty, and the last leave it so.
    """
    if not looks:  # it was over before its worker had begun
        return Steady(0, 0.0, free=0.0, idle=0.0, worker_cores=0.0, machine_busy=None)
    load = min(load, wanted // 4)
    begun = [look for look in looks if look.captions >= load]
    part = [look for look in begun if look.captions <= wanted - load]
    if len(part) < _LEAST_LOOKS or part[-1].captions == part[0].captions:
        part = [look for look in looks if look.captions or look is looks[0]]
    first, last = part[0], part[-1]
    seconds = last.at - first.at
    limits = Counter(look.limit for look in part if look.limit)
    limit, times = next(iter(limits.most_common(1)), ("", 0))
    return Steady(
        captions=last.captions - first.captions,
        seconds=seconds,
        free=_mean([look.free for look in part]),
        idle=_mean([look.idle for look in part]),
        worker_cores=(last.worker_cpu - first.worker_cpu) / seconds if seconds else 0.0,
        machine_busy=_busy(first, last),
        limit=limit,
        limit_share=times / limits.total() if limits else 0.0,
        why=next((look.why for look in reversed(part) if look.limit == limit), ""),
    )


def machine_cpu() -> tuple[float, float] | None:
    """Tell the busy and all seconds of all cores since the start; None where nothing tells."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    ticks = [int(word) for word in line.split()[1:9]]  # later ones are counted in these already
    idle = ticks[3] + ticks[4]  # with the time that is waited for disks
    return float(sum(ticks) - idle), float(sum(ticks))


def _busy(first: Look, last: Look) -> float | None:
    if first.machine_cpu is None or last.machine_cpu is None:
        return None
    (busy_before, all_before), (busy, all_) = first.machine_cpu, last.machine_cpu
    return (busy - busy_before) / (all_ - all_before) if all_ > all_before else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
