"""Bench: what captions take, in time and in money of whatever currency."""

from collections.abc import Sequence

from caption_flow.worker.served import Served

_HOUR = 3600.0
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


def gpus(needed: Sequence[Served]) -> int:
    """Count the GPUs of a worker: its engines are beside each other on the same."""
    return max((_of(each) for each in needed), default=1)


def per_thousand(rate: float, price: float, count: int) -> float:
    """Say what 1,000 captions cost at a price of a GPU for an hour, on so many."""
    return 1000 / rate * price * count / _HOUR


def _of(each: Served) -> int:
    count = 1
    for name in _PARALLEL:
        said = each.stages[0].engine_args.get(name, 1)
        count *= said if isinstance(said, int) and said > 0 else 1
    return count
