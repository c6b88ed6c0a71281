"""Monitor: how much of a job may be in flight at once, as its feeders say."""

from collections.abc import Iterable

from msgspec import Struct

from caption_flow.queue.ports import Member


class Ceiling(Struct, frozen=True):
    """What the feeders leave room for; 0: no feeder has said."""

    bytes: float = 0.0
    samples: float = 0.0


def ceiling(members: Iterable[Member]) -> Ceiling:
    """Give the smallest budget of the feeders among them, since the first to find it full waits."""
    feeders = [member.figures for member in members if member.role == "feed"]
    told = ([figures.get(f"budget_{unit}", 0.0) for figures in feeders] for unit in _UNITS)
    return Ceiling(*(min(filter(None, each), default=0.0) for each in told))


_UNITS = Ceiling.__struct_fields__
