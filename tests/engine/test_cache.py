"""Cache of an engine: what vLLM tells of it step by step, summed up for who measures."""

from typing import Any

import pytest
from msgspec import Struct

from caption_flow.engine.cache import CacheUse, CacheWatch, Watched
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.engine.vllm import VllmEngine


class Prefixes(Struct):
    """As vLLM has it, of one step."""

    queries: int
    hits: int


class Scheduler(Struct):
    """Likewise."""

    kv_cache_usage: float
    prefix_cache_stats: Prefixes | None = None


class Iteration(Struct):
    """Likewise."""

    num_preempted_reqs: int


def test_steps_are_summed_up_since_the_last_time():
    watch = CacheWatch()
    watch.record(Scheduler(0.9, Prefixes(100, 0)), Iteration(3), mm_cache_stats=None, engine_idx=0)
    watch.take()

    watch.record(Scheduler(0.2, Prefixes(100, 25)), Iteration(0), mm_cache_stats=None, engine_idx=0)
    watch.record(Scheduler(0.6, Prefixes(60, 15)), Iteration(2), mm_cache_stats=None, engine_idx=1)
    use = watch.take()

    assert use == CacheUse(pytest.approx(0.4), 0.6, preempted=2, looked_up=160, found=40)
    assert use.reused == 0.25
    assert watch.take() is None


@pytest.mark.parametrize("told", [(None, None), (object(), object()), (None,)])
def test_nothing_is_said_where_vllm_tells_nothing(told: tuple[Any, ...]):
    watch = CacheWatch()

    watch.record(*told)

    assert watch.take() is None


def test_share_of_tokens_is_unknown_where_none_is_looked_for():
    watch = CacheWatch()

    watch.record(Scheduler(0.5), None)

    use = watch.take()
    assert use is not None
    assert use.reused is None


def test_vllm_alone_can_be_watched_and_tells_nothing_before_that():
    assert isinstance(VllmEngine("m", {}, (), capacity=1), Watched)
    assert VllmEngine("m", {}, (), capacity=1).cache_use() is None
    assert not issubclass(SimulatedEngine, Watched)
